"""What happens to pictures and counts, and the view of swaps as it was before they were kept."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from db.partitions import ensure_partitions_of
from db.queries.catalog import counted, kept_swaps
from db.views import view_sql
from services import tick
from services.context import Context
from services.policy import retention
from tests.support.catalogue import Catalogue
from tests.support.databases import owner_engine

NOW = datetime(2026, 7, 15, 12, tzinfo=UTC)
A, B = ("UC" + letter * 22 for letter in "ab")
DAY = timedelta(days=1)


def make_view_before(context: Context) -> None:
    """Make what the view was, under another name, beside it."""
    made, _, _ = view_sql("thumbnail_changes", 2).partition("COMMENT ON VIEW")
    made = made.replace("VIEW thumbnail_changes AS", "VIEW thumbnail_changes_before AS")
    with owner_engine(context) as engine, engine.begin() as connection:
        connection.exec_driver_sql(made.replace("%", "%%"))


def both(catalogue: Catalogue) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """Return what the view says now and what it said, in one transaction."""
    [(ours, theirs)] = catalogue.sql(
        "SELECT (SELECT array_agg(to_jsonb(c) ORDER BY video_id, version) "
        "FROM thumbnail_changes c), (SELECT array_agg(to_jsonb(c) ORDER BY video_id, version) "
        "FROM thumbnail_changes_before c)"
    )
    return ours or [], theirs or []


class Happenings:
    """What may happen to videos, their counts and pictures, drawn by chance."""

    def __init__(self, catalogue: Catalogue, seed: int) -> None:
        self.draw = random.Random(seed)
        self.catalogue = catalogue
        self.now = NOW
        self.ids = catalogue.add(14)
        self.views = dict.fromkeys(self.ids, 1_000)
        for one in self.ids:
            catalogue.show(one, 0, now=NOW - 30 * DAY)
        catalogue.context.clock = lambda: self.now

    def steps(self) -> list[Callable[[], object]]:
        return [
            *[self.days_pass] * 9, *[self.collect] * 6, *[self.swap] * 3, *[self.reckon] * 6,
            *[self.add_up] * 3, *[self.change_meanwhile] * 3, self.see_again, self.collect_late,
            self.correct, self.remove, self.redefine, self.hide, self.purge, self.remove_video,
            self.find, self.move, self.change_history, self.remove_version, self.add_up_as_before,
        ]  # fmt: skip

    def sql(self, statement: str, **values: object) -> None:
        self.catalogue.sql(statement, **values)

    def count(self, ids: list[str], slot: datetime, at: datetime) -> None:
        with self.catalogue.context.transaction() as session:
            ensure_partitions_of(session.connection(), [slot])
        for one in ids:
            self.views[one] = self.views.get(one, 0) + self.draw.randrange(50)
        rows = [{"v": one, "s": slot, "at": at, "n": self.views[one]} for one in ids]
        with self.catalogue.context.transaction() as session:
            session.execute(
                text(
                    "INSERT INTO video_snapshots "
                    "(video_id, slot, captured_at, view_count, view_definition) "
                    "VALUES (:v, :s, :at, :n, 'started') ON CONFLICT DO NOTHING"
                ),
                rows,
            )

    def some(self, most: int) -> list[str]:
        return self.draw.sample(self.ids, min(self.draw.randrange(1, most), len(self.ids)))

    def days_pass(self) -> None:
        """A few days on which all but some are counted once a day or two."""
        for _ in range(self.draw.randrange(1, 5)):
            self.now += timedelta(hours=self.draw.choice([13, 24, 31]))
            rest = set(self.some(5))
            self.count([one for one in self.ids if one not in rest], self.now, self.now)
            self.see_again(most=20)

    def collect(self) -> None:
        self.now += timedelta(minutes=self.draw.randrange(500))
        self.count(self.some(8), self.now - timedelta(minutes=self.draw.randrange(90)), self.now)

    def collect_late(self) -> None:
        """As an import does: counts of then."""
        at = self.now - timedelta(hours=self.draw.randrange(24 * 25))
        self.count(self.some(3), at - timedelta(hours=self.draw.randrange(50)), at)

    def swap(self) -> None:
        for one in self.some(3):
            self.catalogue.show(one, self.draw.randrange(1, 10**9), now=self.now)

    def see_again(self, most: int = 9) -> None:
        self.sql(
            "UPDATE video_thumbnails SET last_seen_at = greatest(last_seen_at, :now) "
            "WHERE is_current AND video_id = ANY(:ids)", now=self.now, ids=self.some(most),
        )  # fmt: skip

    def change_history(self) -> None:
        self.sql(
            "UPDATE video_thumbnails SET last_seen_at = last_seen_at + interval '1 hour' * :h "
            "WHERE NOT is_current AND video_id = ANY(:ids)",
            h=self.draw.randrange(60), ids=self.some(9),
        )  # fmt: skip

    def remove_version(self) -> None:
        self.sql(
            "DELETE FROM video_thumbnails WHERE (video_id, version) IN (SELECT video_id, version "
            "FROM video_thumbnails WHERE version > 1 AND NOT is_current "
            "ORDER BY first_seen_at OFFSET :n LIMIT 1)",
            n=self.draw.randrange(6),
        )

    def some_counts(self) -> str:
        return (
            "WHERE (video_id, slot) IN (SELECT video_id, slot FROM video_snapshots ORDER BY slot "
            f"DESC, video_id OFFSET {self.draw.randrange(300)} LIMIT {self.draw.randrange(1, 9)})"
        )

    def correct(self) -> None:
        self.sql(f"UPDATE video_snapshots SET view_count = view_count + 40 {self.some_counts()}")

    def hide(self) -> None:
        self.sql(f"UPDATE video_snapshots SET view_count = NULL {self.some_counts()}")

    def redefine(self) -> None:
        self.sql(f"UPDATE video_snapshots SET view_definition = 'watched' {self.some_counts()}")

    def remove(self) -> None:
        self.sql(f"DELETE FROM video_snapshots {self.some_counts()}")

    def purge(self) -> None:
        retention.purge(self.catalogue.context, dry_run=False, kinds=["video-statistics"])

    def find(self) -> None:
        one = f"found_{self.draw.randrange(10**5):05d}"
        self.sql(
            "INSERT INTO videos (video_id, channel_id, published_at, first_seen_at) "
            "VALUES (:v, :c, :t, :t) ON CONFLICT DO NOTHING",
            v=one, c=self.draw.choice([A, B]), t=self.now,
        )  # fmt: skip
        if one not in self.ids:
            self.ids.append(one)
            self.catalogue.show(one, 0, now=self.now)

    def move(self) -> None:
        self.sql(
            "UPDATE videos SET channel_id = :c WHERE video_id = :v",
            v=self.draw.choice(self.ids), c=self.draw.choice([A, B]),
        )  # fmt: skip

    def remove_video(self) -> None:
        if len(self.ids) > 8:
            gone = self.ids.pop(self.draw.randrange(len(self.ids)))
            self.sql("DELETE FROM videos WHERE video_id = :v", v=gone)

    def add_up(self) -> None:
        with self.catalogue.context.transaction() as session:
            counted.add_up(session, batches=self.draw.randrange(1, 50))

    def add_up_as_before(self) -> None:
        """As a release does that keeps no swaps."""
        self.sql("DELETE FROM counted_batches")

    def reckon(self) -> None:
        tick.add_up(self.catalogue.context)
        most = self.draw.randrange(1, 9)
        with self.catalogue.context.transaction() as session:
            kept_swaps.take_notes(session, most=most, now=self.now)
        for _ in range(self.draw.randrange(1, 20)):
            tick.keep_swap(self.catalogue.context)

    def change_meanwhile(self) -> None:
        """Something happens while a swap is reckoned, and may be looked through."""
        context = self.catalogue.context
        with context.transaction() as session:
            claimed = kept_swaps.claim(session, now=self.now)
        if claimed is None:
            return
        self.change()
        with context.transaction() as session:
            found = kept_swaps.read(session, claimed, at_most=timedelta(minutes=1))
        self.change()
        with context.transaction() as session:
            kept_swaps.keep(session, claimed, found, now=self.now)

    def change(self) -> None:
        self.draw.choice([
            self.collect, self.collect_late, self.correct, self.swap, self.change_history,
            self.remove, self.move, self.remove_video, self.purge, self.remove_version,
        ])()  # fmt: skip
        if self.draw.random() < 0.5:
            tick.add_up(self.catalogue.context)
        if self.draw.random() < 0.5:
            with self.catalogue.context.transaction() as session:
                kept_swaps.take_notes(session, most=9, now=self.now)


def keep_all(happenings: Happenings) -> None:
    """Reckon all swaps, those that were put off or wait for others as well."""
    for _ in range(20):
        happenings.now += kept_swaps.PUT_OFF
        tick.keep_swaps(happenings.catalogue.context, for_s=60)
