"""Pictures that are removed while a worker finds them in the store: they are there in the end."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text

from services.context import Context
from services.crawl import intake, watchlist
from services.emulator.catalog import Catalog
from services.emulator.synthetic import synthetic_catalog
from services.policy import ownership, retention
from services.storage import ObjectStore, object_name
from tests.support.crawl import NOW, Crawl, offline_crawl, rows

LONG_AGO = NOW.timestamp() - 30 * 86_400


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return synthetic_catalog(seed=3, epoch=NOW, channels=2, videos=24)


class Interrupted(ObjectStore):
    """Does something between the moment a worker put pictures and the one it speaks of them."""

    then: Callable[[], object] | None = None

    def put_new(self, contents: Sequence[bytes]) -> set[str]:
        there = super().put_new(contents)
        then, self.then = self.then, None
        if then is not None:
            then()
        return there


def interrupt(context: Context, then: Callable[[], object]) -> None:
    store = Interrupted.from_url(context.settings.storage_url)
    store.then = then
    context.__dict__["store"] = store


def leave_behind(context: Context, catalog: Catalog, video_ids: Sequence[str]) -> list[str]:
    """Put pictures as a worker did that was killed long ago."""
    ownership.claim(context)
    names = context.store.put_many([catalog.picture(v) for v in video_ids])
    folder = Path(str(context.settings.storage_url).removeprefix("file://"))
    for name in names:
        os.utime(folder / object_name(name), (LONG_AGO, LONG_AGO))
    return names


def check_all_there(crawl: Crawl, catalog: Catalog, channel_id: str) -> None:
    shown = rows(
        crawl.context,
        "SELECT video_id, thumbnail_sha256 FROM video_thumbnails JOIN videos USING (video_id) "
        "WHERE is_current AND channel_id = :c",
        c=channel_id,
    )
    assert {v for v, _ in shown} == {v.video_id for v in catalog.uploads(channel_id, NOW)}
    pictures = crawl.context.store.get_many([name for _, name in shown])
    assert [hashlib.sha256(p).hexdigest() for p in pictures] == [name for _, name in shown]


@contextmanager
def crawl_of(context: Context, catalog: Catalog, channel_id: str) -> Iterator[Crawl]:
    with offline_crawl(context, catalog, watch=False) as crawl:
        intake.add_all(crawl.context, [channel_id])
        yield crawl


def test_what_a_sweep_removed_meanwhile_is_stored_again(context: Context, catalog: Catalog):
    one, _ = catalog.channels
    with crawl_of(context, catalog, one) as crawl:
        own = crawl.context
        left = leave_behind(own, catalog, [v.video_id for v in catalog.uploads(one, NOW)])
        swept = []

        def sweep() -> None:
            report = retention.purge(own, dry_run=False, kinds=["orphans"])
            swept.append(report.kinds[0].rows)

        interrupt(own, sweep)
        crawl.run()
        assert swept == [len(left)]
        check_all_there(crawl, catalog, one)


def test_what_a_forgotten_channel_took_along_is_stored_again(context: Context, catalog: Catalog):
    one, other = catalog.channels
    with crawl_of(context, catalog, one) as crawl:
        own = crawl.context
        crawl.run()
        shared = leave_behind(own, catalog, [v.video_id for v in catalog.uploads(other, NOW)])
        shows = catalog.uploads(one, NOW)[0].video_id
        with own.engine.begin() as connection:
            for version, name in enumerate(shared, start=100):
                values = {"v": shows, "n": version, "s": name, "t": NOW}
                connection.execute(
                    text(
                        "INSERT INTO thumbnails (thumbnail_sha256, format, width, height, "
                        "byte_size, stored_at) VALUES (:s, 'jpeg', 320, 180, 1, :t)"
                    ),
                    values,
                )
                connection.execute(
                    text(
                        "INSERT INTO video_thumbnails (video_id, version, thumbnail_sha256, "
                        "variant, is_current, first_seen_at, last_seen_at) "
                        "VALUES (:v, :n, :s, 'mqdefault', false, :t, :t)"
                    ),
                    values,
                )
        intake.add_all(own, [other])
        interrupt(own, lambda: watchlist.forget(own, one))
        crawl.run([other])
        assert rows(own, "SELECT channel_id FROM channels") == [(other,)]
        check_all_there(crawl, catalog, other)


def test_nobody_speaks_of_a_picture_while_it_is_removed(context: Context, catalog: Catalog):
    one, _ = catalog.channels
    with crawl_of(context, catalog, one) as crawl, ThreadPoolExecutor(1) as pool:
        own = crawl.context
        leave_behind(own, catalog, [v.video_id for v in catalog.uploads(one, NOW)])
        sweeping = []
        interrupt(
            own,
            lambda: sweeping.append(
                pool.submit(retention.purge, own, dry_run=False, kinds=["orphans"])
            ),
        )
        crawl.run()
        assert len(sweeping) == 1
        sweeping[0].result(timeout=30)
        check_all_there(crawl, catalog, one)
