"""Claiming 1,000 due videos among many rows, against the same among few."""

from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import text

from benchmarks import place
from benchmarks.measure import Figure, interleaved, timed
from db.queries import work
from db.session import unit_of_work
from services.context import Context

NOW = datetime(2026, 7, 15, tzinfo=UTC)
FEW, MANY, MOST = 100_000, 1_000_000, 10_000_000
CLAIMED, ROUNDS = 1_000, 15
DUE = 2 * CLAIMED * (ROUNDS + 1)


def measure(*, full: bool) -> list[Figure]:
    """Claim from two databases in turn. In both the same number of videos is due."""
    many = MOST if full else MANY
    with (
        place.folder() as folder,
        place.empty_context(folder) as small,
        place.another_database(small, "many") as large,
    ):
        _fill(small, FEW)
        _fill(large, many)
        slow, fast = interleaved(
            [partial(timed, partial(_claim, context)) for context in (large, small)],
            rounds=ROUNDS,
        )
    return [
        Figure(
            f"claiming {CLAIMED:,} due videos among {many:,}",
            f"{slow * 1000:.1f} ms",
            f"among {FEW:,}, {fast * 1000:.1f} ms",
            slow / fast,
            at_most=1.5,
        )
    ]


def _claim(context: Context) -> None:
    with unit_of_work(context.sessions) as session:
        token = work.claim(
            session, "video.snapshot", limit=CLAIMED, now=NOW, lease=timedelta(days=1)
        )
    assert token is not None


def _fill(context: Context, n: int) -> None:
    """Make work on so many videos: DUE of them anywhere in the table, the others within a month."""
    with context.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO channels (channel_id, added_at) "
                "SELECT 'UC' || lpad(i::text, 22, '0'), :now FROM generate_series(1, 1000) i"
            ),
            {"now": NOW},
        )
        connection.execute(
            text(
                """
                INSERT INTO work_items (kind, entity_id, channel_id, state, slot, ready_at)
                SELECT 'video.snapshot', lpad(i::text, 11, '0'),
                    'UC' || lpad((i % 1000 + 1)::text, 22, '0'), 'due', slot, slot
                FROM (
                    SELECT i, :now + CASE
                        WHEN i % (:n / :due) = 0 THEN -(i % 7919) * interval '1 second'
                        ELSE (i % 2591999 + 1) * interval '1 second'
                    END AS slot
                    FROM generate_series(1, :n) i
                )
                """
            ),
            {"n": n, "due": DUE, "now": NOW},
        )
    with context.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE work_items"))
