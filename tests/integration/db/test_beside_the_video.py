"""Newest counts and current scores beside the video: whatever happens, views say what is so."""

import random
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from db import migrate
from db.queries.catalog import videos
from db.queries.learning import current_scores, unscored
from db.views import view_sql
from services.context import Context
from services.embedded import Endpoints
from services.policy import approvals, retention
from tests.support.catalogue import Catalogue, picture
from tests.support.databases import EMPTY, context_on, own_database, owned, owner_engine

NOW = datetime(2026, 7, 15, 12, tzinfo=UTC)
NEWEST = "SELECT video_id, slot, view_count FROM newest_counts WHERE slot IS NOT NULL ORDER BY 1"
SHOWN = "SELECT * FROM scored_videos ORDER BY video_id, rung"


def before(name: str, version: int) -> str:
    """The statement that makes an older version of a view beside the present one."""
    made, _, _ = view_sql(name, version).partition("COMMENT ON VIEW")
    return made.replace(f"CREATE VIEW {name}", f"CREATE VIEW {name}_before")


@pytest.fixture
def catalogue(context: Context) -> Catalogue:
    context.clock = lambda: NOW
    return Catalogue(context, NOW)


def assert_same(found: object, expected: object) -> None:
    assert isinstance(found, list)
    assert isinstance(expected, list)
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            if isinstance(other, float):
                assert one == pytest.approx(other, rel=1e-12)
            else:
                assert one == other


@pytest.mark.parametrize("seed", range(4))
def test_scored_videos_says_what_it_said_when_it_read_everything(catalogue: Catalogue, seed: int):
    draw = random.Random(seed)
    ids = catalogue.add(8)
    with owner_engine(catalogue.context) as engine, engine.begin() as connection:
        connection.execute(text(before("scored_videos", 3)))
    for one in ids:
        catalogue.show(one, 0, now=NOW - timedelta(days=70))
    catalogue.train()

    def count() -> None:
        views = draw.choice([None, draw.randrange(10**6)])
        slot = NOW - timedelta(days=draw.randrange(70))
        catalogue.count(draw.sample(ids, 3), slot, views)

    def score() -> None:
        which = draw.choice([0, 0, 1])
        shown = [one for one in ids if catalogue.sql(
            "SELECT FROM video_thumbnails WHERE video_id = :v AND thumbnail_sha256 = :p",
            v=one, p=picture(one, which))]  # fmt: skip
        if shown:
            some = draw.sample(shown, min(3, len(shown)))
            catalogue.score(some, draw.choice(catalogue.models), which, draw.uniform(0, 5))

    def swap() -> None:
        catalogue.show(draw.choice(ids), draw.randrange(3), now=NOW)

    def begin() -> None:
        at = NOW - timedelta(days=draw.randrange(80, 85))
        with catalogue.context.transaction() as session:
            row = {"video_id": draw.choice(ids), "actual_start_at": at}
            videos.refresh(session, [row], now=NOW)

    def forget() -> None:
        with catalogue.context.transaction() as session:
            current_scores.forget(session)

    def purge() -> None:
        retention.purge(catalogue.context, dry_run=False, kinds=["video-statistics"])

    steps = [
        *[count] * 6, *[score] * 6, *[swap] * 3, begin, forget, purge,
        lambda: catalogue.train() if draw.random() < 0.5 else None,
        lambda: catalogue.promote(draw.choice(catalogue.models)) if draw.random() < 0.5 else None,
    ]  # fmt: skip
    seen = 0
    for _ in range(60):
        draw.choice(steps)()
        expected = catalogue.sql(SHOWN.replace("scored_videos", "scored_videos_before"))
        assert_same(catalogue.sql(SHOWN), expected)
        seen += len(expected)
    assert seen > 60


def test_a_slot_that_comes_late_leaves_the_newest_count_alone(catalogue: Catalogue):
    [one] = catalogue.add(1)
    newer, older = NOW - timedelta(days=1), NOW - timedelta(days=2)
    assert catalogue.count([one], newer, 200) == 1
    assert catalogue.count([one], older, 100) == 1
    assert catalogue.sql(NEWEST) == [(one, newer, 200)]
    # What was not shown is no count, and a second message about a slot changes nothing.
    assert catalogue.count([one], NOW, None) == 1
    assert catalogue.count([one], newer, 999) == 0
    assert catalogue.sql(NEWEST) == [(one, newer, 200)]


def test_the_newest_count_goes_with_its_snapshot(catalogue: Catalogue):
    long_ago, recent, other = catalogue.add(3)
    catalogue.count([long_ago, other], NOW - timedelta(days=75), 10)
    catalogue.count([recent], NOW - timedelta(days=31), 20)
    catalogue.count([recent], NOW - timedelta(days=26), 30)
    found = retention.purge(catalogue.context, dry_run=False, kinds=["video-statistics"]).kinds[0]
    assert found.partitions  # whole months went, which no row's own deletion tells of
    assert [row[0] for row in catalogue.sql(NEWEST)] == [recent]
    assert catalogue.sql("SELECT count(view_count), count(views_per_day) FROM newest_counts") == [
        (1, 1)
    ]


