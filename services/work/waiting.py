"""What a job waits for: what, why and until when; and following a job, saying so."""

import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from db.models import Job
from db.queries.work import jobs as rows
from db.queries.work import scorings
from db.queries.work.progress import OpenWork, open_work
from db.queries.work.work_items import MAX_ATTEMPTS
from services.context import Context
from services.errors import InfrastructureError
from services.formatting import counted
from services.queue import DISPATCHER, SCORING
from services.work import admission, fleet
from services.work.job_views import JobView
from services.work.jobs import view
from services.work.kinds import JOB_KINDS, WORK_KINDS, of_crawl
from services.work.pauses import paused_queues
from services.work.verdicts import MALFORMED_REASONS

POLL_S = 0.2
STANDS_STILL_S = 5.0
"""Without any progress for so long, what is waited for is looked up; and again as often."""
AWAY_S = 600.0
"""So long a database that is away is waited for."""
START = "`tubegrader up`, or with Compose `docker compose up -d`, starts one"


@dataclass(frozen=True)
class Waiting:
    """One thing that a job waits for.

    Attributes:
        kind: ``failure``, ``breaker``, ``quota``, ``paused``, ``worker``, ``dispatcher``, ``busy``,
            ``retry`` or ``database``.
        what: A host, a bucket, a queue or a part of the stack.
        reason: A stable word.
        message: Why, in a line.
        until: When it goes on at the earliest, in UTC; None where nobody can tell.
        since: Since when it stands still, where that is known.
        items: How many work items wait for it.
        attempt: Which attempt comes next.
        attempts: How many there are at most.
        hint: What to do; None where it goes on by itself.
    """

    kind: str
    what: str
    reason: str
    message: str
    until: datetime | None = None
    since: datetime | None = None
    items: int | None = None
    attempt: int | None = None
    attempts: int | None = None
    hint: str | None = None

    @property
    def line(self) -> str:
        """All of it, for people."""
        parts = [f"waiting for {self.what}: {self.message}"]
        if self.until is not None:
            parts.append(f"goes on at {self.until:%Y-%m-%d %H:%M:%S} UTC at the earliest")
        if self.attempt is not None:
            parts[-1] += f" (attempt {self.attempt} of {self.attempts})"
        if self.hint is not None:
            parts.append(self.hint)
        return "; ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        return {k: v.isoformat() if isinstance(v, datetime) else v for k, v in asdict(self).items()}


@dataclass(frozen=True)
class Standing:
    """A job at a moment, and what it waits for where it stands still."""

    job: JobView
    waits_for: Sequence[Waiting] = ()


def follow(
    context: Context,
    job_id: uuid.UUID,
    *,
    pause: Callable[[float], None] = time.sleep,
    elapsed: Callable[[], float] = time.monotonic,
) -> Iterator[Standing]:
    """Yield how a job stands, now and again, the last time when it has ended.

    Raises:
        UsageError: There is no such job.
        InfrastructureError: The database was away at first, or for ten minutes.
    """
    standing: Standing | None = None
    is_back = False
    looked_at = moved_at = seen_at = elapsed()
    while standing is None or not standing.job.ended:
        now = elapsed()
        try:
            job = view(context, job_id)
            seen_at = now
            if standing is None or is_back or _place(job) != _place(standing.job):
                standing, moved_at, is_back = Standing(job), now, False
            elif min(now - moved_at, now - looked_at) >= STANDS_STILL_S:
                standing, looked_at = Standing(job, waits_for(context, job_id)), now
            else:
                standing = Standing(job, standing.waits_for)
        except InfrastructureError as error:
            if standing is None or now - seen_at > AWAY_S:
                raise
            message = f"{error}; asked again and again for ten minutes"
            away = Waiting("database", "the database", error.reason, message, hint=error.hint)
            standing, is_back = Standing(standing.job, [away]), True
        yield standing
        if not standing.job.ended:
            pause(POLL_S)


def waits_for(context: Context, job_id: uuid.UUID) -> list[Waiting]:
    """Return what a job waits for now, what matters most first; nothing where it is being done."""
    now = context.clock()
    with context.transaction() as session:
        job = rows.get(session, job_id)
        if job is None or job.ready_at is None:
            return []
        if job.paused_at is not None:
            short = str(job_id)[:8]
            hint = f"`tubegrader jobs resume {short}` goes on with it"
            return [Waiting("paused", f"job {short}", "paused", "it is paused", hint=hint)]
        processes = fleet.seen(session)
        task = JOB_KINDS[job.kind].task
        if task is not None:
            return _of_queue(session, job, task.queue.name, processes, now=now)
        if job.state == "queued":
            paused = {b.what: b for b in admission.blocked_work(context, session, now=now).values()}
            return [_blocked(b) for b in paused.values() if b.kind == "paused"] or _undispatched(
                processes
            )
        return _of_crawl(context, session, job, processes, now=now)


def _place(job: JobView) -> tuple[object, ...]:
    return (job.state, job.progress_done, job.progress_total, job.progress_message, len(job.steps))


