"""What can be scheduled, each declared once: a kind of job, and what it is asked to do.

A new kind of schedule is an entry in ``KINDS``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.orm import Session

from db.queries.catalog import channels, watchlist
from db.queries.speech import segments

Params = Mapping[str, Any]


@dataclass(frozen=True)
class Lack:
    """What a job would work on and is not there.

    Attributes:
        reason: A stable word, kept with the slot.
        message: What is lacking.
        hint: What to do.
    """

    reason: str
    message: str
    hint: str


NO_CHANNELS = Lack(
    "noChannels", "no channel to work on", "`tubegrader channels crawl @handle` adds one"
)
NO_SPEECH = Lack(
    "noSpeech",
    "no speech to learn from",
    "`tubegrader audio add CHANNEL…`, then `tubegrader channels crawl --audio`",
)


@dataclass(frozen=True)
class ScheduleKind:
    """A kind of schedule.

    Attributes:
        job: The kind of job that it submits; its own name as well.
        request: Works out, when it fires, the params of its job from its own; or tells what is
            lacking for a job.
        of_channels: Whether its params may name channels, by ``channel_ids`` or ``tags``.
        of_task: Whether they may name a ``task`` of learning.
    """

    job: str
    request: Callable[[Session, Params], dict[str, Any] | Lack]
    of_channels: bool = False
    of_task: bool = False


def _as_planned(_session: Session, params: Params) -> dict[str, Any]:
    return dict(params)


def _crawl(session: Session, params: Params) -> dict[str, Any] | Lack:
    """Ask for the channels that are watched and not paused now: all, or some by id or by tag."""
    chosen = watched = channels.ids(session, paused=False, watched=True)
    if "channel_ids" in params:
        chosen = sorted(set(params["channel_ids"]).intersection(watched))
    if "tags" in params:
        chosen = sorted(watchlist.tagged(session, params["tags"]).intersection(chosen))
    return {"channel_ids": chosen} if chosen else NO_CHANNELS


def _learn(session: Session, params: Params) -> dict[str, Any] | Lack:
    if params.get("task") == "speech":
        return dict(params) if segments.has_clips(session) else NO_SPEECH
    return dict(params) if channels.ids(session, paused=False) else NO_CHANNELS


KINDS: Final = {
    kind.job: kind
    for kind in (
        ScheduleKind("crawl", _crawl, of_channels=True),
        ScheduleKind("train", _learn, of_task=True),
        ScheduleKind("score", _learn, of_task=True),
        ScheduleKind("compare", _learn, of_task=True),
        ScheduleKind("retrain", _learn, of_task=True),
        ScheduleKind("upkeep", _as_planned),
        ScheduleKind("backup", _as_planned),
    )
}
