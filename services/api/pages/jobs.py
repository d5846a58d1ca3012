"""Jobs: followed live, cancelled, retried, begun."""

import uuid
from collections import Counter
from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from db.queries.work import overview
from services.api.dependencies import Ctx
from services.api.rendering import page
from services.api.v1.jobs import NewJob, submit
from services.embedded import logs
from services.embedded.home import Home
from services.work import jobs, retries
from services.work.kinds import JOB_KINDS

router = APIRouter(prefix="/jobs")


@router.get("")
def list_jobs(
    request: Request, context: Ctx, kind: str | None = None, state: str | None = None
) -> HTMLResponse:
    """List the newest jobs."""
    found = jobs.newest(context, limit=100, kind=kind or None, state=state or None)
    failed = jobs.newest(context, limit=100, state="failed")
    with context.transaction() as session:
        items = overview.failures_by_reason(session)
    return page(
        "jobs.html",
        request,
        found=found,
        kind=kind,
        state=state,
        kinds=list(JOB_KINDS),
        failed=Counter((job.kind, job.error_reason or "") for job in failed).most_common(),
        failed_items=items,
    )


@router.post("")
def begin(
    context: Ctx,
    kind: Annotated[Literal["crawl", "train", "score", "compare", "retrain"], Form()],
    task: Annotated[Literal["thumbnails", "speech"], Form()] = "thumbnails",
) -> RedirectResponse:
    """Begin a job and follow it."""
    return RedirectResponse(f"/jobs/{submit(context, NewJob(kind=kind, task=task))}", 303)


@router.post("/retry")
def retry(
    context: Ctx,
    what: Annotated[Literal["jobs", "items"], Form()],
    kind: Annotated[str, Form(max_length=40)],
    reason: Annotated[str, Form(max_length=100)],
) -> RedirectResponse:
    """Try everything of a kind again that failed for a reason."""
    if what == "jobs":
        retries.retry_failed_jobs(context, kind=kind, reason=reason)
    else:
        retries.retry_items(context, kind=kind, reason=reason)
    return RedirectResponse("/jobs", 303)


@router.get("/{job_id}")
def show_job(request: Request, context: Ctx, job_id: str) -> HTMLResponse:
    """Follow one job."""
    found = jobs.find(context, job_id)
    log = logs.naming(Home(context.settings.home).logs, found.job_id)
    return page("job.html", request, job=found, log=log)


@router.post("/{job_id}/{action}")
def act_on(context: Ctx, job_id: str, action: Literal["cancel", "retry"]) -> RedirectResponse:
    """Cancel a job, or try it again."""
    found = jobs.find(context, job_id).job_id
    if action == "cancel":
        jobs.cancel(context, uuid.UUID(found))
    else:
        retries.retry_jobs(context, [found])
    return RedirectResponse(f"/jobs/{found}", 303)
