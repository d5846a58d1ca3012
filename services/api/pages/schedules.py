"""Schedules with their next fire times."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from services import schedules
from services.api.dependencies import Ctx
from services.api.rendering import page
from services.api.v1.schedules import NewSchedule, add
from services.schedules import KINDS
from services.schedules.names import parse_length

router = APIRouter(prefix="/schedules")


@router.get("")
def list_schedules(request: Request, context: Ctx) -> HTMLResponse:
    """List the schedules."""
    found = schedules.listed(context)
    on = [view.name for view in found if view.state == "on"]
    times = schedules.next_fire_times(context, on, 5) if on else []
    upcoming = {view.name: moments for view, moments in times}
    return page("schedules.html", request, found=found, upcoming=upcoming, kinds=list(KINDS))


@router.post("")
def add_schedule(
    context: Ctx,
    name: Annotated[str, Form(max_length=100)],
    kind: Annotated[str, Form(max_length=30)],
    when: Annotated[str, Form(max_length=100)],
    time_zone: Annotated[str, Form(max_length=64)] = "UTC",
) -> RedirectResponse:
    """Add a schedule: ``when`` is five fields of cron, or a length such as 6h."""
    wanted = NewSchedule(name=name.strip(), kind=kind, **_moments(when, time_zone))
    add(context, wanted)
    return RedirectResponse("/schedules", 303)


@router.post("/{name}/change")
def change_schedule(
    context: Ctx,
    name: str,
    when: Annotated[str, Form(max_length=100)],
    time_zone: Annotated[str, Form(max_length=64)] = "UTC",
) -> RedirectResponse:
    """Have a schedule fire at other moments."""
    plan = schedules.find(context, name).plan()
    schedules.change(context, replace(plan, **_moments(when, time_zone)))
    return RedirectResponse("/schedules", 303)


@router.post("/{name}/{action}")
def act_on(
    context: Ctx, name: str, action: Literal["pause", "resume", "remove", "run-now"]
) -> RedirectResponse:
    """Pause, resume or remove a schedule, or fire it now."""
    if action == "run-now":
        return RedirectResponse(f"/jobs/{schedules.run_now(context, name)}", 303)
    act = {"pause": schedules.pause, "resume": schedules.resume, "remove": schedules.remove}[action]
    act(context, [name])
    return RedirectResponse("/schedules", 303)


def _moments(when: str, time_zone: str) -> dict[str, Any]:
    """Return what a person typed as moments: five fields of cron, or a length such as 6h."""
    by_cron = len(when.split()) > 1
    return {
        "cron": when.strip() if by_cron else None,
        "interval_s": None if by_cron else max(60, parse_length(when.strip())),
        "time_zone": time_zone.strip() or "UTC",
    }
