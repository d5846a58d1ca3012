"""The overview: what is collected, what works, what needs a hand."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from db.queries.work import overview as rows
from services import browsing, digest
from services.api.dependencies import Ctx
from services.api.rendering import page
from services.context import Context
from services.crawl.spending import spending
from services.errors import PermanentError, UsageError
from services.learning.results import newest_comparison
from services.policy import sizes
from services.work import admission, fleet, jobs

router = APIRouter()


@router.get("/")
def overview(request: Request, context: Ctx) -> HTMLResponse:
    """Show how the whole stands."""
    now = context.clock()
    with context.transaction() as session:
        waiting = rows.oldest_due(session, now=now)
        failed = rows.failures_by_reason(session)
    failed_jobs = jobs.newest(context, limit=5, state="failed")
    return page(
        "overview.html",
        request,
        now=now,
        waiting=waiting,
        failed=failed,
        failed_jobs=[job for job in failed_jobs if _is_recent(job.finished_at, now)],
        recent=jobs.newest(context, limit=8),
        blockers=admission.blockers(context),
        fleet=fleet.listed(context),
        kept={kind.kind: kind for kind in sizes.estimate(context)},
        buckets=_buckets(context),
        sentence=_sentence(context),
        night=digest.told(digest.last_nights(context)),
        model=browsing.model_shown(context),
    )


def _is_recent(at: datetime | None, now: datetime) -> bool:
    return at is not None and (now - at).total_seconds() < 2 * 86_400


def _buckets(context: Context) -> Any:
    try:
        return spending(context, days=1).buckets
    except UsageError:
        return None  # no key is set; the page says so


def _sentence(context: Context) -> str | None:
    try:
        return str(newest_comparison(context, "thumbnails")["sentence"])
    except PermanentError:
        return None
