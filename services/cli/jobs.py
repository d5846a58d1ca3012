"""``tubegrader jobs``: what is running, how far it is, how it ended, and once more."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli import completing, remote
from services.cli.common import (
    asked,
    confirm,
    emit,
    emit_rows,
    open_context,
    print_json,
    say,
    wait_for,
    wait_there,
)
from services.cli.options import AsJson, DryRun, Watch, Yes
from services.cli.tables import print_pairs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from services.context import Context
    from services.work.job_views import JobView
    from services.work.waiting import Waiting

app = typer.Typer(
    help="List, show, watch, pause, cancel and retry jobs; count work items.", no_args_is_help=True
)

JobId = Annotated[
    str,
    typer.Argument(
        help="The job's id, or how it begins.", metavar="JOB", autocompletion=completing.jobs
    ),
]


@app.command("list")
def list_jobs(
    limit: Annotated[int, typer.Option(min=1, max=10**9, help="The most to show.")] = 20,
    kind: Annotated[
        str | None,
        typer.Option(
            help="Only this kind, such as crawl.", autocompletion=completing.kinds_of_jobs
        ),
    ] = None,
    state: Annotated[str | None, typer.Option(help="Only in this state, such as failed.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the newest jobs."""
    from services.work import jobs
    from services.work.job_views import JobView

    found = asked(
        lambda context: jobs.newest(context, limit=limit, kind=kind, state=state),
        lambda there: there.items("/jobs", JobView, most=limit, kind=kind, state=state),
    )
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
            "message": lambda job: job.error_message or ("" if job.ended else job.progress_message),
        },
        as_json=as_json,
        right=["progress"],
    )


@app.command("show")
def show_job(job_id: JobId, watch: Watch = False, as_json: AsJson = False) -> None:
    """Show one job, and what it waits for; of one that scores, when it will have ended."""
    import uuid

    from services.cli import watching
    from services.work import jobs, waiting

    there = remote.home()
    if there is not None:
        watching.watch(lambda: _draw(there.job(job_id), [], as_json=as_json), once=not watch)
        return
    with open_context() as context:
        found = uuid.UUID(jobs.find(context, job_id).job_id)

        def draw() -> bool:
            waits = waiting.waits_for(context, found)
            return _draw(jobs.view(context, found), waits, as_json=as_json)

        watching.watch(draw, once=not watch)


def _draw(job: "JobView", waits: "Sequence[Waiting]", *, as_json: bool) -> bool:
    """Print a job and what it waits for; tell whether it goes on."""
    if as_json:
        print_json(job.as_json() | {"waits_for": [wait.as_json() for wait in waits]})
        return not job.ended
    _print(job)
    for wait in waits:
        typer.echo(wait.line)
    return not job.ended


@app.command("watch")
def watch_job(job_id: JobId, as_json: AsJson = False) -> None:
    """Follow a job until it ends."""
    import uuid

    from services.work import jobs

    there = remote.home()
    if there is not None:
        job = there.job(job_id)
        emit(wait_there(there, job.job_id, job.kind, quiet=as_json), _print, as_json=as_json)
        return
    with open_context(workers=True) as context:
        job = jobs.find(context, job_id)
        ended = wait_for(context, uuid.UUID(job.job_id), job.kind, quiet=as_json)
    emit(ended, _print, as_json=as_json)


@app.command("cancel")
def cancel_job(job_id: JobId, as_json: AsJson = False) -> None:
    """Ask a job to stop; what it did so far stays."""
    import uuid

    from services.work import jobs
    from services.work.job_views import JobView

    def cancel(context: "Context") -> "JobView":
        found = uuid.UUID(jobs.find(context, job_id).job_id)
        jobs.cancel(context, found)
        return jobs.view(context, found)

    job = asked(
        cancel, lambda there: there.post(f"/jobs/{remote.segment(job_id)}/cancel", {}, JobView)
    )
    line = f"job {job.job_id[:8]} is {'stopping' if job.state == 'running' else job.state}"
    say(job, line, as_json=as_json)


