"""``tubegrader jobs``: what is running, how far it is, and how it ended."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from services.jobs import JobView

app = typer.Typer(help="List, show, watch and cancel jobs.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(help="The job's id, or how it begins.", metavar="JOB")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("list")
def list_jobs(
    limit: Annotated[int, typer.Option(min=1, help="The most to show.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the newest jobs."""
    from services import jobs
    from services.cli.common import open_context, print_json, print_table

    with open_context() as context:
        found = jobs.newest(context, limit=limit)
    if as_json:
        print_json([job.as_json() for job in found])
        return
    print_table(
        ["job", "kind", "state", "progress", "submitted (UTC)", "message"],
        [
            [
                job.job_id[:8],
                job.kind,
                job.state,
                f"{job.progress_done}/{job.progress_total}" if job.progress_total else "",
                f"{job.created_at:%Y-%m-%d %H:%M:%S}",
                job.error_message or job.progress_message,
            ]
            for job in found
        ],
        right=["progress"],
    )


@app.command("show")
def show_job(job_id: JobId, as_json: AsJson = False) -> None:
    """Show one job."""
    from services import jobs
    from services.cli.common import open_context, print_json

    with open_context() as context:
        job = jobs.find(context, job_id)
    if as_json:
        print_json(job.as_json())
        return
    _print(job)


@app.command("watch")
def watch_job(job_id: JobId) -> None:
    """Follow a job until it ends."""
    import uuid

    from services import jobs
    from services.cli.common import open_context, wait_for

    with open_context(workers=True) as context:
        job = jobs.find(context, job_id)
        _print(wait_for(context, uuid.UUID(job.job_id), job.kind, quiet=False))


@app.command("cancel")
def cancel_job(job_id: JobId) -> None:
    """Ask a job to stop; what it did so far stays."""
    import uuid

    from services import jobs
    from services.cli.common import open_context

    with open_context() as context:
        job = jobs.find(context, job_id)
        state = jobs.cancel(context, uuid.UUID(job.job_id))
    typer.echo(f"job {job.job_id[:8]} is {'stopping' if state == 'running' else state}")


def _print(job: "JobView") -> None:
    for name, value in job.as_json().items():
        if value is not None:
            typer.echo(f"{name:17} {value}")
