"""Daily counts: completeness says of them what it said when it read every snapshot and note."""

import random
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, time, timedelta

import pytest
from sqlalchemy.exc import ProgrammingError

from db import migrate
from db.partitions import ensure_partitions_of
from db.queries.catalog import counted
from db.queries.work import work_items
from db.views import view_sql
from services import tick
from services.context import Context
from services.crawl import completeness, overdue
from services.embedded import Endpoints
from services.policy import retention
from services.work import maintenance
from tests.support.catalogue import Catalogue
from tests.support.databases import EMPTY, context_on, own_database, owned, owner_engine

NOW = datetime(2025, 7, 15, 12, tzinfo=UTC)
"""Long ago: the views ask the database's own clock."""
A, B = ("UC" + letter * 22 for letter in "ab")
GAPS = "SELECT channel_id, day, kind, reason, n_slots, n_entities FROM {}"
DAYS = (
    "SELECT channel_id, channel_title, day, kind, expected, collected, late, missing, reasons "
    "FROM {}"
)
VIEWS = {"completeness": DAYS, "completeness_gaps": GAPS}
REASONS = ("overdue", "overdue", "paused", "quotaExceeded", "videoGone")


def make_views_before(context: Context) -> None:
    """Make what the views were, under other names, beside them."""
    names = ("slots_not_collected", "completeness_since", "completeness_gaps", "completeness")
    with owner_engine(context) as engine, engine.begin() as connection:
        for file, version in (("completeness_gaps", 3), ("completeness", 1)):
            made, _, _ = view_sql(file, version).partition("COMMENT ON VIEW")
            for name in names[: 3 if file == "completeness_gaps" else 4]:
                made = made.replace(f"{name}(", f"{name}_before(")
                made = made.replace(f"VIEW {name} AS", f"VIEW {name}_before AS")
            connection.exec_driver_sql(made.replace("%", "%%"))


def differences(catalogue: Catalogue) -> list[object]:
    """Return the rows in which the views of now and before differ, in one transaction."""
    found: list[object] = []
    for view, rows in (("completeness_gaps", GAPS), ("completeness", DAYS)):
        ours, theirs = rows.format(view), rows.format(view + "_before")
        found += catalogue.sql(
            f"WITH ours AS MATERIALIZED ({ours}), theirs AS MATERIALIZED ({theirs}) "
            "(TABLE ours EXCEPT TABLE theirs) UNION ALL (TABLE theirs EXCEPT TABLE ours)"
        )
    return found


def uncounted(catalogue: Catalogue) -> list[object]:
    """Return in what differs what is overdue from what a dispatcher counts of it."""
    overdue.count(catalogue.context)
    now = catalogue.context.clock()
    counted = "SELECT channel_id, day, kind, reason, {} FROM {} "
    kept = counted.format("n_slots, n_entities", "overdue_counts")
    asked = counted.format("sum(n_slots), sum(n_entities)", "little_overdue(:now)")
    asked += "GROUP BY 1, 2, 3, 4"
    return list(
        catalogue.sql(f"({kept} EXCEPT {asked}) UNION ALL ({asked} EXCEPT {kept})", now=now)
    )