@app.command("pause")
def pause_job(job_id: JobId, as_json: AsJson = False) -> None:
    """Begin nothing more of a scoring or a night; what runs finishes, what is planned stays."""
    job, changed = _set_paused(job_id, paused=True)
    say(job, f"job {job.job_id[:8]} {'is' if changed else 'was'} paused", as_json=as_json)


@app.command("resume")
def resume_job(job_id: JobId, as_json: AsJson = False) -> None:
    """Let a paused job go on."""
    job, changed = _set_paused(job_id, paused=False)
    line = f"job {job.job_id[:8]} {'goes on' if changed else 'was not paused'}"
    say(job, line, as_json=as_json)


def _set_paused(job_id: str, *, paused: bool) -> tuple["JobView", bool]:
    """Pause or resume a job; return it, and whether it was not so already."""
    import uuid

    from services.work import jobs
    from services.work.job_views import JobView

    def here(context: "Context") -> tuple[JobView, bool]:
        found = uuid.UUID(jobs.find(context, job_id).job_id)
        changed = (jobs.pause if paused else jobs.resume)(context, found)
        return jobs.view(context, found), changed

    def there(home: remote.Remote) -> tuple[JobView, bool]:
        before = home.job(job_id)
        verb = "pause" if paused else "resume"
        now: JobView = home.post(f"/jobs/{before.job_id}/{verb}", {}, JobView)
        return now, (before.paused_at is None) is not (now.paused_at is None)

    return asked(here, there)


@app.command("retry")
def retry_jobs(
    job_id: Annotated[
        list[str] | None,
        typer.Argument(
            help="Jobs to retry: ids, or how they begin.", autocompletion=completing.jobs
        ),
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
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Try again what failed: jobs by id, all that failed, or single items of work."""
    from services.cli import retrying
    from services.errors import UsageError
    from services.formatting import counted

    if bool(job_id) + failed + items != 1:
        raise UsageError(
            "give jobs, or --failed, or --items", hint="`tubegrader jobs list --state failed`"
        )
    if job_id and (reason or kind):
        raise UsageError("--reason and --kind go with --failed or --items")
    with retrying.failed() as ended:
        if items:
            n = ended.items(reason, kind)
            if not dry_run:
                confirm(f"Make {counted(n, 'item')} due again?", yes=yes)
                n = ended.retry_items(reason, kind)
            line = f"{counted(n, 'item')} {'would be ' if dry_run else ''}due again"
            say({"items": n} | ({"dry_run": True} if dry_run else {}), line, as_json=as_json)
            return
        ids = ended.jobs(reason, kind) if failed else ended.named(job_id or ())
        if not dry_run:
            if failed:
                confirm(f"Queue {counted(len(ids), 'job')} again?", yes=yes)
            ids = ended.retry(ids)
    lines = [f"{counted(len(ids), 'job')} {'would be ' if dry_run else ''}queued again"]
    lines += [f"  {retried[:8]}" for retried in ids]
    found = {"jobs": ids} | ({"dry_run": True} if dry_run else {})
    say(found, "\n".join(lines), as_json=as_json)


def items(as_json: AsJson = False) -> None:
    """Count the work items by kind, state and reason; each is counted once."""
    from datetime import datetime

    from services.work import retries

    def there(home: remote.Remote) -> list[dict[str, Any]]:
        return retries.added_up(
            each | {"oldest": datetime.fromisoformat(each["oldest"]) if each["oldest"] else None}
            for each in home.items("/work-items", dict[str, Any])
        )

    counted: list[dict[str, Any]] = asked(retries.item_counts, there)
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
    shown = job.as_json()
    if shown["result"] == shown["steps"]:
        del shown["steps"]
    print_pairs([pair for name, value in shown.items() for pair in _pairs(name, value)])


def _pairs(name: str, value: Any) -> "Iterator[tuple[str, object]]":
    """Take what is nested apart, down to what fits on a line."""
    if not isinstance(value, dict):
        if value is not None:
            yield name, value
    elif value and all(isinstance(inner, int | float) for inner in value.values()):
        yield name, ", ".join(f"{key} {inner}" for key, inner in value.items())
    else:
        for key, inner in value.items():
            yield from _pairs(f"{name}.{key}", inner)
