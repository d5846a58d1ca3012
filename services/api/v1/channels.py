"""Channels: watched, added, tagged, paused, forgotten."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import Field

from services import browsing
from services.api.dependencies import Body, Ctx, Cursor, Limit
from services.browsing import ChannelRow
from services.crawl import intake, watchlist
from services.crawl.intake import Outcome
from services.crawl.sources import NamedChannel
from services.paging import Page
from services.watched import find

router = APIRouter(prefix="/channels", tags=["channels"])
Named = Annotated[
    str, Path(description="Its id (UC…) or @handle.", examples=["@handle"], max_length=200)
]


class NewChannels(Body):
    """Channels to watch."""

    channels: list[str] = Field(
        min_length=1,
        max_length=1_000,
        description="Ids, @handles or addresses.",
        examples=[["@handle"]],
    )
    tags: list[str] = Field(default_factory=list, max_length=50, examples=[["garden"]])
    language: str | None = Field(default=None, description="What they speak.", examples=["en"])


class Tags(Body):
    """Tags to put on a channel, and to take off."""

    add: list[str] = Field(default_factory=list, max_length=50, examples=[["garden"]])
    remove: list[str] = Field(default_factory=list, max_length=50, examples=[["old"]])


@router.get("")
def list_channels(
    context: Ctx,
    tag: Annotated[str | None, Query(description="Only those that have it.")] = None,
    state: Annotated[
        str | None, Query(description="A state, or paused, watched or imported.")
    ] = None,
    after: Cursor = None,
    limit: Limit = 50,
) -> Page[ChannelRow]:
    """List channels by title."""
    return browsing.channels(context, tag=tag, state=state, after=after, limit=limit)


@router.post("")
def add_channels(context: Ctx, wanted: NewChannels) -> list[Outcome]:
    """Watch channels from now on; each has an outcome of its own."""
    named = [NamedChannel(place, text) for place, text in enumerate(wanted.channels, start=1)]
    return intake.add(context, named, tags=wanted.tags, language=wanted.language)


@router.get("/{channel}")
def show_channel(context: Ctx, channel: Named) -> dict[str, Any]:
    """Show what is known of a channel: facts, counts, states, and how its crawl stands."""
    return watchlist.facts(context, channel)


@router.get("/{channel}/counts")
def show_counts(context: Ctx, channel: Named) -> list[dict[str, Any]]:
    """Show its subscribers, views and videos over time, the oldest first."""
    return browsing.subscribers(context, find(context, [channel])[0])


@router.post("/{channel}/pause")
def pause_channel(context: Ctx, channel: Named) -> dict[str, list[str]]:
    """Collect nothing of it until it is resumed."""
    return {"changed": watchlist.set_paused(context, [channel], paused=True)}


@router.post("/{channel}/resume")
def resume_channel(context: Ctx, channel: Named) -> dict[str, list[str]]:
    """Go on with it."""
    return {"changed": watchlist.set_paused(context, [channel], paused=False)}


@router.post("/{channel}/tags")
def tag_channel(context: Ctx, channel: Named, tags: Tags) -> dict[str, int]:
    """Tag it, or take tags off; tells how many changed."""
    changed = 0
    for names, remove in ((tags.add, False), (tags.remove, True)):
        if names:
            changed += watchlist.tag(context, [channel], names, remove=remove)
    return {"changed": changed}


@router.delete("/{channel}")
def forget_channel(
    context: Ctx,
    channel: Named,
    dry_run: Annotated[bool, Query(description="Only tell what would go.")] = False,
) -> dict[str, Any]:
    """Delete it with all that was collected of it."""
    gone = watchlist.forget(context, channel, dry_run=dry_run)
    return asdict(gone) | {"deleted": not dry_run}
