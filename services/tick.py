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
from services.queue import SEND_NOTIFICATIONS, Task
from services.schedules.firing import fire_due
from services.work import admission, breakers
from services.work.kinds import JOB_KINDS, VIDEO_SNAPSHOT, WORK_KINDS, WorkKind
from services.work.pauses import paused_queues

MOST_JOBS = 10
"""Jobs that one tick sends; the next one, a second later, sends the rest."""
_Message = tuple[Task, tuple[str, ...]]
"""A task and what it is told: the token of a lease, after the id of a job if it is one."""


def dispatch(context: Context) -> int:
    """Claim due work and jobs and send them to their queues; return how many messages went out."""
    fire_due(context)
    runs.advance(context)
    channels.ask_again(context)
    messages: list[_Message] = []
    with context.transaction() as session:
        blocked = admission.blocked_work(context, session, now=context.clock())
    for kind in WORK_KINDS.values():
        if kind.name not in blocked:
            messages += [(kind.task, (str(token),)) for token in _claim_batches(context, kind)]
    messages += _claim_jobs(context)
    if notify.note_events(context):
        messages.append((SEND_NOTIFICATIONS, ()))
    for task, args in messages:
        # A message that waits for longer than its lease has been replaced by another.
        context.queue.send(task, *args, expires_s=context.settings.lease_seconds)
    return len(messages)


def _claim_jobs(context: Context) -> list[_Message]:
    now = context.clock()
    with context.transaction() as session:
        paused = paused_queues(session)
        task_of = {
            kind.name: kind.task
            for kind in JOB_KINDS.values()
            if kind.task is not None and kind.task.queue.name not in paused
        }
        return [
            (task_of[job.kind], (str(job.job_id), str(job.lease_token)))
            for job in jobs.claim(
                session, kinds=task_of.keys(), limit=MOST_JOBS, now=now, lease=context.lease
            )
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


def _claim_batches(context: Context, kind: WorkKind) -> list[uuid.UUID]:
    now = context.clock()
    tokens: list[uuid.UUID] = []
    with context.transaction() as session:
        admitted = breakers.admission(session, kind.host, now=now)
        under_way = work_items.count_leased(session, kind.name, now=now)
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