class Happenings:
    """What may happen to a catalogue, drawn by chance."""

    def __init__(self, catalogue: Catalogue, seed: int) -> None:
        self.draw = random.Random(seed)
        self.catalogue = catalogue
        self.ids = catalogue.add(12)
        with catalogue.context.transaction() as session:
            for kind in ("video.snapshot", "video.thumbnail"):
                owners = [(one, (A, B)[i % 2]) for i, one in enumerate(self.ids)]
                work_items.add_items(session, kind, owners, slot=NOW)
            for kind in ("channel.discover", "channel.snapshot"):
                work_items.add_items(session, kind, [(A, A), (B, B)], slot=NOW)

    def moment(self, days: int = 20) -> datetime:
        return NOW - timedelta(hours=self.draw.randrange(24 * days))

    def sql(self, statement: str, **values: object) -> None:
        self.catalogue.sql(statement, **values)

    def steps(self) -> list[Callable[[], object]]:
        return [
            *[self.collect] * 5, *[self.miss] * 4, *[self.work] * 4, self.collect_channel,
            self.correct, self.remove, self.remember_less, self.pause, self.find, self.find_again,
            self.add_again, self.purge, self.remove_video, self.add_up, self.merge,
        ]  # fmt: skip

    def collect(self) -> None:
        slot = self.moment()
        at = slot + timedelta(minutes=self.draw.choice([0, 60, 61, 3000]))
        with self.catalogue.context.transaction() as session:
            ensure_partitions_of(session.connection(), [slot])  # one may have been purged
        for one in self.draw.sample(self.ids, min(4, len(self.ids))):
            self.sql(
                "INSERT INTO video_snapshots (video_id, slot, captured_at, view_count) "
                "VALUES (:v, :slot, :at, 7) ON CONFLICT DO NOTHING",
                v=one, slot=slot, at=at,
            )  # fmt: skip

    def collect_channel(self) -> None:
        self.sql(
            "INSERT INTO channel_snapshots (channel_id, slot, captured_at) "
            "VALUES (:c, :slot, :slot) ON CONFLICT DO NOTHING",
            c=self.draw.choice([A, B]), slot=self.moment(),
        )  # fmt: skip

    def correct(self) -> None:
        for table, key in (("video_snapshots", "video_id"), ("channel_snapshots", "channel_id")):
            self.sql(
                f"UPDATE {table} SET captured_at = captured_at + interval '50 minutes', "
                f"slot = slot - interval '1 minute' * :n WHERE ({key}, slot) IN "
                f"(SELECT {key}, slot FROM {table} "
                "WHERE extract(hour FROM slot AT TIME ZONE 'UTC') > 0 "  # on the same day
                f"ORDER BY slot, {key} OFFSET :n LIMIT 3)",
                n=self.draw.randrange(20),
            )

    def remove(self) -> None:
        for table, key in (("video_snapshots", "video_id"), ("channel_snapshots", "channel_id")):
            self.sql(
                f"DELETE FROM {table} WHERE ({key}, slot) IN "
                f"(SELECT {key}, slot FROM {table} ORDER BY slot, {key} OFFSET :n LIMIT 3)",
                n=self.draw.randrange(20),
            )

    def miss(self) -> None:
        first = self.moment()
        which = self.draw.randrange(len(self.ids))
        step = self.draw.choice([3600, 6 * 3600, 86400, 7 * 86400])
        self.sql(
            "INSERT INTO missed_slots (kind, entity_id, first_slot, channel_id, last_slot, "
            "interval_s, reason, noted_at) SELECT 'video.snapshot', video_id, :first, channel_id, "
            ":last, :step, :reason, :last FROM videos WHERE video_id = :v ON CONFLICT DO NOTHING",
            v=self.ids[which], first=first, step=step, reason=self.draw.choice(REASONS),
            last=first + timedelta(seconds=step * self.draw.randrange(4)),
        )  # fmt: skip

    def remember_less(self) -> None:
        self.sql(
            "DELETE FROM missed_slots WHERE (kind, entity_id, first_slot) IN (SELECT kind, "
            "entity_id, first_slot FROM missed_slots ORDER BY first_slot, entity_id LIMIT 3)"
        )

    def work(self) -> None:
        state, ready_at, token, reason = self.draw.choice(
            [
                ("due", ":slot", "NULL", "NULL"),
                ("due", "CAST(:slot AS timestamptz) + interval '3 hours'", "NULL", "'timeout'"),
                ("due", "now() + interval '1 hour'", "NULL", "'quotaExceeded'"),
                ("leased", "now() + interval '1 hour'", "gen_random_uuid()", "NULL"),
                ("failed", "NULL", "NULL", "'countTooLarge'"),
                ("failed", "NULL", "NULL", "'videoGone'"),
            ]
        )
        at = self.draw.choice([self.moment(), self.moment(2), datetime.now(UTC)])
        self.sql(
            "UPDATE work_items SET slot = :slot, interval_s = :step WHERE slot IS NOT NULL "
            "AND entity_id = :v AND state = 'due'",
            slot=at, step=self.draw.choice([None, 3600, 86400]), v=self.draw.choice(self.ids),
        )  # fmt: skip
        self.sql(
            f"UPDATE work_items SET slot = :slot, state = '{state}', lease_token = {token}, "
            f"error_reason = {reason}, error_kind = CASE WHEN {reason} IS NOT NULL "
            f"THEN 'permanent' END, ready_at = {ready_at} "
            "WHERE entity_id = :v AND kind = :kind",
            slot=at, v=self.draw.choice([*self.ids, A, B]),
            kind=self.draw.choice(["video.snapshot", "channel.snapshot", "channel.discover"]),
        )  # fmt: skip

    def pause(self) -> None:
        channel, paused = self.draw.choice([A, B]), self.draw.random() < 0.6
        self.sql(
            "UPDATE channels SET paused_at = CASE WHEN :paused THEN :now END WHERE channel_id = :c",
            paused=paused, now=NOW, c=channel,
        )  # fmt: skip
        self.sql(
            "UPDATE work_items SET is_held = :paused WHERE channel_id = :c AND state = 'due'",
            paused=paused, c=channel,
        )  # fmt: skip

    def find(self) -> None:
        one, published = f"found_{len(self.ids):05d}", self.moment(60)
        self.sql(
            "INSERT INTO videos (video_id, channel_id, published_at, first_seen_at) "
            "VALUES (:v, :c, :p, :f) ON CONFLICT DO NOTHING",
            v=one, c=self.draw.choice([A, B]), p=published,
            f=published + timedelta(hours=self.draw.randrange(90)),
        )  # fmt: skip
        if one not in self.ids:
            self.ids.append(one)

    def find_again(self) -> None:
        column = self.draw.choice(["published_at", "first_seen_at"])
        self.sql(
            f"UPDATE videos SET {column} = {column} + interval '1 hour' * :n WHERE video_id = :v",
            n=self.draw.randrange(-40, 40), v=self.draw.choice(self.ids),
        )  # fmt: skip

    def add_again(self) -> None:
        self.sql(
            "UPDATE channels SET added_at = :at WHERE channel_id = :c",
            at=self.moment(60), c=self.draw.choice([A, B]),
        )  # fmt: skip

    def remove_video(self) -> None:
        if len(self.ids) > 6:
            gone = self.ids.pop(self.draw.randrange(len(self.ids)))
            self.sql("DELETE FROM videos WHERE video_id = :v", v=gone)

    def purge(self) -> None:
        context = self.catalogue.context
        ago = NOW + timedelta(days=self.draw.randrange(15))
        context.clock = lambda: ago
        retention.purge(context, dry_run=False, kinds=["video-statistics", "channel-statistics"])

    def add_up(self) -> None:
        with self.catalogue.context.transaction() as session:
            counted.add_up(session, batches=self.draw.randrange(1, 9))

    def merge(self) -> None:
        maintenance.merge_counts(self.catalogue.context)


