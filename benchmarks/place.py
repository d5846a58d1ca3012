"""Where benchmarks run: an embedded PostgreSQL and Redis of their own, and an offline YouTube."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path

import psutil
from pydantic import SecretStr
from sqlalchemy import text

from db import migrate
from services import embedded
from services.clock import Clock, system_clock
from services.context import Context
from services.demo import KEY, OfflineYouTube, World, offline_youtube
from services.settings import Settings
from tests.support.databases import EMPTY, own_database


@contextmanager
def folder() -> Iterator[Path]:
    """Make a folder and remove it afterwards."""
    with tempfile.TemporaryDirectory(prefix="tubegrader-bench-") as made:
        yield Path(made)


@contextmanager
def empty_context(
    place: Path, *, clock: Clock = system_clock, **settings: object
) -> Iterator[Context]:
    """Run an embedded stack and open a context on its empty database and store.

    Nothing waits for the disk, on neither side of a comparison: a shared disk would drown both.
    """
    chosen = Settings.model_validate({"home": place / "home", **settings})
    with embedded.stack(chosen, role="benchmark", durable=False) as endpoints:
        # As the owner, who alone may vacuum.
        as_owner = {"database_url": endpoints.owner_url}
        context = Context(endpoints.applied_to(chosen).model_copy(update=as_owner), clock)
        try:
            yield context
        finally:
            context.close()


def servers(context: Context) -> list[psutil.Process]:
    """Return the embedded servers of a home, with the processes that they started."""
    home = str(context.settings.home)
    servers = [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(home in word for word in process.info["cmdline"] or ())
        and process.pid != os.getpid()
        and Path(process.info["cmdline"][0]).name in ("postgres", "redis-server")
    ]
    return [*servers, *(child for server in servers for child in server.children(recursive=True))]


@contextmanager
def another_database(context: Context, name: str) -> Iterator[Context]:
    """Open a second, empty database in the stack of a context."""
    with own_database(str(context.settings.database_url), name, template=EMPTY) as url:
        migrate.upgrade(url)
        settings = context.settings.model_copy(update={"database_url": url})
        with closing(Context(settings, context.clock)) as other:
            yield other


@contextmanager
def youtube(place: Path, *, channels: int, videos: int) -> Iterator[OfflineYouTube]:
    """Run an offline YouTube in a process of its own."""
    world = World(
        home=place / "youtube",
        catalog=None,
        channels=channels,
        videos=videos,
        effect=None,
        seed=7,
    )
    with offline_youtube(world) as running:
        yield running


def crawling_settings(place: Path, youtube: OfflineYouTube) -> Settings:
    """Return settings with which an embedded stack in the folder crawls an offline YouTube."""
    return Settings(
        home=place / "home",
        youtube_endpoint=youtube.url,
        thumbnail_url=youtube.url,
        feed_url=youtube.url,
        youtube_api_key=SecretStr(KEY),
    )


def add_videos(context: Context, n: int, *, slot: datetime, channels: int = 100) -> None:
    """Fill the database with so many known videos that are due at ``slot``."""
    with context.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO channels (channel_id, added_at) "
                "SELECT 'UC' || lpad(i::text, 22, '0'), :slot FROM generate_series(1, :n) i"
            ),
            {"n": channels, "slot": slot},
        )
        connection.execute(
            text(
                "INSERT INTO videos "
                "(video_id, channel_id, published_at, first_seen_at, refreshed_at) "
                "SELECT lpad(i::text, 11, '0'), 'UC' || lpad((i % :c + 1)::text, 22, '0'), "
                "CAST(:slot AS timestamptz) - interval '60 days', :slot, :slot "
                "FROM generate_series(1, :n) i"
            ),
            {"n": n, "c": channels, "slot": slot},
        )
        for kind in ("video.snapshot", "video.thumbnail"):
            connection.execute(
                text(
                    "INSERT INTO work_items "
                    "(kind, entity_id, channel_id, state, slot, ready_at) "
                    "SELECT :kind, video_id, channel_id, 'due', :slot, :slot FROM videos"
                ),
                {"kind": kind, "slot": slot},
            )
        connection.execute(text("ANALYZE"))
