"""Looking around in what was collected and scored: page by page, as front doors show it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from db.models.learning import THUMBNAILS
from db.queries.catalog import browsing as rows
from db.queries.catalog.browsing import Order as Order  # noqa: PLC0414 - theirs and ours
from db.queries.learning import promotions
from services.context import Context
from services.crawl.watchlist import check_state
from services.errors import NotFoundError, UsageError
from services.learning.results import in_order, models_in_use
from services.paging import Page, moment, page_of, position
from services.watched import find

LOOKED_AT, SWAPS = 500, 20
"""Videos of a channel that are looked at for swaps, and swaps that are shown."""
MOST_POINTS = 2_000
"""Of a line over time."""


@dataclass(frozen=True)
class ChannelRow:
    """A channel in a list; ``subscriber_count`` is None where it is hidden or not known."""

    channel_id: str
    handle: str | None
    title: str | None
    state: str
    watched: bool
    paused_at: datetime | None
    language: str | None
    added_at: datetime
    refreshed_at: datetime | None
    tags: list[str]
    subscriber_count: int | None
    view_count: int | None
    video_count: int | None
    counts_at: datetime | None


@dataclass(frozen=True)
class VideoRow:
    """A video in a list, with what the model in use says of it.

    Attributes:
        views_per_day: Lifetime average.
        probability_over: That it gets at least the threshold of views a day.
        log10_residual: Measured minus predicted log10(views per day + 1).
        thumbnail_sha256: The picture that it shows now.
    """

    video_id: str
    channel_id: str
    channel_title: str | None
    title: str | None
    published_at: datetime
    format: str | None
    state: str
    duration_s: int | None
    view_count: int | None
    views_captured_at: datetime | None
    views_per_day: float | None
    probability_over: float | None
    predicted_views_per_day: float | None
    log10_residual: float | None
    scored_at: datetime | None
    thumbnail_sha256: str | None


@dataclass(frozen=True)
class VideoFacts(VideoRow):
    """One video with its history.

    Attributes:
        counts: Views, likes and comments over time.
        thumbnails: The pictures that it has shown, the first one first.
        scores: What each model in use says, from the bottom of the ladder up.
    """

    first_seen_at: datetime | None = None
    refreshed_at: datetime | None = None
    gone_at: datetime | None = None
    counts: list[dict[str, Any]] = field(default_factory=list)
    thumbnails: list[dict[str, Any]] = field(default_factory=list)
    scores: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class ModelInUse:
    """The model whose scores lists show."""

    model_version_id: int
    rung: str
    version: int
    is_champion: bool


def model_shown(context: Context) -> ModelInUse | None:
    """Return the champion; without one the topmost model in use, None if there is no model."""
    with context.transaction() as session:
        champion = promotions.model_of(session, task=THUMBNAILS)
    if champion is not None:
        return ModelInUse(champion.model_version_id, champion.rung, champion.version, True)
    models = {model.rung: model for model in models_in_use(context, THUMBNAILS)}
    if not models:
        return None
    top = models[in_order(models)[-1]]
    return ModelInUse(top.model_version_id, top.rung, top.version, False)


def channels(
    context: Context,
    *,
    tag: str | None = None,
    state: str | None = None,
    after: str | None = None,
    limit: int = 50,
) -> Page[ChannelRow]:
    """Return channels by title.

    Args:
        context: Where.
        tag: Only those that have it.
        state: Only in this state, ``paused``, ``watched`` or ``imported``.
        after: ``next`` of the page before.
        limit: The most to return.

    Raises:
        UsageError: There is no such state, or ``after`` is none of ours.
    """
    check_state(state)
    last = None if after is None else position(after, str, str)
    with context.transaction() as session:
        found = rows.channels(session, tag=tag, state=state, after=last, limit=limit + 1)
    return page_of(
        [ChannelRow(**row) for row in found], limit, lambda c: (c.title or "", c.channel_id)
    )


def videos(
    context: Context,
    *,
    order: Order = "newest",
    channel: str | None = None,
    title: str | None = None,
    after: str | None = None,
    limit: int = 50,
) -> Page[VideoRow]:
    """Return videos.

    Args:
        context: Where.
        order: The newest first, or by how far views are above or below what was predicted.
        channel: Only of this one: its id, @handle or address.
        title: Only those whose title has these words.
        after: ``next`` of the page before.
        limit: The most to return.

    Raises:
        UsageError: ``after`` is none of ours, the channel is not watched, or order and narrowing
            do not go together.
    """
    model = model_shown(context)
    if order == "newest":
        channel_id = None if channel is None else find(context, [channel])[0]
        last = None if after is None else position(after, moment, str)
        with context.transaction() as session:
            found = rows.newest_videos(
                session,
                model_version_id=model.model_version_id if model else None,
                channel_id=channel_id,
                title=title,
                after=last,
                limit=limit + 1,
            )
        return page_of(
            [VideoRow(**row) for row in found],
            limit,
            lambda v: (v.published_at.isoformat(), v.video_id),
        )
    if channel is not None or title is not None:
        raise UsageError(
            "videos by surprise are of all channels", hint="take a channel's or title's by newest"
        )
    if model is None:
        return Page([], None)
    by_residual = None if after is None else position(after, float, str)
    with context.transaction() as session:
        found = rows.surprising_videos(
            session,
            rung=model.rung,
            model_version_id=model.model_version_id,
            more_than_predicted=order == "underestimated",
            after=by_residual,
            limit=limit + 1,
        )
    return page_of(
        [VideoRow(**row) for row in found], limit, lambda v: (v.log10_residual, v.video_id)
    )


def video(context: Context, video_id: str) -> VideoFacts:
    """Return one video with its history.

    Raises:
        NotFoundError: It is not known.
    """
    model = model_shown(context)
    with context.transaction() as session:
        row = rows.video(
            session, video_id, model_version_id=model.model_version_id if model else None
        )
        if row is None:
            raise NotFoundError(
                f"there is no video {video_id}",
                reason="noVideo",
                hint="it is known once its channel was crawled",
            )
        scores = rows.scores_of(session, video_id)
        counts = rows.counts_over_time(session, video_id, limit=MOST_POINTS)
        thumbnails = rows.thumbnail_versions(session, video_id)
    places = {rung: place for place, rung in enumerate(in_order(s["rung"] for s in scores))}
    scores.sort(key=lambda score: (places[score["rung"]], -score["version"]))
    return VideoFacts(**row, counts=counts, thumbnails=thumbnails, scores=scores)


def subscribers(context: Context, channel_id: str) -> list[dict[str, Any]]:
    """Return a channel's counts over time."""
    with context.transaction() as session:
        return rows.subscribers_over_time(session, channel_id, limit=MOST_POINTS)


def swaps(context: Context, channel_id: str) -> list[dict[str, Any]]:
    """Return the newest changes of pictures among a channel's newest videos."""
    with context.transaction() as session:
        return rows.swaps_of(session, channel_id, videos=LOOKED_AT, limit=SWAPS)
