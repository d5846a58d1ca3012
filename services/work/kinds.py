"""What there is to be done: each kind of work and of job, declared once.

A new kind of work is an entry in ``WORK_KINDS``, the service that does it and the worker's task of
that name; nothing else lists the kinds. The same holds for a kind of job and ``JOB_KINDS``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from services.queue import CRAWL, LEARNING, MEDIA, SCORING, Queue, Task

if TYPE_CHECKING:
    from services.youtube.quota import Bucket, Purpose

DATA_API, THUMBNAILS, FEED, SOUND = "data-api", "thumbnails", "feed", "media"
HOSTS: Final = (DATA_API, THUMBNAILS, FEED, SOUND)
"""Whom work asks; each has a breaker of its own."""


@dataclass(frozen=True, kw_only=True)
class WorkKind:
    """A kind of work: what is collected of one channel or one video, again and again or once.

    Attributes:
        name: ``channel.…`` or ``video.…``, by what an item of it is about.
        task: The worker's task that does a batch of it.
        host: Whose refusals and failures hold it back.
        batch_size: Items under one lease.
        most_leased: Batches under lease at once: enough for many workers, few enough that a lease
            does not run out while its message waits in the queue.
        buckets: Quota it may be paid from; it stands still when all of them are used up.
        purpose: Whose share of the shared bucket it uses.
        recurring: Falls due again by itself and begins with its channel or video, as part of every
            crawl. Otherwise it is done once, where somebody chose it.
        series: What retention keeps its snapshots as. One that is missed leaves a gap, which is
            noted as long. None: it collects versions, and between them nothing can be missed.
    """

    name: str
    task: Task
    host: str
    batch_size: int
    most_leased: int = 20
    buckets: "frozenset[Bucket]" = frozenset()
    purpose: "Purpose | None" = None
    recurring: bool = True
    series: str | None = None

    @property
    def queue(self) -> Queue:
        """Where its batches wait."""
        return self.task.queue

    @property
    def entity(self) -> str:
        """``channel`` or ``video``: what an item of it is about."""
        return self.name.partition(".")[0]


CHANNEL_DISCOVER: Final = WorkKind(
    name="channel.discover",
    task=Task("crawl.discover_channels", CRAWL),
    host=DATA_API,
    batch_size=10,  # a channel's uploads are a call for each fifty videos
    buckets=frozenset({"units"}),
    purpose="discovery",
    series="video-statistics",
)
CHANNEL_SNAPSHOT: Final = WorkKind(
    name="channel.snapshot",
    task=Task("crawl.snapshot_channels", CRAWL),
    host=DATA_API,
    batch_size=50,  # the ids of one call
    buckets=frozenset({"units"}),
    purpose="statistics",
    series="channel-statistics",
)
VIDEO_SNAPSHOT: Final = WorkKind(
    name="video.snapshot",
    task=Task("crawl.snapshot_videos", CRAWL),
    host=DATA_API,
    # Ten calls together: rows by the hundred are written several times as fast.
    batch_size=500,
    # Most videos need only the second; while either has units left, something can be done.
    buckets=frozenset({"units", "batchGetStats"}),
    purpose="statistics",
    series="video-statistics",
)
VIDEO_THUMBNAIL: Final = WorkKind(
    name="video.thumbnail",
    task=Task("media.fetch_thumbnails", MEDIA),
    host=THUMBNAILS,
    batch_size=500,
)
VIDEO_AUDIO: Final = WorkKind(
    name="video.audio",
    task=Task("media.fetch_audio", MEDIA),
    host=SOUND,
    # Each takes seconds to minutes; a refusal on the way costs the others of the batch a start.
    batch_size=4,
    most_leased=4,
    recurring=False,
)

WORK_KINDS: Final = {
    kind.name: kind
    for kind in (CHANNEL_DISCOVER, CHANNEL_SNAPSHOT, VIDEO_SNAPSHOT, VIDEO_THUMBNAIL, VIDEO_AUDIO)
}


@dataclass(frozen=True)
class JobKind:
    """A kind of job; ``task`` does one, None where dispatchers follow it to its end."""

    name: str
    task: Task | None


JOB_KINDS: Final = {
    kind.name: kind
    for kind in (
        JobKind("crawl", None),
        JobKind("train", Task("learning.train", LEARNING)),
        JobKind("score", Task("scoring.score", SCORING)),
        JobKind("compare", Task("learning.compare", LEARNING)),
        JobKind("retrain", Task("learning.retrain", LEARNING)),
        JobKind("upkeep", Task("control.maintain", CRAWL)),
        JobKind("backup", Task("control.back_up", CRAWL)),
    )
}

SCORE_SHARD: Final = Task("scoring.score_shard", SCORING)
"""Does a shard of a scoring, which is under a lease as a batch of work is."""


def recurring(entity: str | None = None) -> list[str]:
    """Return the kinds of work that fall due again by themselves: of an entity, or all."""
    return [
        kind.name
        for kind in WORK_KINDS.values()
        if kind.recurring and entity in (None, kind.entity)
    ]


def of_crawl(params: Mapping[str, Any]) -> list[str]:
    """Return the kinds of work that a crawl job with these parameters asks for."""
    return recurring() + ([VIDEO_AUDIO.name] if params.get("audio") else [])


def tasks() -> list[Task]:
    """Return every task that is ever sent."""
    return [
        *(kind.task for kind in WORK_KINDS.values()),
        *(kind.task for kind in JOB_KINDS.values() if kind.task is not None),
        SCORE_SHARD,
    ]
