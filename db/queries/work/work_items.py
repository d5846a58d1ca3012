"""Work items: what is due, claimed under a lease, completed or failed.

A claim gives a batch of items one lease token. Whoever completes or fails items must name the
token, so a worker whose lease ran out and was given to another changes nothing.
"""

import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, case, func, select, text, update
from sqlalchemy.orm import Session

from db.models import WorkItem
from db.queries.arrays import among
from db.queries.catalog import completeness
from db.queries.catalog.paused import of_no_paused_channel

MAX_ATTEMPTS = 8
"""After so many beginnings without an end an item counts as failed: its workers die of it."""


@dataclass(frozen=True)
class LeasedItem:
    """One item of a claimed batch.

    ``failed_at`` and ``doubted_at``: when it last went badly, and when the verdict now in doubt
    was first heard; None since it last went well. ``failed_for``: the reason of the last failure.
    """

    entity_id: str
    channel_id: str
    slot: datetime
    attempts: int
    kind: str
    failed_at: datetime | None = None
    doubted_at: datetime | None = None
    failed_for: str | None = None


def add_items(
    session: Session, kind: str, entities: Iterable[tuple[str, str]], *, slot: datetime
) -> int:
    """Make work for (entity id, channel id) pairs that have none of this kind yet.

    Returns:
        How many items are new.
    """
    # In order, so that two who add the same items wait for each other instead of for ever.
    pairs = sorted(entities)
    statement = text(
        """
        INSERT INTO work_items (kind, entity_id, channel_id, state, slot, ready_at)
        SELECT :kind, entity_id, channel_id, 'due', :slot, :slot
        FROM unnest(CAST(:entities AS text[]), CAST(:channels AS text[]))
            AS new (entity_id, channel_id)
        ON CONFLICT DO NOTHING
        RETURNING entity_id
        """
    )
    values = {
        "kind": kind,
        "slot": slot,
        "entities": [entity_id for entity_id, _ in pairs],
        "channels": [channel_id for _, channel_id in pairs],
    }
    return len(session.execute(statement, values).all()) if pairs else 0


