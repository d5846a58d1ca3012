"""Crawl jobs: bring the work of some channels forward, and follow it to its end.

A crawl job does nothing itself. It makes work items due, some channels at a time so that nobody
waits long for the rows, and is finished when each of them has been done once since the job was
submitted; the count comes from the items, so nothing that happens to a worker can make it wrong.
They are counted by the same parts, those that are over not again; and taken back so, where a job
is cancelled.
"""

import math
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from db.models import Job
from db.queries.catalog import channels, completeness
from db.queries.speech import selections
from db.queries.work import crawl_parts, crawled, jobs, overview, work_items
from db.queries.work.progress import Progress, count_items, next_channels, progress
from services.context import Context
from services.crawl import odd
from services.errors import UsageError
from services.queue import CRAWL
from services.work import admission, breakers, kinds
from services.work.jobs import submit
from services.work.submissions import Submission
from services.work.verdicts import MALFORMED_REASONS
from services.youtube.failures import concerns_key

SHORT = timedelta(milliseconds=50)
SHORT_WAIT = timedelta(minutes=2)
"""A breaker's first pauses; nobody needs to be told that a crawl waits for them."""
ITEMS = 20_000
"""Work items brought forward at a time, unless one channel has more."""
CHANNELS = 200
"""Channels looked at for that, at a time."""
PARTS = 5
"""At most so many times a call, so that a crawl of everything does not stop the dispatcher."""
CANCELLED_CHANNELS = 5_000
"""Channels looked at to take their work back, at a time."""
COUNTING_S = 0.5
"""So long a job's parts are counted before the others have their turn; one part at least."""
MOST_COUNTED = 1_000
BROUGHT = "brought"
"""How many of a job's channels are brought forward, in the order in which it names them."""
TAKEN_BACK = "taken_back"
"""How many of those are taken back, of a job that is cancelled."""
ODD_BEFORE = "odd_before"
"""What was odd before it began, on that day: the rest until it ends was odd while it ran."""


def start(
    context: Context,
    channel_ids: Sequence[str] | None = None,
    *,
    with_audio: bool = False,
    once: Submission | None = None,
) -> uuid.UUID:
    """Crawl channels now, all of them by default; return the job's id.

    Args:
        context: The database.
        channel_ids: Only these; what is not watched is left alone.
        with_audio: Also the speech of the videos that are selected, once each.
        once: By which key it is asked for; again by it there is no second job.

    Raises:
        UsageError: No channel is watched yet.
    """
    if channel_ids is None:
        with context.transaction() as session:
            channel_ids = channels.ids(session, paused=False, watched=True)
            if not channel_ids and channels.ids(session, watched=True):
                raise UsageError(
                    "all channels are paused", hint="`tubegrader channels resume` lifts that"
                )
    if not channel_ids:
        raise UsageError(
            "no channel is watched yet",
            hint="`tubegrader channels crawl @handle` adds and crawls one",
        )
    params = {"channel_ids": list(channel_ids)} | ({"audio": True} if with_audio else {})
    return submit(context, "crawl", params, once=once)


def advance(context: Context) -> None:
    """Start waiting crawl jobs and bring the running ones up to date; end those that are done.

    Each part of a job's channels is brought forward, or taken back, in a transaction of its own,
    several parts a call. What is left, or was when this was stopped, is for the next call. A job
    that takes long to count is counted the more seldom: that is a twentieth of the time.
    """
    left = _advance(context)
    for _ in range(1, PARTS):
        if not left:
            break
        left = _go_on(context)


def _advance(context: Context) -> bool:
    """Advance each crawl job by a step; tell whether one has more parts to be gone through."""
    now = context.clock()
    left = False
    with context.transaction() as session:
        active = jobs.lock_active(session, "crawl")
        blocked = admission.blocked_work(context, session, now=now) if active else {}
        for job in active:
            if job.state == "queued" and not _begin(session, job, blocked, now=now):
                continue
            if job.cancel_requested:
                left |= not _take_back(context, session, job, active, now=now)
            elif not _is_brought(job):
                left |= not _bring(session, job, now=now)
            elif job.ready_at is None or job.ready_at <= now:
                _follow_in_time(context, session, job, blocked)
    return left


