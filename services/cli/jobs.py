"""``tubegrader jobs``: what is running, how far it is, how it ended, and once more."""

from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.common import emit, emit_rows, open_context, print_json, wait_for
from services.cli.options import AsJson

if TYPE_CHECKING:
    from services.work.jobs import JobView

app = typer.Typer(
    help="List, show, watch, cancel and retry jobs; count work items.", no_args_is_help=True
)

JobId = Annotated[str, typer.Argument(help="The job's id, or how it begins.", metavar="JOB")]


@app.command("list")
def list_jobs(
    limit: Annotated[int, typer.Option(min=1, help="The most to show.")] = 20,
    kind: Annotated[str | None, typer.Option(help="Only this kind, such as crawl.")] = None,
    state: Annotated[str | None, typer.Option(help="Only in this state, such as failed.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the newest jobs."""
    from services.work import jobs

    with open_context() as context:
        found = jobs.newest(context, limit=limit, kind=kind, state=state)
    emit_rows(
        found,
        {
            "job": lambda job: job.job_id[:8],
            "kind": lambda job: job.kind,
            "state": lambda job: job.state,
            "progress": lambda job: (
                f"{job.progress_done}/{job.progress_total}" if job.progress_total else ""
            ),
            "submitted (UTC)": lambda job: f"{job.created_at:%Y-%m-%d %H:%M:%S}",
            "message": lambda job: job.error_message or job.progress_message,
        },
        as_json=as_json,
        right=["progress"],
    )


@app.command("show")
def show_job(job_id: JobId, as_json: AsJson = False) -> None:
    """Show one job."""
    from services.work import jobs

    with open_context() as context:
        job = jobs.find(context, job_id)
    emit(job, _print, as_json=as_json)


@app.command("watch")
def watch_job(job_id: JobId) -> None:
    """Follow a job until it ends."""
    import uuid

    from services.work import jobs

    with open_context(workers=True) as context:
        job = jobs.find(context, job_id)
        _print(wait_for(context, uuid.UUID(job.job_id), job.kind, quiet=False))


@app.command("cancel")
def cancel_job(job_id: JobId) -> None:
    """Ask a job to stop; what it did so far stays."""
    import uuid

    from services.work import jobs

    with open_context() as context:
        job = jobs.find(context, job_id)
        state = jobs.cancel(context, uuid.UUID(job.job_id))
    typer.echo(f"job {job.job_id[:8]} is {'stopping' if state == 'running' else state}")


@app.command("retry")
def retry_jobs(
    job_id: Annotated[
        list[str] | None, typer.Argument(help="Jobs to retry: ids, or how they begin.")
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All jobs that failed.")] = False,
    items: Annotated[
        bool, typer.Option("--items", help="Work items that failed, instead of jobs.")
    ] = False,
    reason: Annotated[
        str | None, typer.Option(help="With --failed or --items: only those of this reason.")
    ] = None,
    kind: Annotated[
        str | None, typer.Option(help="With --failed or --items: only this kind.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Try again what failed: jobs by id, all that failed, or single items of work."""
    from services.errors import UsageError
    from services.formatting import counted
    from services.work import jobs, retries

    if bool(job_id) + failed + items != 1:
        raise UsageError(
            "give jobs, or --failed, or --items", hint="`tubegrader jobs list --state failed`"
        )
    if job_id and (reason or kind):
        raise UsageError("--reason and --kind go with --failed or --items")
    with open_context() as context:
        if items:
            n = retries.retry_items(context, reason=reason, kind=kind)
            print_json({"items": n}) if as_json else typer.echo(f"{counted(n, 'item')} due again")
            return
        if failed:
            retried = retries.retry_failed_jobs(context, reason=reason, kind=kind)
        else:
            found = [jobs.find(context, prefix).job_id for prefix in job_id or ()]
            retried = retries.retry_jobs(context, found)
    if as_json:
        print_json({"jobs": retried})
        return
    typer.echo(f"{counted(len(retried), 'job')} queued again")
    for retried_id in retried:
        typer.echo(f"  {retried_id[:8]}")


@app.command("items")
def count_items(as_json: AsJson = False) -> None:
    """Count the work items by kind, state and reason; each is counted once."""
    from services.work import retries

    with open_context() as context:
        counted = retries.item_counts(context)
    emit_rows(
        counted,
        {
            "work": lambda c: c["kind"],
            "state": lambda c: c["state"],
            "reason": lambda c: c["reason"],
            "items": lambda c: f"{c['count']:,}",
            "oldest slot (UTC)": lambda c: f"{c['oldest']:%Y-%m-%d %H:%M}" if c["oldest"] else "",
        },
        as_json=as_json,
        right=["items"],
    )


def _print(job: "JobView") -> None:
    for name, value in job.as_json().items():
        if value is not None and value != {}:
            typer.echo(f"{name:17} {value}")
