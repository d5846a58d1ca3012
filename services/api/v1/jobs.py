"""Jobs: submitted, followed, cancelled, retried."""

import uuid
from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Path, Query, Response
from pydantic import Field

from services.api.dependencies import Body, Ctx, Cursor, Limit, WhoAsks
from services.context import Context
from services.crawl import intake, runs
from services.paging import Page, moment, page_of, position
from services.work import jobs, retries, submissions
from services.work.job_views import JobView
from services.work.submissions import Submission

router = APIRouter(prefix="/jobs", tags=["jobs"])
failed = APIRouter(prefix="/failed-jobs", tags=["jobs"])
JobId = Annotated[str, Path(pattern="^[0-9a-fA-F-]{4,36}$", description="Its id, or its start.")]


class NewJob(Body):
    """A job to be done."""

    kind: Literal["crawl", "train", "score", "compare", "retrain"]
    channels: list[str] = Field(
        default_factory=list,
        max_length=1_000,
        description="crawl: only these; none: all.",
        examples=[["@handle"]],
    )
    task: Literal["thumbnails", "speech"] = "thumbnails"


class Failed(Body):
    """What failed: all of it, or what did for a reason, or of a kind."""

    reason: str | None = Field(
        default=None, max_length=100, pattern=r"^[^\x00]*$", examples=["workerLost"]
    )
    kind: str | None = Field(default=None, max_length=100, examples=["train"])


@router.get("")
def list_jobs(
    context: Ctx,
    kind: Annotated[str | None, Query(description="Only of this kind, such as crawl.")] = None,
    state: Annotated[str | None, Query(description="Only in this state, such as failed.")] = None,
    after: Cursor = None,
    limit: Limit = 50,
) -> Page[JobView]:
    """List jobs, the newest first."""
    last = None if after is None else position(after, moment, uuid.UUID)
    found = jobs.newest(context, limit=limit + 1, kind=kind, state=state, after=last)
    return page_of(found, limit, lambda job: (job.created_at.isoformat(), job.job_id))


@router.post(
    "", status_code=201, responses={200: {"model": JobView, "description": "It was there already."}}
)
def submit_job(
    context: Ctx,
    caller: WhoAsks,
    wanted: NewJob,
    response: Response,
    idempotency_key: Annotated[
        str | None,
        Header(
            max_length=200,
            pattern="^[!-~]+$",
            description="Asking again by the same key makes no second job.",
            examples=["8e03978e-40d5-43dd-bc93-6894a57f9324"],
        ),
    ] = None,
) -> JobView:
    """Have something done; follow it by its id."""
    once = None
    if idempotency_key is not None:
        who = "" if caller.token_id is None else str(caller.token_id)
        once = submissions.submission(who, idempotency_key, wanted.model_dump())
        found = submissions.find(context, once)
        if found is not None:
            response.status_code = 200
            return jobs.view(context, found)
    return jobs.view(context, submit(context, wanted, once))


def submit(context: Context, wanted: NewJob, once: Submission | None = None) -> uuid.UUID:
    """Submit a job; channels that are new are watched from now on."""
    if wanted.kind == "crawl":
        ids = intake.add_all(context, wanted.channels).channel_ids if wanted.channels else None
        return runs.start(context, ids, once=once)
    return jobs.submit(context, wanted.kind, {"task": wanted.task}, once=once)


@failed.post("/retry")
def retry_failed(context: Ctx, which: Failed) -> dict[str, list[str]]:
    """Try all jobs again that failed, or those of a reason and kind."""
    return {
        "jobs": retries.retry_failed_jobs(context, reason=which.reason, kind=which.kind),
    }


@router.get("/{job_id}")
def show_job(context: Ctx, job_id: JobId) -> JobView:
    """Show one job."""
    return jobs.find(context, job_id)


@router.post("/{job_id}/cancel")
def cancel_job(context: Ctx, job_id: JobId) -> JobView:
    """Ask a job to stop; what it did so far stays."""
    return _acted_on(context, job_id, jobs.cancel)


@router.post("/{job_id}/pause")
def pause_job(context: Ctx, job_id: JobId) -> JobView:
    """Begin nothing more of a scoring or retraining; what runs finishes."""
    return _acted_on(context, job_id, jobs.pause)


@router.post("/{job_id}/resume")
def resume_job(context: Ctx, job_id: JobId) -> JobView:
    """Let a paused job go on."""
    return _acted_on(context, job_id, jobs.resume)


@router.post("/{job_id}/retry")
def retry_job(context: Ctx, job_id: JobId) -> JobView:
    """Try a job again that failed."""
    return _acted_on(context, job_id, lambda c, found: retries.retry_jobs(c, [str(found)]))


def _acted_on(
    context: Context, job_id: str, act: Callable[[Context, uuid.UUID], object]
) -> JobView:
    found = uuid.UUID(jobs.find(context, job_id).job_id)
    act(context, found)
    return jobs.view(context, found)
