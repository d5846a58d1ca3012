"""Schedules: what is asked for again and again."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field

from services import schedules
from services.api.dependencies import Body, Ctx
from services.schedules import Plan, ScheduleView
from services.watched import named_ids

router = APIRouter(prefix="/schedules", tags=["schedules"])
Name = Annotated[str, Path(max_length=100)]


class Times(Body):
    """What is asked for, and when: either by cron or by an interval."""

    kind: str = Field(examples=["crawl"])
    cron: str | None = Field(default=None, max_length=100, examples=["30 3 * * *"])
    interval_s: int | None = Field(default=None, ge=60, le=10 * 366 * 86_400, examples=[None])
    time_zone: str = Field(default="UTC", max_length=64, examples=["Europe/Berlin"])
    misfire: Literal["run-once", "skip"] = "run-once"
    grace_s: int = Field(default=300, ge=0, le=86_400 * 7)
    channels: list[str] = Field(default_factory=list, max_length=1_000, examples=[[]])
    tags: list[str] = Field(default_factory=list, max_length=50, examples=[["garden"]])
    task: Literal["thumbnails", "speech"] = "thumbnails"


class NewSchedule(Times):
    """A schedule, with its name."""

    name: str = Field(max_length=100, examples=["nightly-crawl"])


@router.get("")
def list_schedules(context: Ctx) -> list[ScheduleView]:
    """List the schedules with their next slot and what came of the last."""
    return schedules.listed(context)


@router.post("", status_code=201)
def add_schedule(context: Ctx, wanted: NewSchedule) -> dict[str, Any]:
    """Add a schedule. Adding the same one again changes nothing."""
    new = add(context, wanted)
    return {"name": wanted.name, "new": new, "next": _next(context, wanted.name, 5)}


def add(context: Ctx, wanted: NewSchedule) -> bool:
    """Add a schedule; tell whether it is new."""
    return schedules.add(context, _plan(context, wanted.name, wanted))


def _plan(context: Ctx, name: str, wanted: Times) -> Plan:
    params: dict[str, Any] = {}
    if wanted.task == "speech":
        params["task"] = wanted.task
    if wanted.channels:
        params["channel_ids"] = named_ids(context, wanted.channels)
    if wanted.tags:
        params["tags"] = sorted(set(wanted.tags))
    plan = wanted.model_dump(exclude={"name", "channels", "tags", "task"})
    return Plan(**plan, name=name, params=params)


@router.get("/{name}")
def show_schedule(context: Ctx, name: Name) -> ScheduleView:
    """Show one schedule."""
    return schedules.find(context, name)


@router.put("/{name}")
def change_schedule(context: Ctx, name: Name, wanted: Times) -> dict[str, Any]:
    """Ask for something else by it, or at other times; whether it is paused stays."""
    changed = schedules.change(context, _plan(context, name, wanted))
    return {"name": name, "changed": changed, "next": _next(context, name, 5)}


@router.get("/{name}/next")
def next_times(
    context: Ctx, name: Name, count: Annotated[int, Query(ge=1, le=100)] = 5
) -> list[datetime]:
    """Return the next fire times, in UTC."""
    return _next(context, name, count)


@router.post("/{name}/pause")
def pause_schedule(context: Ctx, name: Name) -> dict[str, list[str]]:
    """Let no slot of it fire until it is resumed."""
    return {"changed": schedules.pause(context, [name])}


@router.post("/{name}/resume")
def resume_schedule(context: Ctx, name: Name) -> dict[str, list[str]]:
    """Let it fire again, from now on."""
    return {"changed": schedules.resume(context, [name])}


@router.post("/{name}/run-now")
def run_schedule(context: Ctx, name: Name) -> dict[str, str]:
    """Fire it out of turn, paused or not."""
    return {"job_id": schedules.run_now(context, name)}


@router.delete("/{name}")
def remove_schedule(context: Ctx, name: Name) -> dict[str, Any]:
    """Remove a schedule, also one installed by default: it does not come back."""
    return {"changed": schedules.remove(context, [name])}


def _next(context: Ctx, name: str, count: int) -> list[datetime]:
    [(_, times)] = schedules.next_fire_times(context, [name], count)
    return list(times)
