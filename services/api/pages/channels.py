"""Channels, and one channel."""

from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from services import browsing
from services.api import charts
from services.api.dependencies import Ctx, Cursor
from services.api.rendering import page
from services.browsing import VideoRow
from services.crawl import intake, runs, watchlist
from services.crawl.sources import read_channels
from services.errors import UsageError

router = APIRouter(prefix="/channels")
MOST_CHANNELS = 1_000


@router.get("")
def list_channels(
    request: Request,
    context: Ctx,
    tag: str | None = None,
    state: str | None = None,
    after: Cursor = None,
) -> HTMLResponse:
    """List channels by title."""
    found = browsing.channels(context, tag=tag or None, state=state or None, after=after)
    return page("channels.html", request, found=found, tag=tag, state=state, outcomes=None)


@router.post("")
def add_channels(
    request: Request,
    context: Ctx,
    channels: Annotated[str, Form(max_length=200_000)],
    crawl: Annotated[bool, Form()] = False,
) -> Response:
    """Watch the channels of a list in any form that is read, and crawl them if that is wanted."""
    named = read_channels(channels.encode("utf-8", "replace"), "this list")
    if len(named) > MOST_CHANNELS:
        raise UsageError(
            f"{len(named):,} channels are more than {MOST_CHANNELS:,} at a time",
            hint="`tubegrader channels add --from FILE` takes any number",
        )
    outcomes = intake.add(context, named)
    ids = sorted({o.channel_id for o in outcomes if o.channel_id is not None and not o.failed})
    if crawl and ids and not any(outcome.failed for outcome in outcomes):
        return RedirectResponse(f"/jobs/{runs.start(context, ids)}", 303)
    found = browsing.channels(context)
    return page("channels.html", request, found=found, tag=None, state=None, outcomes=outcomes)


@router.get("/{channel}")
def show_channel(
    request: Request, context: Ctx, channel: str, after: Cursor = None
) -> HTMLResponse:
    """Show one channel: what is known of it, how it grew, its videos."""
    facts = watchlist.facts(context, channel)
    channel_id = facts["channel_id"]
    counts = browsing.subscribers(context, channel_id)
    shown = browsing.videos(context, channel=channel_id, after=after, limit=30)
    return page(
        "channel.html",
        request,
        channel=facts,
        uploads=_uploads(shown.items) if after is None else None,
        swaps=browsing.swaps(context, channel_id),
        growth=charts.line([(c["captured_at"], c["subscriber_count"]) for c in counts]),
        videos=shown,
        model=browsing.model_shown(context),
    )


def _uploads(newest: Sequence[VideoRow]) -> float | None:
    """Return how many days lie between two uploads of late; None of fewer than two."""
    if len(newest) < 2:  # noqa: PLR2004
        return None
    span = newest[0].published_at - newest[-1].published_at
    return span.total_seconds() / 86_400 / (len(newest) - 1)


@router.post("/{channel}/{action}")
def act_on(
    context: Ctx,
    channel: str,
    action: Literal["pause", "resume", "forget", "crawl", "tag"],
    tag: Annotated[str, Form(max_length=100)] = "",
    confirmed: Annotated[bool, Form()] = False,
) -> RedirectResponse:
    """Pause, resume, crawl, tag or forget a channel."""
    facts = watchlist.facts(context, channel)
    channel_id = facts["channel_id"]
    if action == "crawl":
        return RedirectResponse(f"/jobs/{runs.start(context, [channel_id])}", 303)
    if action == "forget" and confirmed:
        watchlist.forget(context, channel_id)
        return RedirectResponse("/channels", 303)
    if action == "tag" and tag.strip():
        remove = tag.strip() in facts["tags"]
        watchlist.tag(context, [channel_id], [tag.strip()], remove=remove)
    elif action in ("pause", "resume"):
        watchlist.set_paused(context, [channel_id], paused=action == "pause")
    return RedirectResponse(f"/channels/{channel_id}", 303)