@pytest.fixture
def catalogue(context: Context) -> Catalogue:
    context.clock = lambda: NOW
    return Catalogue(context, NOW)


@pytest.mark.parametrize("few", [overdue.FEW, 0], ids=["at once", "by channel"])
def test_what_is_overdue_is_counted_as_it_would_be_now(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, few: int
):
    monkeypatch.setattr(overdue, "FEW", few)
    monkeypatch.setattr(overdue, "MOST_GONE", 3)
    happenings = Happenings(catalogue, 3)
    steps = (happenings.work, happenings.work, happenings.miss, happenings.pause)
    catalogue.context.clock = lambda: NOW + timedelta(days=3)
    seen = 0
    for _ in range(40):
        step = happenings.draw.choice(steps)
        step()
        assert uncounted(catalogue) == [], step.__name__
        seen += len(catalogue.sql("SELECT FROM overdue_counts"))
    assert seen > 200
    catalogue.sql("UPDATE channels SET watched = false WHERE channel_id = :a", a=A)
    assert uncounted(catalogue) == []
    assert catalogue.sql("SELECT count(*) FROM overdue_counts WHERE channel_id = :a", a=A) == [(0,)]
    assert catalogue.sql("SELECT counted_at FROM overdue_counting") == [(NOW + timedelta(days=3),)]


