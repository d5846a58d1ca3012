"""Crawl jobs: bring the work of some channels forward, and follow it to its end.

A crawl job does nothing itself. It makes work items due and is finished when each of them has
been done once since the job was submitted; the count comes from the items, so nothing that
happens to a worker can make it wrong.
"""

import uuid
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from db.models import Job
from db.queries import channels, jobs, work
from db.session import unit_of_work
from services.context import Context
from services.crawl.cadence import CHANNEL_INTERVAL
from services.errors import UsageError
from services.jobs import submit
from services.youtube.failures import concerns_key


def start(context: Context, channel_ids: Sequence[str] | None = None) -> uuid.UUID:
    """Crawl channels now, all of them by default; return the job's id.

    Raises:
        UsageError: No channel is watched yet.
    """
    if channel_ids is None:
        with unit_of_work(context.sessions) as session:
            channel_ids = channels.ids(session)
    if not channel_ids:
        raise UsageError(
            "no channel is watched yet", hint="`tubegrader crawl @handle` adds and crawls one"
        )
    return submit(context, "crawl", {"channel_ids": list(channel_ids)})


def advance(context: Context) -> None:
    """Start waiting crawl jobs and bring the running ones up to date; end those that are done."""
    now = context.clock()
    with unit_of_work(context.sessions) as session:
        active = jobs.lock_active(session, "crawl")
        for job in active:
            if job.state == "queued":
                _begin(session, job, now=now)
            elif job.cancel_requested:
                _cancel(session, job, active, now=now)
            else:
                _follow(session, job, now=now)


def _begin(session: Session, job: Job, *, now: datetime) -> None:
    chosen = job.params["channel_ids"]
    for kind in ("channel.snapshot", "channel.discover"):
        work.add_items(session, kind, [(c, c) for c in chosen], slot=now)
    work.make_due(session, kinds=work.KINDS, channel_ids=chosen, now=now)
    jobs.begin(job, now=now)


def _cancel(session: Session, job: Job, active: Sequence[Job], *, now: datetime) -> None:
    """Take back what the job asked for and no other crawl that goes on asks for as well."""
    chosen = set(job.params["channel_ids"])
    for other in active:
        if not other.cancel_requested:
            chosen.difference_update(other.params["channel_ids"])
    work.stand_down(session, channel_ids=chosen, later=now + CHANNEL_INTERVAL, now=now)
    jobs.end(job, "cancelled", now=now)


def _follow(session: Session, job: Job, *, now: datetime) -> None:
    chosen = job.params["channel_ids"]
    since = job.started_at or job.created_at
    state = work.progress(session, channel_ids=chosen, since=since, now=now)
    job.progress_done, job.progress_total = state.done + state.failed, state.total
    if state.finished:
        failures = work.failures_by_reason(session, channel_ids=chosen)
        result = {
            "done": state.done,
            "failed": state.failed,
            "failures": [
                {"work": kind, "reason": reason, "count": n} for kind, reason, n in failures
            ],
        }
        job.progress_message = None
        jobs.end(job, "succeeded", now=now, result=result)
    elif state.waiting_reason and concerns_key(state.waiting_reason):
        message = state.waiting_message or state.waiting_reason
        jobs.end(job, "failed", now=now, error=("permanent", state.waiting_reason, message))
    elif _is_stuck(state):
        job.waiting_until, job.progress_message = state.waiting_until, state.waiting_message
    else:
        job.waiting_until, job.progress_message = None, None


def _is_stuck(state: work.Progress) -> bool:
    """Tell whether waiting is all that can be done: no quota, refused, or nothing works at all."""
    refused = state.waiting_kind in ("quota", "blocked")
    return state.waiting_until is not None and (refused or state.done == 0)