def _go_on(context: Context) -> bool:
    """Bring forward, or take back, the next part of each crawl job; tell whether any has more."""
    now = context.clock()
    left = False
    with context.transaction() as session:
        active = jobs.lock_active(session, "crawl")
        for job in [job for job in active if job.state == "running"]:
            if job.cancel_requested:
                left |= not _take_back(context, session, job, active, now=now)
            elif not _is_brought(job):
                left |= not _bring(session, job, now=now)
    return left


def _begin(
    session: Session, job: Job, blocked: Mapping[str, admission.Blocker], *, now: datetime
) -> bool:
    """Begin a job unless the operator paused what it asks for; tell whether it began."""
    if (paused := _pause(blocked)) is not None:
        job.progress_message = paused
        return False
    breakers.allow_probes(session, now=now)
    jobs.begin(job, now=now)
    job.steps = {BROUGHT: 0, ODD_BEFORE: odd.so_far(session, now=now)}
    crawl_parts.forget(session, job.job_id)
    return True


def _is_brought(job: Job) -> bool:
    # A job that an earlier release began has no such step: it brought all forward at once.
    return bool(job.steps.get(BROUGHT, math.inf) >= len(job.params["channel_ids"]))


def _bring(session: Session, job: Job, *, now: datetime) -> bool:
    """Bring the work of the next channels forward; tell whether those were the last."""
    first = job.steps[BROUGHT]
    left = job.params["channel_ids"][first : first + CHANNELS]
    some = left[: next_channels(session, left, items=ITEMS)]
    watched = channels.watched(session, some)
    for kind in kinds.recurring("channel"):
        work_items.add_items(session, kind, [(c, c) for c in watched], slot=now)
    brought = kinds.recurring()
    series = [kind for kind in brought if kinds.WORK_KINDS[kind].series is not None]
    completeness.note_given_up(session, kinds=series, channel_ids=some, now=now)
    crawled.make_due(session, kinds=brought, channel_ids=some, now=now)
    if job.params.get("audio"):
        selections.choose(session, now=now, channel_ids=some)
        selections.bring_forward(session, channel_ids=some, now=now)
    total = count_items(session, channel_ids=some, kinds=kinds.of_crawl(job.params))
    crawl_parts.add_up_to(session, job.job_id, first + len(some), total=total)
    job.steps = {**job.steps, BROUGHT: first + len(some)}
    return _is_brought(job)


def _take_back(
    context: Context, session: Session, job: Job, active: Sequence[Job], *, now: datetime
) -> bool:
    """Take back what the job asked for of the next channels; end it if those were the last.

    What another crawl that goes on asks for as well stays. Tells whether the job has ended.
    """
    first = job.steps.get(TAKEN_BACK, 0)
    asked = job.params["channel_ids"][: job.steps.get(BROUGHT)]
    left = asked[first : first + CANCELLED_CHANNELS]
    some = left[: next_channels(session, left, items=ITEMS)]
    chosen = set(some)
    for other in active:
        if not other.cancel_requested:
            chosen.difference_update(other.params["channel_ids"])
    later = now + context.cadence.discovery_every
    crawled.unschedule(session, channel_ids=chosen, later=later, now=now)
    if first + len(some) < len(asked):
        job.steps = {**job.steps, TAKEN_BACK: first + len(some)}
        return False
    crawl_parts.forget(session, job.job_id)
    jobs.end(job, "cancelled", now=now)
    return True


def _follow_in_time(
    context: Context, session: Session, job: Job, blocked: Mapping[str, admission.Blocker]
) -> None:
    now = context.clock()
    _follow(session, job, blocked, now=now)
    # By the clock that says when it is due again, which a test may have stand still.
    took = context.clock() - now
    if job.ready_at is not None and took > SHORT:
        job.ready_at = now + 20 * took


