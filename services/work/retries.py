"""What ended badly, counted and tried again: jobs and work items."""

import uuid
from collections.abc import Collection, Iterable
from dataclasses import asdict
from typing import Any

from db.queries.work import jobs as job_rows
from db.queries.work import overview
from services.context import Context
from services.errors import UsageError
from services.paging import Page, cursor, position
from services.work.kinds import JOB_KINDS, WORK_KINDS

BLOCKS = 2_500
"""Of the items' table, 20 MB, in a page of counts: it costs the same however many there are."""


def retry_jobs(context: Context, job_ids: Collection[str]) -> list[str]:
    """Submit jobs that failed or were cancelled once more; return the ids of those.

    One of several steps goes on with the step that it failed at. Jobs in any other state stay as
    they are.
    """
    wanted = [uuid.UUID(job_id) for job_id in job_ids]
    with context.transaction() as session:
        return [str(j) for j in job_rows.retry(session, job_ids=wanted, now=context.clock())]


def failed_jobs(
    context: Context, *, reason: str | None = None, kind: str | None = None
) -> list[str]:
    """Return the ids of the failed jobs of a reason and kind, all by default.

    Raises:
        UsageError: There is no such kind of job.
    """
    _known(kind, JOB_KINDS, "job")
    with context.transaction() as session:
        return [str(j) for j in job_rows.failed(session, reason=reason, kind=kind)]


def retry_failed_jobs(
    context: Context, *, reason: str | None = None, kind: str | None = None
) -> list[str]:
    """Submit the failed jobs of a reason and kind, all by default, once more; return their ids.

    Raises:
        UsageError: There is no such kind of job.
    """
    _known(kind, JOB_KINDS, "job")
    with context.transaction() as session:
        retried = job_rows.retry(
            session, states=("failed",), reason=reason, kind=kind, now=context.clock()
        )
        return [str(j) for j in retried]


def failed_items(context: Context, *, reason: str | None = None, kind: str | None = None) -> int:
    """Count the failed work items of a reason and kind, all by default.

    Raises:
        UsageError: There is no such kind of work.
    """
    _known(kind, WORK_KINDS, "work")
    with context.transaction() as session:
        found = overview.failures_by_reason(session, kinds=None if kind is None else [kind])
    return sum(n for _, why, n in found if reason in (None, why))


def retry_items(context: Context, *, reason: str | None = None, kind: str | None = None) -> int:
    """Make the failed work items of a reason and kind due again; return how many there were.

    Raises:
        UsageError: There is no such kind of work.
    """
    _known(kind, WORK_KINDS, "work")
    with context.transaction() as session:
        return overview.retry_failed(session, reason=reason, kind=kind, now=context.clock())


def item_counts(context: Context) -> list[dict[str, Any]]:
    """Return how many work items there are by kind, state and reason: each is in one of them."""
    with context.transaction() as session:
        return [asdict(count) for count in overview.counts(session, now=context.clock())]


def item_counts_page(context: Context, *, after: str | None = None) -> Page[dict[str, Any]]:
    """Return the same of some items; added up over all pages they are those of all.

    Raises:
        UsageError: ``after`` is none of ours.
    """
    first = 0 if after is None else position(after, str, _block)[1]
    with context.transaction() as session:
        found, then = overview.counts_of_blocks(session, first, blocks=BLOCKS, now=context.clock())
    return Page(
        [asdict(count) for count in found], None if then is None else cursor(("item", then))
    )


def added_up(counted: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add up the counts of pages, in the order that those of all items have."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for each in counted:
        key = tuple(each[name] for name in ("kind", "state", "reason"))
        before = found.setdefault(key, each | {"count": 0})
        before["count"] += each["count"]
        before["oldest"] = min(filter(None, (before["oldest"], each["oldest"])), default=None)
    return sorted(found.values(), key=lambda each: (each["kind"], each["state"], -each["count"]))


def _block(value: object) -> int:
    """Return a block's number of a cursor.

    Raises:
        ValueError: It is none.
    """
    if type(value) is not int or not 0 <= value < 2**32 - BLOCKS:
        raise ValueError("it is no block")
    return value


def _known(kind: str | None, kinds: Collection[str], what: str) -> None:
    if kind is not None and kind not in kinds:
        raise UsageError(f"there is no kind of {what} “{kind}”", hint=f"use {', '.join(kinds)}")
