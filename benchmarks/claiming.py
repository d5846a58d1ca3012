"""Claiming 1,000 due videos among many rows, against the same among few.

The rows are laid out as the system itself leaves them; see :func:`fill`.
"""

from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import Table, text

from benchmarks import place
from benchmarks.measure import Measurement, interleaved, timed
from db.models import WorkItem
from db.queries.work import work_items
from services.context import Context

NOW = datetime(2026, 7, 15, tzinfo=UTC)
FEW, MANY, MOST = 100_000, 1_000_000, 10_000_000
CLAIMED, ROUNDS = 1_000, 15
DUE = 2 * CLAIMED * (ROUNDS + 1)
HOURS = 30 * 24
"""Until every video was read once: the default cadence of old ones, which most are."""


def measure(*, full: bool) -> list[Measurement]:
    """Claim from two databases in turn. In both the same number of videos is due."""
    many = MOST if full else MANY
    with (
        place.folder() as folder,
        place.empty_context(folder) as small,
        place.another_database(small, "many") as large,
    ):
        fill(small, FEW)
        fill(large, many)
        slow, fast = interleaved(
            [partial(timed, partial(_claim, context)) for context in (large, small)],
            rounds=ROUNDS,
        )
    return [
        Measurement(
            f"claiming {CLAIMED:,} due videos among {many:,}",
            f"{slow * 1000:.1f} ms",
            f"among {FEW:,}, {fast * 1000:.1f} ms",
            slow / fast,
            at_most=1.5,
        )
    ]


def _claim(context: Context) -> None:
    with context.transaction() as session:
        token = work_items.claim(
            session, "video.snapshot", limit=CLAIMED, now=NOW, lease=timedelta(days=1)
        )
    assert token is not None


def fill(context: Context, n: int, *, channels: int = 1_000, due: int = DUE) -> None:
    """Make work on so many videos: some of them are due, the others within a month.

    Each reading writes a row anew, beside those that are read in the same batch. So what falls due
    in an hour lies together in the table, in runs of a channel's, while the ids, as YouTube makes
    them, are spread over all of the primary key. Both were looked up after 45 days of the real
    queries (``benchmarks/README.md``).
    """
    table = WorkItem.__table__
    assert isinstance(table, Table)
    with context.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO channels (channel_id, added_at) "
                "SELECT 'UC' || lpad(i::text, 22, '0'), :now FROM generate_series(1, :channels) i"
            ),
            {"now": NOW, "channels": channels},
        )
        # Not measured, and long: looking each channel up, and growing the indexes row by row.
        connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text("SET LOCAL maintenance_work_mem = '1GB'"))
        for index in table.indexes:
            index.drop(connection)
        connection.execute(text("ALTER TABLE work_items DROP CONSTRAINT pk_work_items"))
        connection.execute(
            text(
                """
                INSERT INTO work_items (kind, entity_id, channel_id, state, slot, ready_at)
                SELECT 'video.snapshot',
                    left(translate(encode(decode(md5(i::text), 'hex'), 'base64'), '+/', '-_'), 11),
                    'UC' || lpad((i / 10 % :channels + 1)::text, 22, '0'), 'due', slot, slot
                FROM (
                    SELECT i, :now + interval '1 hour' * CASE
                        WHEN i <= :due THEN -((:due - i) / :an_hour)
                        ELSE 1 + (i - :due) * :hours / :n
                    END AS slot
                    FROM generate_series(1, CAST(:n AS bigint)) i
                )
                """
            ),
            {
                "n": n,
                "due": due,
                "channels": channels,
                "now": NOW,
                "hours": HOURS,
                "an_hour": MOST // HOURS,
            },
        )
        for index in table.indexes:
            index.create(connection)
        # As full as random ids leave the pages of an index that grew row by row.
        connection.execute(
            text(
                "ALTER TABLE work_items ADD CONSTRAINT pk_work_items "
                "PRIMARY KEY (kind, entity_id) WITH (fillfactor = 70)"
            )
        )
    with context.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE work_items"))