def test_where_very_much_is_overdue_the_views_say_what_was_counted_last_and_when(
    catalogue: Catalogue,
):
    happenings = Happenings(catalogue, 4)
    for step in (happenings.miss, happenings.collect, happenings.work, happenings.find):
        step()
    catalogue.sql(
        "INSERT INTO work_items (kind, entity_id, channel_id, state, slot, ready_at, interval_s) "
        "SELECT 'video.snapshot', lpad(i::text, 11, '0'), :a, 'due', :now, :now, 86400 "
        "FROM generate_series(1, 4000) i",
        a=A, now=NOW,
    )  # fmt: skip
    # By the database's own clock, which the views ask.
    catalogue.context.clock = lambda: datetime.now(UTC)
    overdue.count(catalogue.context)
    little = {view: catalogue.sql(of.format(view)) for view, of in VIEWS.items()}
    assert catalogue.sql("SELECT DISTINCT overdue_at = now() FROM completeness") == [(True,)]
    # Of another kind, so that nothing else is to be counted but there is more to look through.
    catalogue.sql(
        "INSERT INTO work_items (kind, entity_id, channel_id, state, slot, ready_at, is_held) "
        "SELECT 'video.thumbnail', lpad(i::text, 11, '0'), :a, 'due', :now, :now, true "
        "FROM generate_series(1, 4000) i",
        a=A, now=NOW,
    )  # fmt: skip
    [(counted_at,)] = catalogue.sql("SELECT counted_at FROM overdue_counting")
    for view, of in VIEWS.items():
        assert sorted(catalogue.sql(of.format(view)), key=str) == sorted(little[view], key=str)
        assert catalogue.sql(f"SELECT DISTINCT overdue_at FROM {view}") == [(counted_at,)]
    found = completeness.worst(catalogue.context, since=NOW.date(), most=10).all
    assert found.is_counted_before
    assert found.overdue_at == counted_at
    [(missing,)] = catalogue.sql(
        "SELECT sum(missing) FROM completeness WHERE day >= :since", since=NOW.date()
    )
    assert found.expected - found.collected == missing > 4000
    whole = completeness.report(catalogue.context, since=datetime.combine(NOW.date(), time(), UTC))
    assert (whole.expected, whole.reasons) == (found.expected, found.reasons)


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))]
)
def test_completeness_says_what_it_said_when_it_counted_everything(catalogue: Catalogue, seed: int):
    make_views_before(catalogue.context)
    happenings = Happenings(catalogue, seed)
    seen, reasons = 0, set()
    for _ in range(80):
        step = happenings.draw.choice(happenings.steps())
        step()
        assert differences(catalogue) == [], step.__name__
        seen += len(catalogue.sql("SELECT FROM completeness WHERE collected > 0"))
        reasons |= set(catalogue.sql("SELECT DISTINCT reason FROM completeness_gaps"))
    assert seen > 200
    assert len(reasons) >= 4
    tick.add_up(catalogue.context)
    maintenance.merge_counts(catalogue.context)
    assert differences(catalogue) == []
    assert catalogue.sql("SELECT count(*) FROM counted_batches") == [(0,)]
    assert catalogue.sql(
        "SELECT count(*) FROM (SELECT FROM daily_counts "
        "GROUP BY channel_id, day, kind, reason HAVING count(*) > 1 OR sum(n_slots) = 0) f"
    ) == [(0,)]
    catalogue.sql("DELETE FROM channels WHERE channel_id = :c", c=A)
    assert differences(catalogue) == []
    tick.add_up(catalogue.context)
    assert differences(catalogue) == []


def test_a_channel_that_is_not_watched_has_no_slot_to_miss(catalogue: Catalogue):
    happenings = Happenings(catalogue, 5)
    for step in (happenings.collect, happenings.miss, happenings.find, happenings.miss):
        step()
    catalogue.sql("UPDATE channels SET watched = false WHERE channel_id = :a", a=A)
    of = "WHERE channel_id = :a"
    assert catalogue.sql(f"SELECT * FROM completeness_gaps {of}", a=A) == []
    assert catalogue.sql(f"SELECT * FROM slots_not_collected(now()) {of}", a=A) == []
    found = catalogue.sql(f"SELECT missing, expected - collected FROM completeness {of}", a=A)
    assert set(found) == {(0, 0)}
    assert catalogue.sql(f"SELECT count(*) > 0 FROM completeness_gaps {of}", a=B) == [(True,)]


def test_what_was_there_is_counted_and_a_migration_that_was_killed_is_taken_up(
    endpoints: Endpoints, tmp_path
):
    with own_database(owned(endpoints.database_url), "counted", template=EMPTY) as url:
        migrate.upgrade(url)
        with closing(context_on(url, endpoints, tmp_path)) as context:
            context.clock = lambda: NOW
            catalogue = Catalogue(context, NOW)
            happenings = Happenings(catalogue, 7)
            some = (
                happenings.collect,
                happenings.miss,
                happenings.collect_channel,
                happenings.find,
            )
            for step in some * 5:
                step()
            expected = catalogue.sql(f"{DAYS.format('completeness')} ORDER BY 1, 3, 4")
            gaps = catalogue.sql(f"{GAPS.format('completeness_gaps')} ORDER BY 1, 2, 3, 4")
            assert len(expected) > 20
            context.engine.dispose()
            migrate.downgrade(url, "0022")
            assert catalogue.sql(f"{DAYS.format('completeness')} ORDER BY 1, 3, 4") == expected
            # It ends badly after the rows were filled: something is in the place of its index.
            catalogue.sql("CREATE TABLE ix_work_items_held (n int)")
            with pytest.raises(ProgrammingError, match="is not an index"):
                migrate.upgrade(url)
            happenings.remove()
            expected = catalogue.sql(f"{DAYS.format('completeness')} ORDER BY 1, 3, 4")
            catalogue.sql("DROP TABLE ix_work_items_held")
            catalogue.sql(
                "UPDATE alembic_version SET version_num = '0022'"
            )  # as if it had not ended
            migrate.upgrade(url)
            assert catalogue.sql(f"{DAYS.format('completeness')} ORDER BY 1, 3, 4") == expected
            assert catalogue.sql(f"{GAPS.format('completeness_gaps')} ORDER BY 1, 2, 3, 4") == gaps
