"""What a dispatcher does again and again. Any number may do it at once.

Claims are committed before anything is sent. A message that is lost costs one lease; what is due
comes again by itself. Nothing here waits for the work that it hands out.
"""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy.orm import Session

from db.partitions import ensure_partitions
from db.queries.catalog import counted, kept_swaps, videos
from db.queries.work import claims, jobs, work_items
from services import digest, notify
from services.context import Context
from services.crawl import channels, overdue, runs
from services.errors import InfrastructureError, TransientError
from services.metrics.instruments import MESSAGES
from services.queue import Task
from services.schedules.firing import fire_due
from services.transactions import SLOW
from services.work import admission, breakers, fleet, shards
from services.work.kinds import JOB_KINDS, SCORE_SHARD, VIDEO_SNAPSHOT, WORK_KINDS, WorkKind
from services.work.pauses import paused_queues

log = structlog.get_logger()

MOST_JOBS = 10
"""Jobs that one tick sends; the next one, a second later, sends the rest."""
BATCHES_ADDED = 200
"""Batches of snapshots that one transaction adds up: a second's work."""
NOTES_TAKEN = 20
"""Notes of swaps that one transaction takes: a second's work even in large channels."""
RECKONING_S = 1.0
"""How long swaps are reckoned at a time; one that was begun may take :data:`RECKONED_IN` more."""
RECKONED_IN = timedelta(seconds=10)
"""How long one swap may take; 20,000 videos with 30 counts each take 3. Others the view reckons."""
SLOW_S = 0.1
"""What takes longer has the other swaps of its channel wait for a while."""
RESTS = 10
"""How many times as long they wait as it took, so that no channel keeps the others from theirs."""
HAND_OUT: Final = "hand out"
"""The chore that dispatchers are there for."""
_Message = tuple[Task, tuple[str, ...]]
"""A task and what it is told: the token of a lease, after the id of a job if it is one."""


@dataclass(frozen=True)
class Chore:
    """Something that a dispatcher does again and again, waiting for none of the others.

    Attributes:
        name: For the log.
        do: Does what there is to do now; returns something false where there was nothing.
        every: From the end of one time to the beginning of the next.
        longest: Who has not ended it after so long is hanging: many times what it ever takes, and
            more than the database's time-outs.
        is_essential: A dispatcher that hangs in it leaves the office to another.
        share: Of the time, at most, that it is at work.
    """

    name: str
    do: Callable[[Context], object]
    every: timedelta
    longest: timedelta = timedelta(minutes=10)
    is_essential: bool = True
    share: float = 1.0

    def pause_s(self, took_s: float) -> float:
        """Return how long to wait after a time that took so long."""
        return max(self.every.total_seconds(), took_s / self.share - took_s)


def dispatch(context: Context) -> int:
    """Do once what is done every second; return how many messages went out."""
    fire_due(context)
    follow(context)
    sent = hand_out(context)
    notify.note_events(context)
    return sent


def hand_out(context: Context) -> int:
    """Claim due work and jobs and send them to their queues; return how many messages went out."""
    waiting = context.queue.lengths()
    full = {name for name, waiting_now in waiting.items() if waiting_now >= most_waiting(name)}
    messages: list[_Message] = []
    with context.transaction() as session:
        # Mostly there is nothing, and this one statement is all that it costs to know.
        ready = claims.kinds_ready(session, WORK_KINDS, now=context.clock())
        blocked = admission.blocked_work(context, session, now=context.clock()) if ready else {}
    for kind in WORK_KINDS.values():
        if kind.name in ready - blocked.keys() and kind.queue.name not in full:
            messages += [(kind.task, (str(token),)) for token in _claim_batches(context, kind)]
    messages += _claim_jobs(context, full)
    messages += _claim_shards(context, full)
    for task, args in messages:
        context.queue.send(task, *args)
        MESSAGES.add(1, task.name)
    return len(messages)


def follow(context: Context) -> None:
    """Begin crawls, bring those under way up to date, and look again for channels that are gone."""
    runs.advance(context)
    channels.ask_again(context)


def fire_and_hand_out(context: Context) -> int:
    """Fire schedules, then send what is due; return how many messages went out."""
    fire_due(context)
    return hand_out(context)


def tell(context: Context) -> int:
    """Note what the operator is to be told, and tell it; return how much arrived."""
    return notify.send_due(context) if notify.note_events(context) else 0


def make_partitions(context: Context) -> list[str]:
    """Make the partitions that are needed before long; return the names of the new ones."""
    with context.transaction() as session:
        return ensure_partitions(session.connection(), start=context.clock())


def add_up(context: Context) -> int:
    """Add up by channel and day what was collected; return how many batches that were."""
    total = 0
    while True:
        with context.transaction() as session:
            added = counted.add_up(session, batches=BATCHES_ADDED)
        total += added
        if added < BATCHES_ADDED:
            return total


def keep_swaps(context: Context, *, for_s: float = RECKONING_S) -> int:
    """Reckon for a while what swaps did to the views, channel by channel; return how many."""
    until, total, some = time.monotonic() + for_s, 0, 1
    while some and time.monotonic() < until:
        with context.transaction() as session:
            some = kept_swaps.take_notes(session, most=NOTES_TAKEN, now=context.clock())
    while time.monotonic() < until:
        kept = keep_swap(context)
        if kept is None:
            break
        total += kept
    return total


