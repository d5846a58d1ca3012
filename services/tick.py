"""What is due, claimed and sent to workers. Runs every second; any number may run at once.

Claims are committed before anything is sent. A message that is lost costs one lease; what is due
comes again by itself.
"""

import uuid
from datetime import datetime

from sqlalchemy.orm import Session

from db.queries.catalog import videos
from db.queries.work import jobs, work_items
from services import notify
from services.context import Context
from services.crawl import channels, runs
from services.queue import QUEUE_OF_TASK, TASK_OF_JOB, TASK_OF_WORK
from services.schedules.firing import fire_due
from services.work import admission, breakers
from services.work.pauses import paused_queues

BATCH_SIZE = {
    # Fifty ids are one call of the API; a channel's uploads are a call for each fifty videos. Ten
    # calls together, because rows by the hundred are written several times as fast.
    "channel.snapshot": 50,
    "channel.discover": 10,
    "video.snapshot": 500,
    "video.thumbnail": 500,
    # Each takes seconds to minutes; a refusal on the way costs the others of the batch a start.
    "video.audio": 4,
}
READ_IN_FULL = "video.snapshot"
"""The work that needs the shared bucket for what was never read, and its own for the rest."""
MOST_LEASED_BATCHES = 20
"""Batches of a kind under lease at once: enough for many workers, few enough that a lease does
not run out while its message waits in the queue."""
MOST_LEASED_AUDIO = 4
"""The same of audio, whose batches take minutes."""


def dispatch(context: Context) -> int:
    """Claim due work and jobs and send them to their queues; return how many messages went out."""
    fire_due(context)
    runs.advance(context)
    channels.ask_again(context)
    messages: list[tuple[str, tuple[str, ...]]] = []
    with context.transaction() as session:
        closed = admission.closed(context, session, now=context.clock())
    for kind, task in TASK_OF_WORK.items():
        if kind not in closed:
            messages += [(task, (str(token),)) for token in _claim_batches(context, kind)]
    messages += _claim_jobs(context)
    if notify.note_events(context):
        messages.append((notify.TASK, ()))
    for name, args in messages:
        # A message that waits for longer than its lease has been replaced by another.
        context.queue.send(name, *args, expires_s=context.settings.lease_seconds)
    return len(messages)


def _claim_jobs(context: Context) -> list[tuple[str, tuple[str, ...]]]:
    now = context.clock()
    with context.transaction() as session:
        paused = paused_queues(session)
        kinds = [kind for kind, task in TASK_OF_JOB.items() if QUEUE_OF_TASK[task] not in paused]
        return [
            (TASK_OF_JOB[job.kind], (str(job.job_id), str(job.lease_token)))
            for job in jobs.claim(session, kinds=kinds, limit=10, now=now, lease=context.lease)
        ]


def _without_unread(
    session: Session, token: uuid.UUID, blocker: admission.Blocker, *, now: datetime
) -> bool:
    """Put off what a batch cannot be asked now; tell whether anything is left of it."""
    until, reason = blocker.until or now, blocker.reason
    left = videos.put_off_unread(
        session, token, until=until, reason=reason, message=blocker.message, now=now
    )
    return left > 0


def _claim_batches(context: Context, kind: str) -> list[uuid.UUID]:
    now = context.clock()
    size = BATCH_SIZE[kind]
    most = MOST_LEASED_AUDIO if kind == "video.audio" else MOST_LEASED_BATCHES
    tokens: list[uuid.UUID] = []
    with context.transaction() as session:
        admitted = breakers.admission(session, kind, now=now)
        under_way = work_items.count_leased(session, kind, now=now)
        room = {
            breakers.Admission.ALL: most - -(-under_way // size),
            breakers.Admission.PROBE: 1,
            breakers.Admission.NOTHING: 0,
        }[admitted]
        unread = admission.only_counts(context, session, now=now) if kind == READ_IN_FULL else None
        for _ in range(2 * room):
            if len(tokens) == room:
                break
            token = work_items.claim(session, kind, limit=size, now=now, lease=context.lease)
            if token is None:
                break
            if unread is None or _without_unread(session, token, unread, now=now):
                tokens.append(token)
        if tokens and admitted is breakers.Admission.PROBE:
            breakers.begin_probe(session, kind, until=now + context.lease, now=now)
    return tokens
