"""How far the work on some channels has come, counted from the items themselves."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries.catalog.paused import PAUSED_CHANNELS

_IN_DOUBT = """
    coalesce(
        state = 'due' AND error_kind = 'permanent' AND error_at >= :since AND ready_at > :now
            AND (error_reason <> ALL (:soon) OR ready_at > :now + interval '1 hour'),
        false
    )
"""
_IS_DONE = """
    coalesce(
        done_at >= :since OR (done_at IS NOT NULL AND state = 'due' AND slot > :now)
            OR (done_at IS NOT NULL AND state = 'idle'),
        false
    )
"""


@dataclass(frozen=True)
class Progress:
    """How far the work on some channels has come since a moment."""

    total: int
    done: int
    failed: int
    in_doubt: int
    """Heard to be gone, missing or refused, and heard again only in hours."""
    waiting_until: datetime | None
    """When everything left is parked (by quota or a failure): the moment the first is ready."""
    waiting_kind: str | None
    waiting_reason: str | None
    waiting_message: str | None

    @property
    def finished(self) -> bool:
        """Nothing is left to do."""
        return self.answered >= self.total

    @property
    def answered(self) -> int:
        """All that the crawl need not wait for."""
        return self.done + self.failed + self.in_doubt


def progress(
    session: Session,
    *,
    channel_ids: Sequence[str],
    kinds: Collection[str],
    since: datetime,
    now: datetime,
    held: Mapping[str, datetime],
    asked_again_soon: Collection[str] = (),
) -> Progress:
    """Count the work of some kinds on channels that a crawl started at ``since`` asked for.

    Every item of the channels counts once: done when it succeeded after ``since``, failed when it
    ended badly, otherwise still to do. One that is next due after ``now`` is done as well: it was
    under way when the crawl started and ended in that very moment. What is collected once, such as
    audio, is done if it was before. An item on which a verdict was heard since that is still in
    doubt counts as answered: the second hearing is hours away.

    What belongs to a paused channel does not count: nobody works on it.

    ``held`` maps kinds of work that nothing is claimed of to when that is over: their items are
    not ready before. ``asked_again_soon`` are reasons of verdicts that are waited for after all,
    unless for hours.
    """
    row = session.execute(
        text(
            f"""
            WITH held AS (
                SELECT kind, held_until
                FROM unnest(CAST(:kinds AS text[]), CAST(:untils AS timestamptz[]))
                    AS h (kind, held_until)
            ), mine AS (
                SELECT state, error_kind, error_reason, error_message, {_IN_DOUBT} AS in_doubt,
                    CASE WHEN ready_at IS NOT NULL THEN greatest(ready_at, held_until) END
                        AS ready_at,
                    {_IS_DONE} AS is_done
                FROM work_items
                LEFT JOIN held USING (kind)
                WHERE kind = ANY(:work) AND channel_id = ANY(:channels)
                  AND channel_id NOT IN {PAUSED_CHANNELS}
            ), sorted AS (
                SELECT *, NOT is_done AND NOT in_doubt AS is_open FROM mine
            )
            SELECT
                count(*) AS total,
                count(*) FILTER (WHERE is_done) AS done,
                count(*) FILTER (WHERE NOT is_done AND state IN ('failed', 'idle')) AS failed,
                count(*) FILTER (WHERE NOT is_done AND in_doubt) AS in_doubt,
                min(ready_at) FILTER (WHERE is_open) AS first_ready,
                bool_or(is_open AND state = 'leased') AS any_leased,
                (array_agg(error_kind ORDER BY ready_at)
                    FILTER (WHERE is_open AND state = 'due' AND error_reason IS NOT NULL)
                )[1] AS kind,
                (array_agg(error_reason ORDER BY ready_at)
                    FILTER (WHERE is_open AND state = 'due' AND error_reason IS NOT NULL)
                )[1] AS reason,
                (array_agg(error_message ORDER BY ready_at)
                    FILTER (WHERE is_open AND state = 'due' AND error_reason IS NOT NULL)
                )[1] AS message
            FROM sorted
            """
        ),
        {
            "since": since,
            "now": now,
            "channels": list(channel_ids),
            "work": list(kinds),
            "kinds": list(held),
            "untils": list(held.values()),
            "soon": list(asked_again_soon),
        },
    ).one()
    parked = row.first_ready is not None and row.first_ready > now and not row.any_leased
    return Progress(
        total=row.total,
        done=row.done,
        failed=row.failed,
        in_doubt=row.in_doubt,
        waiting_until=row.first_ready if parked else None,
        waiting_kind=row.kind if parked else None,
        waiting_reason=row.reason if parked else None,
        waiting_message=row.message if parked else None,
    )


@dataclass(frozen=True)
class OpenWork:
    """Items of one kind and state that a crawl waits for.

    Attributes:
        kind: Of work.
        state: ``ready`` to be claimed, ``leased``, ``parked`` after a failure, or ``later``.
        reason: Of the failure; None but where they are parked.
        items: How many.
        first_ready: When the first of them may be claimed.
        failed_at: When one of them failed last.
        message: What was said then.
        attempts: The most that one of them was begun.
    """

    kind: str
    state: str
    reason: str | None
    items: int
    first_ready: datetime
    failed_at: datetime | None
    message: str | None
    attempts: int


def open_work(
    session: Session,
    *,
    channel_ids: Sequence[str],
    kinds: Collection[str],
    since: datetime,
    now: datetime,
    asked_again_soon: Collection[str] = (),
) -> list[OpenWork]:
    """Return what :func:`progress` counts as still to do, by kind, state and reason."""
    rows = session.execute(
        text(
            f"""
            SELECT kind, open_state, reason, count(*), min(ready_at), max(error_at),
                (array_agg(error_message ORDER BY error_at DESC NULLS LAST))[1], max(attempts)
            FROM (
                SELECT *, CASE WHEN open_state = 'parked' THEN error_reason END AS reason FROM (
                    SELECT *, CASE
                        WHEN state = 'leased' THEN 'leased'
                        WHEN ready_at <= :now THEN 'ready'
                        WHEN error_reason IS NOT NULL THEN 'parked'
                        ELSE 'later'
                    END AS open_state
                    FROM work_items
                    WHERE kind = ANY(:work) AND channel_id = ANY(:channels)
                      AND state IN ('due', 'leased')
                      AND channel_id NOT IN {PAUSED_CHANNELS}
                      AND NOT {_IS_DONE} AND NOT {_IN_DOUBT}
                ) mine
            ) sorted
            GROUP BY kind, open_state, reason
            ORDER BY count(*) DESC, kind, open_state, reason
            """
        ),
        {
            "since": since,
            "now": now,
            "channels": list(channel_ids),
            "work": list(kinds),
            "soon": list(asked_again_soon),
        },
    )
    return [OpenWork(*row) for row in rows]


def count_items(session: Session, *, channel_ids: Sequence[str], kinds: Collection[str]) -> int:
    """Return how many work items of some kinds channels have."""
    statement = text(
        "SELECT count(*) FROM work_items WHERE channel_id = ANY(:channels) AND kind = ANY(:kinds)"
    )
    values = {"channels": list(channel_ids), "kinds": list(kinds)}
    return int(session.execute(statement, values).scalar_one())


def next_channels(session: Session, channel_ids: Sequence[str], *, items: int) -> int:
    """Return how many of the first channels have so many work items together; at least one.

    For who works through many channels a part at a time, each in a transaction of its own.
    """
    statement = text(
        """
        SELECT count(*) FROM (
            SELECT place, coalesce(sum(n) OVER (ORDER BY place ROWS UNBOUNDED PRECEDING), 0) AS sum
            FROM unnest(CAST(:channels AS text[])) WITH ORDINALITY AS asked (channel_id, place)
            CROSS JOIN LATERAL (
                SELECT count(*) AS n FROM work_items w WHERE w.channel_id = asked.channel_id
            ) counted
        ) summed
        WHERE place = 1 OR sum <= :items
        """
    )
    values = {"channels": list(channel_ids), "items": items}
    return int(session.execute(statement, values).scalar_one())