def _follow(
    session: Session, job: Job, blocked: Mapping[str, admission.Blocker], *, now: datetime
) -> None:
    chosen = job.params["channel_ids"]
    asked_for = kinds.of_crawl(job.params)
    held = {k: b for k, b in blocked.items() if b.until is not None and k in asked_for}
    _count(session, job, held, now=now)
    state, are_over = crawl_parts.together(session, job.job_id)
    if state.waiting_until is not None and state.waiting_reason is None and held:
        state = _explained(state, min(held.values(), key=lambda blocker: blocker.until or now))
    job.progress_done, job.progress_total = state.answered, state.total
    if are_over:
        failures = overview.failures_by_reason(session, channel_ids=chosen, kinds=asked_for)
        result: dict[str, Any] = {
            "done": state.done,
            "failed": state.failed,
            "failures": _counted(failures),
        }
        if (before := job.steps.get(ODD_BEFORE)) and (found := odd.since(session, before)):
            result |= {"odd": [field.as_json() for field in found]}
        if state.in_doubt:
            doubts = overview.doubts_by_reason(session, channel_ids=chosen, kinds=asked_for)
            result |= {"in_doubt": state.in_doubt, "doubts": _counted(doubts)}
        job.progress_message = None
        crawl_parts.forget(session, job.job_id)
        jobs.end(job, "succeeded", now=now, result=result)
    elif state.waiting_reason and concerns_key(state.waiting_reason):
        message = state.waiting_message or state.waiting_reason
        crawl_parts.forget(session, job.job_id)
        jobs.end(job, "failed", now=now, error=("permanent", state.waiting_reason, message))
    elif _is_stuck(state, now=now):
        job.waiting_until, job.progress_message = state.waiting_until, state.waiting_message
    else:
        job.waiting_until, job.progress_message = None, _pause(blocked)


def _count(
    session: Session, job: Job, held: Mapping[str, admission.Blocker], *, now: datetime
) -> None:
    """Count the parts that are not over, those first that were not counted for longest."""
    chosen = job.params["channel_ids"]
    # An earlier release noted none.
    crawl_parts.add_up_to(session, job.job_id, len(chosen))
    end = time.monotonic() + COUNTING_S
    for first, channels_of_it in crawl_parts.next_parts(session, job.job_id, most=MOST_COUNTED):
        counted = progress(
            session,
            channel_ids=chosen[first : first + channels_of_it],
            kinds=kinds.of_crawl(job.params),
            since=job.started_at or job.created_at,
            now=now,
            held={kind: b.until for kind, b in held.items() if b.until is not None},
            asked_again_soon=MALFORMED_REASONS,
        )
        crawl_parts.note(session, job.job_id, first, counted, now=now)
        if time.monotonic() > end:
            return


def _counted(found: Sequence[tuple[str, str, int]]) -> list[dict[str, Any]]:
    return [{"work": kind, "reason": reason, "count": n} for kind, reason, n in found]


def _pause(blocked: Mapping[str, admission.Blocker]) -> str | None:
    """Return words on what the operator has paused of the crawl's queue; None if it runs."""
    return next(
        (
            blocker.message
            for kind, blocker in blocked.items()
            if blocker.kind == "paused" and kinds.WORK_KINDS[kind].queue == CRAWL
        ),
        None,
    )


def _explained(state: Progress, blocker: admission.Blocker) -> Progress:
    """Return a state that waits with the reason of a blocker: its items were not even tried."""
    kind = "quota" if blocker.kind == "quota" else "blocked"
    return replace(
        state, waiting_kind=kind, waiting_reason=blocker.reason, waiting_message=blocker.message
    )


def _is_stuck(state: Progress, *, now: datetime) -> bool:
    """Tell whether waiting is all that can be done: no quota, refused, or nothing works at all."""
    if state.waiting_until is None:
        return False
    refused = state.waiting_kind in ("quota", "blocked")
    return state.done == 0 or (refused and state.waiting_until - now > SHORT_WAIT)
