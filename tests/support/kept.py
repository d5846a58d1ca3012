"""Installations to back up and restore: rows and objects, and whether two have the same."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
from sqlalchemy import text

from db.partitions import ensure_partitions
from db.queries.catalog import channels
from services.backups.restoring import Restored, restore
from services.backups.target import Target
from services.context import Context
from services.embedded import Endpoints
from services.storage import ObjectStore
from tests.support.databases import EMPTY, context_on, own_database, owned
from tests.support.stored import store_videos

NOW = datetime(2026, 12, 1, 0, tzinfo=UTC)


def collect(context: Context, first: int, number: int) -> None:
    """Have a channel with videos, each with a picture of its own."""
    with context.transaction() as session:
        ensure_partitions(session.connection(), start=NOW)
        channel_id = f"UC{first:022d}"
        channels.add(session, [channel_id], now=NOW)
        drawn = [
            {
                "video_id": f"v{first + n:010d}",
                "channel_id": channel_id,
                "published_at": NOW,
                "views": n,
                "picture": picture(first + n),
            }
            for n in range(number)
        ]
        store_videos(context, session, drawn, now=NOW)


def picture(number: int) -> bytes:
    """The bytes of a picture that nobody decodes."""
    return f"picture {number} ".encode() * (50 + number % 50)


def rows_of(database_url: str) -> dict[str, list[str]]:
    """Every row of every table, in one order."""
    address = owned(database_url).replace("+psycopg", "", 1)
    with psycopg.connect(address) as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' "
            "AND relnamespace = 'public'::regnamespace ORDER BY 1"
        ).fetchall()
        return {
            name: sorted(
                row[0] for row in connection.execute(f'SELECT t::text FROM "{name}" t').fetchall()
            )
            for (name,) in tables
        }


def objects_of(context: Context) -> dict[str, bytes]:
    """Every object of a store, as it is read."""
    names = context.store.names()
    return dict(zip(names, context.store.get_many(names), strict=True))


@contextmanager
def restored(
    endpoints: Endpoints, target: Target, folder: Path, name: str = "newest", **how: object
) -> Iterator[tuple[Restored, Context]]:
    """A backup restored into a database and a folder of its own."""
    with own_database(endpoints.database_url, "restored", template=EMPTY) as url:
        context = context_on(url, endpoints, folder)
        try:
            done = restore(
                target,
                name,
                owner_url=owned(url),
                storage_url=str(context.settings.storage_url),
                now=NOW,
                **how,  # type: ignore[arg-type]
            )
            yield done, context
        finally:
            context.close()


def lose_pictures(context: Context, number: int) -> None:
    """Forget the first pictures as a purge does: rows say so, bytes are deleted."""
    with context.transaction() as session:
        gone = session.scalars(
            text(
                "UPDATE thumbnails SET purged_at = now() WHERE thumbnail_sha256 IN (SELECT "
                "thumbnail_sha256 FROM thumbnails WHERE purged_at IS NULL ORDER BY 1 LIMIT :n) "
                "RETURNING thumbnail_sha256"
            ),
            {"n": number},
        ).all()
    context.store.delete_many(gone)


def store_of(url: str) -> ObjectStore:
    """A store by its address."""
    return ObjectStore.from_url(url)