def claim(
    session: Session, kind: str, *, limit: int, now: datetime, lease: timedelta
) -> uuid.UUID | None:
    """Lease up to ``limit`` ready items to one new token; None if nothing is ready.

    Concurrent claims skip each other's rows, and what belongs to a paused channel. Items whose
    lease ran out are ready again; after MAX_ATTEMPTS beginnings they fail instead. Those lost more
    than once are claimed in ever smaller batches: the one that its workers die of ends up alone,
    and what was claimed with it is done.
    """
    token = uuid.uuid4()
    picked = (
        select(
            WorkItem.kind,
            WorkItem.entity_id,
            WorkItem.ready_at,
            _largest_batch(limit).label("largest"),
        )
        .where(
            WorkItem.kind == kind,
            WorkItem.ready_at <= now,
            ~WorkItem.is_held,
            # What was found of a paused channel after its items were held.
            of_no_paused_channel(WorkItem.channel_id),
        )
        .order_by(WorkItem.ready_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("picked")
    )
    in_turn = (picked.c.ready_at, picked.c.entity_id)
    ranked = select(
        picked,
        func.row_number().over(order_by=in_turn).label("nth"),
        func.min(picked.c.largest).over(order_by=in_turn, rows=(None, 0)).label("room"),
    ).cte("ranked")
    exhausted = (WorkItem.state == "leased") & (WorkItem.attempts >= MAX_ATTEMPTS)
    claimed = session.execute(
        update(WorkItem)
        .where(
            WorkItem.kind == ranked.c.kind,
            WorkItem.entity_id == ranked.c.entity_id,
            ranked.c.nth <= ranked.c.room,
        )
        .values(
            state=_if(exhausted, "failed", "leased"),
            ready_at=_if(exhausted, None, now + lease),
            lease_token=_if(exhausted, None, token),
            error_kind=case((exhausted, "transient"), else_=WorkItem.error_kind),
            error_reason=case((exhausted, "workerLost"), else_=WorkItem.error_reason),
            error_message=case(
                (exhausted, "its worker ended without a word every time"),
                else_=WorkItem.error_message,
            ),
            error_at=case((exhausted, now), else_=WorkItem.error_at),
        )
        .returning(WorkItem.state)
    ).scalars()
    return token if "leased" in claimed.all() else None


def begin(
    session: Session, token: uuid.UUID, *, until: datetime
) -> tuple[uuid.UUID, list[LeasedItem]]:
    """Begin work on a lease: swap its token, count the attempt, hold it ``until`` then.

    A message that is taken twice finds its token spent. Attempts are counted here and not when
    claimed: a message that waits long in its queue is nobody's death.

    Returns:
        The new token, and what the lease holds; nothing where the token was spent.
    """
    swapped = uuid.uuid4()
    begun = session.execute(
        update(WorkItem)
        .where(WorkItem.lease_token == token)
        .values(attempts=WorkItem.attempts + 1, ready_at=until, lease_token=swapped)
        .returning(
            WorkItem.entity_id,
            WorkItem.channel_id,
            WorkItem.slot,
            WorkItem.attempts,
            WorkItem.kind,
            WorkItem.error_at,
            WorkItem.doubted_at,
            WorkItem.error_reason,
        )
    )
    items = sorted(
        (LeasedItem(e, c, s, *more) for e, c, s, *more in begun if s is not None),
        key=lambda item: item.entity_id,
    )
    return swapped, items


def extend_lease(session: Session, token: uuid.UUID, *, until: datetime) -> int:
    """Move the end of a lease; return how many items it still holds."""
    statement = (
        update(WorkItem)
        .where(WorkItem.lease_token == token)
        .values(ready_at=until)
        .returning(WorkItem.entity_id)
    )
    return len(session.execute(statement).all())


def complete(
    session: Session,
    token: uuid.UUID,
    next_slots: Mapping[str, datetime | None],
    *,
    now: datetime,
    intervals: Mapping[str, timedelta] | None = None,
    captured_at: Mapping[str, datetime] | None = None,
) -> int:
    """End items of a lease well; each becomes due at its next slot, or idle where that is None.

    Args:
        session: The unit of work.
        token: The lease.
        next_slots: When each is due next.
        now: The present moment.
        intervals: From one slot to the next, by entity. Given, the slots that were missed are
            noted, and from when on the next one is missed can be told.
        captured_at: Up to when slots count as missed, by entity: when it was answered for. None
            is ``now`` for all.

    Returns:
        How many items the lease still held and are now done.
    """
    intervals = intervals or {}
    if intervals:
        at = dict.fromkeys(intervals, now) | dict(captured_at or {})
        completeness.note_missed(session, token, intervals, captured_at=at, now=now)
    # One statement, because the next slots of a batch differ: an update for each would look
    # through the whole lease as many times.
    statement = text(
        """
        UPDATE work_items w SET
            state = CASE WHEN ended.next_slot IS NULL THEN 'idle' ELSE 'due' END,
            slot = ended.next_slot, ready_at = ended.next_slot, interval_s = ended.interval_s,
            lease_token = NULL, attempts = 0, done_at = :now,
            error_kind = NULL, error_reason = NULL, error_message = NULL, error_at = NULL,
            doubted_at = NULL
        FROM unnest(
            CAST(:entities AS text[]),
            CAST(:next_slots AS timestamptz[]),
            CAST(:seconds AS bigint[])
        ) AS ended (entity_id, next_slot, interval_s)
        WHERE w.lease_token = :token AND w.entity_id = ended.entity_id
        RETURNING 1
        """
    )
    steps = [intervals.get(entity_id) for entity_id in next_slots]
    values = {
        "token": token,
        "now": now,
        "entities": list(next_slots),
        "next_slots": list(next_slots.values()),
        "seconds": [None if step is None else int(step.total_seconds()) for step in steps],
    }
    return len(session.execute(statement, values).all())


def fail(
    session: Session,
    token: uuid.UUID,
    entity_ids: Collection[str],
    *,
    kind: str,
    reason: str,
    message: str,
    retry_at: datetime | None,
    now: datetime,
    counted: bool = True,
    in_doubt: bool = False,
) -> int:
    """End items of a lease badly: due again at ``retry_at`` for the same slot, or failed for good.

    ``counted`` says whether this was one of their attempts, ``in_doubt`` that a verdict was heard
    that is not believed yet.

    Returns:
        How many items the lease still held.
    """
    attempts: Any = WorkItem.attempts
    if kind in ("quota", "blocked"):
        attempts = 0  # being sent away says nothing about the item itself
    elif not counted:
        attempts = func.greatest(WorkItem.attempts - 1, 0)
    statement = (
        update(WorkItem)
        .where(WorkItem.lease_token == token, among(WorkItem.entity_id, entity_ids))
        .values(
            state="failed" if retry_at is None else "due",
            ready_at=retry_at,
            lease_token=None,
            attempts=attempts,
            error_kind=kind,
            error_reason=reason,
            error_message=message[:2000],
            error_at=now,
            doubted_at=func.coalesce(WorkItem.doubted_at, now if in_doubt else None),
        )
        .returning(WorkItem.entity_id)
    )
    return len(session.execute(statement).all())


def retry(
    session: Session,
    kinds: Collection[str],
    *,
    reasons: Collection[str],
    now: datetime,
    entity_ids: Collection[str],
    refuted: bool = False,
) -> int:
    """Make items due again, for the slot they failed at, that failed for one of the reasons.

    ``refuted``: they were seen since, so that what was heard of them counts no longer.

    Returns:
        How many there were.
    """
    statement = (
        update(WorkItem)
        .where(
            WorkItem.state == "failed",
            WorkItem.kind.in_(kinds),
            among(WorkItem.entity_id, entity_ids),
            WorkItem.error_reason.in_(reasons),
        )
        .values(
            state="due",
            ready_at=now,
            attempts=0,
            doubted_at=None if refuted else WorkItem.doubted_at,
        )
        .returning(WorkItem.entity_id)
    )
    return len(session.execute(statement).all())


def lock_held(session: Session, token: uuid.UUID) -> set[str]:
    """Return the entities that a lease still holds; nobody else can claim them before the commit.

    For effects that no constraint keeps from happening twice.
    """
    statement = select(WorkItem.entity_id).where(WorkItem.lease_token == token).with_for_update()
    return set(session.scalars(statement))


def _largest_batch(limit: int) -> ColumnElement[int]:
    """Return the largest batch that an item may be in: a quarter for each loss after the first.

    One loss is a restart, and batches must not cost more calls for that.
    """
    lost = WorkItem.state == "leased"
    sizes = [
        (lost & (WorkItem.attempts >= losses), max(limit >> 2 * (losses - 1), 1))
        for losses in range(MAX_ATTEMPTS, 1, -1)
    ]
    return case(*sizes, else_=limit)


def _if(condition: ColumnElement[bool], then: object, otherwise: object) -> ColumnElement[object]:
    return case((condition, then), else_=otherwise)
