"""What the job of a schedule is asked to do, worked out when it fires."""

from typing import Any

from sqlalchemy.orm import Session

from db.models import Schedule
from db.queries.catalog import channels, watchlist
from db.queries.speech import segments


def job_params(session: Session, schedule: Schedule) -> dict[str, Any] | None:
    """Return the params of a schedule's job; None while there is nothing to work on.

    A crawl's channels are those that are watched and not paused when it fires: all, or some
    named by id or by tag.
    """
    if schedule.kind == "upkeep":
        return dict(schedule.params)
    if schedule.params.get("task") == "speech":
        return dict(schedule.params) if segments.has_clips(session) else None
    watched = channels.ids(session, paused=False)
    if schedule.kind != "crawl":
        return dict(schedule.params) if watched else None
    chosen = watched
    if "channel_ids" in schedule.params:
        chosen = sorted(set(schedule.params["channel_ids"]).intersection(watched))
    if "tags" in schedule.params:
        tagged = watchlist.tagged(session, schedule.params["tags"])
        chosen = sorted(tagged.intersection(chosen))
    return {"channel_ids": chosen} if chosen else None


def nothing(schedule: Schedule) -> tuple[str, str, str]:
    """Say what a schedule lacks whose job has nothing to work on: reason, words, what to do."""
    if schedule.params.get("task") == "speech":
        return (
            "noSpeech",
            "no speech to learn from",
            "`tubegrader audio add CHANNEL…`, then `tubegrader crawl --audio`",
        )
    return "noChannels", "no channel to work on", "`tubegrader crawl @handle` adds one"