def keep_swap(context: Context, *, at_most: timedelta = RECKONED_IN) -> bool | None:
    """Reckon the swap whose turn it is; tell whether it is kept, None if none is ready.

    Nobody who collects, adds up or drops waits. What changed meanwhile, or takes too long, is left
    to the view for now.
    """
    with context.transaction() as session:
        claimed = kept_swaps.claim(session, now=context.clock())
    if claimed is None:
        return None
    began = time.monotonic()
    is_kept = False
    try:
        with context.transaction() as session:
            found = kept_swaps.read(session, claimed, at_most=at_most)
    except TransientError as error:
        if error.reason != SLOW:
            raise
        log.info("swap.put_off", video_id=claimed.video_id, reason=error.reason)
    else:
        with context.transaction() as session:
            is_kept = kept_swaps.keep(session, claimed, found, now=context.clock())
    took_s = time.monotonic() - began
    if took_s > SLOW_S:
        with context.transaction() as session:
            until = context.clock() + timedelta(seconds=RESTS * took_s)
            kept_swaps.rest(session, claimed.channel_id, until=until)
    return is_kept


def most_waiting(queue: str) -> int:
    """Return how many messages may wait in a queue: as many as may be under lease.

    More are there only where nobody takes any, and then one more for the same work is one too many.
    """
    kinds = [kind for kind in WORK_KINDS.values() if kind.queue.name == queue]
    return MOST_JOBS + sum(kind.most_leased for kind in kinds)


CHORES: Final = (
    Chore(HAND_OUT, fire_and_hand_out, timedelta(seconds=1), longest=timedelta(minutes=2)),
    Chore("follow crawls", follow, timedelta(seconds=1)),
    Chore("tell the operator", tell, timedelta(seconds=1), is_essential=False),
    # On its own: whatever becomes of a digest, alerts go out.
    Chore("note digests", digest.note, timedelta(seconds=10), is_essential=False),
    Chore("add up what was collected", add_up, timedelta(seconds=10), is_essential=False),
    Chore("reckon swaps", keep_swaps, timedelta(seconds=10), is_essential=False, share=0.1),
    Chore(
        "count what is overdue",
        overdue.count,
        timedelta(seconds=30),
        is_essential=False,
        share=0.05,
    ),
    Chore("make partitions", make_partitions, timedelta(hours=6), longest=timedelta(minutes=30)),
    Chore("forget silent processes", fleet.forget_silent, timedelta(hours=1), is_essential=False),
)


def _claim_jobs(context: Context, full: set[str]) -> list[_Message]:
    now = context.clock()
    with context.transaction() as session:
        held_back = {*paused_queues(session), *full}
        task_of = {
            kind.name: kind.task
            for kind in JOB_KINDS.values()
            if kind.task is not None and kind.task.queue.name not in held_back
        }
        return [
            (task_of[job.kind], (str(job.job_id), str(job.lease_token)))
            for job in jobs.claim(
                session, kinds=task_of.keys(), limit=MOST_JOBS, now=now, lease=context.lease
            )
        ]


def _claim_shards(context: Context, full: set[str]) -> list[_Message]:
    queue = SCORE_SHARD.queue.name
    if queue in full:
        return []
    try:
        with context.transaction() as session:
            if queue in paused_queues(session):
                return []
            return [(SCORE_SHARD, (str(token),)) for token in shards.claim(context, session)]
    except InfrastructureError as error:
        # What was claimed of other work is under lease by now, and must go out.
        log.warning("shards.not_handed_out", reason=error.reason, problem=str(error))
        return []


def _without_unread(
    session: Session, token: uuid.UUID, blocker: admission.Blocker, *, now: datetime
) -> bool:
    """Put off what a batch cannot be asked now; tell whether anything is left of it."""
    until, reason = blocker.until or now, blocker.reason
    left = videos.put_off_unread(
        session, token, until=until, reason=reason, message=blocker.message, now=now
    )
    return left > 0


def _claim_batches(context: Context, kind: WorkKind) -> list[uuid.UUID]:
    now = context.clock()
    tokens: list[uuid.UUID] = []
    with context.transaction() as session:
        if not claims.try_lock(session, kind.name):
            return []  # another dispatcher is at it
        admitted = breakers.admission(session, kind.host, now=now)
        under_way = claims.count_leased(session, kind.name, now=now)
        room = {
            breakers.Admission.ALL: kind.most_leased - -(-under_way // kind.batch_size),
            breakers.Admission.PROBE: 1,
            breakers.Admission.NOTHING: 0,
        }[admitted]
        # Videos that were never read need the shared bucket; their counts have one of their own.
        unread = (
            admission.blocker_of_unread(context, session, now=now)
            if kind is VIDEO_SNAPSHOT
            else None
        )
        for _ in range(2 * room):
            if len(tokens) == room:
                break
            token = work_items.claim(
                session, kind.name, limit=kind.batch_size, now=now, lease=context.lease
            )
            if token is None:
                break
            if unread is None or _without_unread(session, token, unread, now=now):
                tokens.append(token)
        if tokens and admitted is breakers.Admission.PROBE:
            breakers.begin_probe(session, kind.host, until=now + context.lease, now=now)
    return tokens
