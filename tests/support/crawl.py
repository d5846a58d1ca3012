"""A crawl without processes: the real services on real parts, with a clock one can turn."""

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from services.context import Context
from services.crawl import channels, discovery, intake, runs, statistics
from services.emulator.catalog import Catalog
from services.media import audio, thumbnails
from services.queue import Task
from services.tick import dispatch
from services.work import jobs
from tests.support.emulator import fetch, running_emulator

NOW = datetime(2026, 7, 15, 12, 0, tzinfo=UTC)
KEY = "a-key"

SERVICES: dict[str, Callable[[Context, uuid.UUID], int]] = {
    "crawl.discover_channels": discovery.discover_channels,
    "crawl.snapshot_channels": channels.snapshot_channels,
    "crawl.snapshot_videos": statistics.snapshot_videos,
    "media.fetch_thumbnails": thumbnails.fetch_batch,
    "media.fetch_audio": audio.fetch_batch,
}
TABLES = (
    "channels",
    "channel_snapshots",
    "videos",
    "video_snapshots",
    "thumbnails",
    "video_thumbnails",
    "work_items",
    "jobs",
)


@dataclass
class TurnableClock:
    """A clock that stands still until it is turned."""

    now: datetime = NOW

    def __call__(self) -> datetime:
        return self.now

    def advance(self, by: timedelta) -> None:
        self.now += by


@dataclass
class DirectQueue:
    """In place of the network: a message runs its service at once, unless it is lost."""

    context: Context
    sent: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    loses: Callable[[str], bool] = lambda _name: False

    def lengths(self) -> dict[str, int]:
        return {}

    def send(self, task: Task, *args: str) -> None:
        self.sent.append((task.name, args))
        if not self.loses(task.name):
            SERVICES[task.name](self.context, uuid.UUID(args[0]))


@dataclass
class Crawl:
    """One offline YouTube and a context that collects from it."""

    context: Context
    clock: TurnableClock
    queue: DirectQueue
    url: str

    def run(self, channel_ids: list[str] | None = None) -> jobs.JobView:
        """Crawl as a job and dispatch until it has ended, or waits and nothing is due."""
        job_id = runs.start(self.context, channel_ids)
        self.settle()
        return jobs.view(self.context, job_id)

    def settle(self) -> None:
        """Dispatch until a tick finds nothing, then once more for the jobs to notice."""
        dispatch(self.context)
        while dispatch(self.context):
            pass

    def turn(self, **by: float) -> None:
        """Let time pass, of everybody: ours and the offline YouTube's."""
        self.clock.advance(timedelta(**by))

    def truth(self) -> dict[str, Any]:
        """What the offline YouTube really has at this moment."""
        return self._behind_the_scenes("truth")

    def truth_at(self, moment: datetime) -> dict[str, Any]:
        """What it had, or will have, at another moment."""
        return self._behind_the_scenes(f"truth?at={moment:%Y-%m-%dT%H:%M:%S}Z")

    def charged(self, key: str = KEY) -> dict[tuple[str, str], int]:
        """What the offline YouTube has booked on a key: calls by Pacific day and bucket."""
        rows = self._behind_the_scenes("quota")["quota"]
        return {(r["pacific_day"], r["bucket"]): r["charged"] for r in rows if r["key"] == key}

    def served(self) -> dict[str, dict[str, int]]:
        """The answers it gave: by endpoint, by status."""
        found: dict[str, dict[str, int]] = self._behind_the_scenes("requests")["requests"]
        return found

    def _behind_the_scenes(self, what: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(fetch(f"{self.url}/emulator/{what}").body)
        return found


def without_channel(catalog: Catalog, channel_id: str) -> Catalog:
    """Return the world as it is once a channel was deleted, its videos with it."""
    return replace(
        catalog,
        channels={k: v for k, v in catalog.channels.items() if k != channel_id},
        videos={k: v for k, v in catalog.videos.items() if v.channel_id != channel_id},
    )


@contextmanager
def offline_crawl(
    context: Context,
    catalog: Catalog,
    *,
    clock: TurnableClock | None = None,
    key: str = KEY,
    watch: bool = True,
    settings: dict[str, Any] | None = None,
    **emulator: Any,
) -> Iterator[Crawl]:
    """Serve a catalogue and collect from it into the database and store of ``context``.

    Args:
        context: Its database and object store are used.
        catalog: The world.
        clock: Tells the time to both sides.
        key: The API key to ask with.
        watch: Begin to watch every channel of the catalogue.
        settings: Changes of the settings.
        emulator: Options of the offline YouTube, such as ``quotas``.
    """
    clock = clock or TurnableClock()
    with running_emulator(catalog, clock=clock, **emulator) as running:
        offline = {
            "youtube_endpoint": running.url,
            "thumbnail_url": running.url,
            "feed_url": running.url,
            "youtube_api_key": key,
        }
        values = {**context.settings.model_dump(), **offline, **(settings or {})}
        own = Context(type(context.settings)(**values), clock)
        with own.engine.begin() as connection:
            # What is scheduled by default would begin at night, in a queue nobody works on here.
            connection.execute(text("DELETE FROM schedules"))
        queue = DirectQueue(own)
        own.__dict__["queue"] = queue
        try:
            if watch:
                intake.add_all(own, list(catalog.channels))
            yield Crawl(own, clock, queue, running.url)
        finally:
            own.close()


def rows(context: Context, query: str, **values: object) -> list[tuple[Any, ...]]:
    """What a query gives."""
    with context.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query), values)]


def value(context: Context, query: str, **values: object) -> Any:
    """The one value that a query gives."""
    [(only,)] = rows(context, query, **values)
    return only


def counts(context: Context) -> dict[str, int]:
    """How many rows each table has, and how many objects are in the store."""
    found = {table: value(context, f"SELECT count(*) FROM {table}") for table in TABLES}
    return found | {"objects": len(context.store.names())}


def newest_counts(context: Context) -> set[tuple[object, ...]]:
    """The newest counts of every public video in the database, comparable to ``true_counts``."""
    return set(
        rows(
            context,
            "SELECT DISTINCT ON (video_id) video_id, channel_id, published_at, view_count, "
            "like_count, comment_count FROM videos JOIN video_snapshots USING (video_id) "
            "WHERE state = 'public' ORDER BY video_id, slot DESC",
        )
    )


def true_counts(truth: dict[str, Any]) -> set[tuple[object, ...]]:
    """The counts of every public video of the offline YouTube."""
    return {
        (
            video["video_id"],
            video["channel_id"],
            datetime.fromisoformat(video["published_at"]),
            video["views"],
            video["likes"],
            video["comments"],
        )
        for video in truth["videos"]
    }