def test_the_newest_count_stays_where_an_approval_lets_its_snapshot_stay(catalogue: Catalogue):
    ids = catalogue.add(2)
    catalogue.count(ids, NOW - timedelta(days=40), 10)
    approvals.add(catalogue.context, "letter 9", scope="statistics", channel_id="UC" + "a" * 22)
    settings = catalogue.context.settings
    catalogue.context.settings = settings.model_copy(update={"retention_video_statistics_days": 60})
    retention.purge(catalogue.context, dry_run=False, kinds=["video-statistics"])
    assert [row[0] for row in catalogue.sql(NEWEST)] == [ids[0]]


def test_a_count_and_a_score_at_the_same_moment_both_arrive(catalogue: Catalogue):
    [one] = catalogue.add(1)
    catalogue.show(one, 0, now=NOW)
    [model, _] = catalogue.train()
    catalogue.count([one], NOW - timedelta(days=1), 100)
    with catalogue.context.engine.connect() as counting:
        counting.execute(
            text(
                "INSERT INTO video_snapshots (video_id, slot, captured_at, view_count) "
                "VALUES (:v, :t, :t, 10000)"
            ),
            {"v": one, "t": NOW},
        )
        scoring = threading.Thread(target=catalogue.score, args=([one], model, 0, 1.0))
        scoring.start()
        waiting = (
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        while catalogue.sql(waiting) == [(0,)] and scoring.is_alive():
            pass
        counting.commit()
        scoring.join()
    assert catalogue.sql("SELECT view_count FROM scored_videos WHERE views_per_day > 100") == [
        (10000,)
    ]


def test_an_older_ladder_that_is_promoted_is_read_at_once(catalogue: Catalogue):
    ids = catalogue.add(3)
    for one in ids:
        catalogue.show(one, 0, now=NOW)
    catalogue.count(ids, NOW - timedelta(days=1), 1000)
    first, second = catalogue.train(), catalogue.train()
    for model in (*first, *second):
        catalogue.score(ids, model, 0, 1.0)
    catalogue.promote(second[0])
    with catalogue.context.transaction() as session:
        assert current_scores.forget(session) == 6
    catalogue.promote(first[0])
    assert catalogue.sql(
        "SELECT rung, model_version, count(log10_residual) FROM scored_videos GROUP BY 1, 2"
        " ORDER BY 1"
    ) == [("subscribers", 1, 3), ("thumbnail", 1, 3)]


def test_only_what_lacks_a_score_of_the_picture_shown_now_is_to_be_scored(catalogue: Catalogue):
    ids = catalogue.add(5)
    for one in ids:
        catalogue.show(one, 0, now=NOW)
    models = catalogue.train()
    for model in models:
        catalogue.score(ids[:4], model, 0, 1.0)
    catalogue.show(ids[1], 1, now=NOW)
    catalogue.show(ids[2], 1, now=NOW)
    catalogue.show(ids[2], 0, now=NOW)  # its first picture again, which has its scores

    def lacking(wanted: list[int]) -> list[str]:
        with catalogue.context.transaction() as session:
            found, before = [], None
            while True:
                page = unscored.page(session, model_version_ids=wanted, before=before, limit=2)
                found += page.video_ids
                if (before := page.last) is None:
                    break
            asked = unscored.to_score(session, ids, model_version_ids=wanted, now=NOW)
            assert unscored.count(session, model_version_ids=wanted) == len(found) == len(asked)
        return sorted(found)

    assert lacking(models) == [ids[1], ids[4]]
    assert lacking([*models, *catalogue.train()]) == ids


def test_a_database_with_rows_is_filled_and_one_that_was_killed_at_it_too(
    endpoints: Endpoints, tmp_path
):
    with own_database(owned(endpoints.database_url), "filled", template=EMPTY) as url:
        migrate.upgrade(url)
        with closing(context_on(url, endpoints, tmp_path)) as context:
            context.clock = lambda: NOW
            catalogue = Catalogue(context, NOW)
            ids = catalogue.add(50)
            for one in ids:
                catalogue.show(one, 0, now=NOW)
            catalogue.count(ids, NOW - timedelta(days=2), 100)
            catalogue.count(ids[:25], NOW - timedelta(days=1), 200)
            for model in catalogue.train():
                catalogue.score(ids, model, 0, 1.0)
            expected = catalogue.sql(SHOWN)
            newest = catalogue.sql(NEWEST)
            assert len(expected) == 100
            context.engine.dispose()
            migrate.downgrade(url, "0015")
            # It ends badly after the rows were filled: something is in the place of its index.
            catalogue.sql("CREATE TABLE ix_video_thumbnails_swapped_at (n int)")
            with pytest.raises(ProgrammingError, match="is not an index"):
                migrate.upgrade(url)
            assert catalogue.sql(SHOWN) == expected  # the view is still that of before
            catalogue.count(ids[:1], NOW, 300)
            # What was filled is not filled again.
            wrong = "UPDATE newest_counts SET view_count = 7 WHERE video_id = :v"
            catalogue.sql(wrong, v=ids[-1])
            catalogue.sql("DROP TABLE ix_video_thumbnails_swapped_at")
            migrate.upgrade(url)
            [*others, (last, _, views)] = catalogue.sql(NEWEST)
            assert others == [(ids[0], NOW, 300), *newest[1:-1]]
            assert (last, views) == (ids[-1], 7)
            assert catalogue.sql(SHOWN)[2:-2] == expected[2:-2]
            assert catalogue.sql("SELECT to_regclass('unfinished_changes')") == [(None,)]