def _of_crawl(
    context: Context,
    session: Session,
    job: Job,
    processes: Sequence[fleet.ProcessView],
    *,
    now: datetime,
) -> list[Waiting]:
    found = open_work(
        session,
        channel_ids=job.params["channel_ids"],
        kinds=of_crawl(job.params),
        since=job.started_at or job.created_at,
        now=now,
        asked_again_soon=MALFORMED_REASONS,
    )
    blocked = admission.blocked_work(context, session, now=now)
    held: dict[admission.Blocker, int] = {}
    unclaimed: dict[str, int] = {}
    failed = []
    for work in found:
        queue = WORK_KINDS[work.kind].queue.name
        if work.kind in blocked and work.state != "leased":
            held[blocked[work.kind]] = held.get(blocked[work.kind], 0) + work.items
        elif work.state == "parked":
            failed.append(_failed(work))
        elif work.state in ("ready", "leased"):
            unclaimed[queue] = unclaimed.get(queue, 0) + work.items
    return [
        *(_undispatched(processes) if found else []),
        *(w for queue, n in unclaimed.items() for w in _unworked(queue, processes, items=n)),
        *(_blocked(blocker, items=n) for blocker, n in held.items()),
        *failed,
    ]


def _of_queue(
    session: Session,
    job: Job,
    queue: str,
    processes: Sequence[fleet.ProcessView],
    *,
    now: datetime,
) -> list[Waiting]:
    """Return what a job waits for that a worker of a queue is to do."""
    if job.state == "queued" and job.ready_at is not None and job.ready_at > now:
        message = job.progress_message or "it failed in passing"
        next_, most = job.attempts + 1, max(rows.MAX_ATTEMPTS, job.attempts + 1)
        return [
            Waiting(
                "retry", f"another try of {job.kind}", "retry", message, job.ready_at,
                attempt=next_, attempts=most,
            )
        ]  # fmt: skip
    if job.state == "queued" and (why := paused_queues(session).get(queue)) is not None:
        return [Waiting("paused", queue, "paused", why, hint="`tubegrader work resume` lifts that")]
    if job.awaits_shards:
        models = scorings.models_waited_for(session, job.job_id)
        nobody = _unworked(SCORING.name, processes, models=models)
    else:
        nobody = _unworked(queue, processes)
    if nobody:
        return nobody
    if job.state == "queued" and (undispatched := _undispatched(processes)):
        return undispatched
    if job.attempts == 0:
        others = rows.newest(session, limit=10, state="running")
        busy = [o for o in others if o.job_id != job.job_id and _queue_of(o.kind) == queue]
        with_what = ", ".join(f"{o.kind} {str(o.job_id)[:8]}" for o in busy) or "other work"
        message = f"its workers are at {with_what}; they take it after that"
        return [Waiting("busy", f"queue {queue}", "workersBusy", message)]
    return []


def _queue_of(kind: str) -> str | None:
    task = JOB_KINDS[kind].task if kind in JOB_KINDS else None
    return None if task is None else task.queue.name


def _failed(work: OpenWork) -> Waiting:
    kind = WORK_KINDS[work.kind]
    at = f" at {work.failed_at:%H:%M:%S}" if work.failed_at else ""
    return Waiting(
        "failure",
        kind.host,
        work.reason or "unknown",
        f"{counted(work.items, kind.entity)} ({work.kind}) failed{at}: {work.message}",
        work.first_ready,
        since=work.failed_at,
        items=work.items,
        attempt=min(work.attempts + 1, MAX_ATTEMPTS),
        attempts=MAX_ATTEMPTS,
    )


def _blocked(blocker: admission.Blocker, *, items: int | None = None) -> Waiting:
    hint = "`tubegrader work resume` lifts that" if blocker.kind == "paused" else None
    if blocker.kind == "breaker":
        hint = f"`tubegrader breakers reset {blocker.what}` asks at once"
    return Waiting(
        blocker.kind,
        blocker.what,
        blocker.reason,
        blocker.message,
        blocker.until,
        items=items,
        hint=hint,
    )


def _undispatched(processes: Sequence[fleet.ProcessView]) -> list[Waiting]:
    """Return that nobody hands out work, where it is so."""
    if any(process.is_elected for process in processes):
        return []
    return [_missing(DISPATCHER, "dispatcher", "noDispatcher", processes)]


def _unworked(
    queue: str,
    processes: Sequence[fleet.ProcessView],
    *,
    items: int | None = None,
    models: Sequence[Collection[int]] = (),
) -> list[Waiting]:
    """Return that no worker lives for a queue, or what all of their machines lack for models."""
    alive = [p for p in processes if queue in p.role.split(",") and p.is_alive]
    if all(any(p.is_fit and p.can_score(some) for p in alive) for some in models or [()]):
        return []
    if not alive:
        return [_missing(queue, "worker", "noWorker", processes, items=items)]
    what = f"a worker for queue {queue}"
    return [
        Waiting("worker", what, p.unfit_reason or "unfit", p.unfitness or "", p.unfit_until)
        for p in alive
    ]


def _missing(
    role: str,
    kind: str,
    reason: str,
    processes: Sequence[fleet.ProcessView],
    *,
    items: int | None = None,
) -> Waiting:
    last = max((p.seen_at for p in processes if role in p.role.split(",")), default=None)
    since = "within a day" if last is None else f"since {last:%Y-%m-%d %H:%M:%S} UTC"
    what = kind if kind == role else f"{kind} for queue {role}"
    message = f"none has been seen {since}"
    return Waiting(kind, f"a {what}", reason, message, since=last, items=items, hint=START)
