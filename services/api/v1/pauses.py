"""Pauses of everything or of one queue: in force, begun, lifted."""

from fastapi import APIRouter
from pydantic import Field

from services.api.dependencies import Body, Ctx
from services.work import pauses
from services.work.pauses import EVERYTHING, PauseView

router = APIRouter(prefix="/pauses", tags=["system"])


class NewPause(Body):
    """What nothing more is begun of; what runs finishes."""

    scope: str = Field(
        default=EVERYTHING,
        max_length=100,
        description=f"{EVERYTHING}, or a queue.",
        examples=["crawl"],
    )
    reason: str | None = Field(
        default=None,
        max_length=500,
        pattern=r"^[^\x00]*$",
        description="Shown wherever the pause is.",
        examples=["the store is being moved"],
    )


@router.get("")
def list_pauses(context: Ctx) -> list[PauseView]:
    """List the pauses in force; a channel's own is shown with the channel."""
    return pauses.listed(context)


@router.post("")
def pause_work(context: Ctx, wanted: NewPause) -> dict[str, bool]:
    """Begin no more work of a queue, or of any; tells whether it was not paused already."""
    return {"changed": pauses.pause(context, wanted.scope, reason=wanted.reason)}


@router.delete("/{scope}")
def resume_work(context: Ctx, scope: str) -> dict[str, bool]:
    """Lift a pause; tells whether there was one."""
    return {"changed": pauses.resume(context, scope)}
