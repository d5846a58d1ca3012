"""What commands share: a context on a running stack, waiting for jobs, tables and JSON."""

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from services.cli import remote
from services.cli.tables import print_table

if TYPE_CHECKING:
    from services.context import Context
    from services.work.job_views import JobView

Found = TypeVar("Found")
STOPS_WAITING = "Ctrl-C stops waiting, the job goes on."


@contextmanager
def open_context(*, workers: bool = False) -> "Iterator[Context]":
    """Have the stack running while the block runs, and what services need to use it.

    Args:
        workers: Also have worker processes. Not where Redis is somebody else's: then workers
            are where the operator put them.
    """
    from services import embedded
    from services.context import Context
    from services.settings import Settings

    remote.refuse()
    settings = Settings()
    own_workers = workers and settings.redis_url is None
    with embedded.stack(settings, workers=own_workers) as endpoints:
        context = Context.of_process(endpoints.applied_to(settings))
        try:
            yield context
        finally:
            context.close()


def asked(here: "Callable[[Context], Found]", there: Callable[[remote.Remote], Found]) -> Found:
    """Ask the home on this machine, or the one on another that commands are for."""
    other = remote.home()
    if other is not None:
        return there(other)
    with open_context() as context:
        return here(context)


def run_job(
    submit: "Callable[[Context], uuid.UUID]",
    title: str,
    describe: Callable[[dict[str, Any]], str],
    *,
    wait: bool,
    as_json: bool,
    request: Mapping[str, Any] | None = None,
) -> None:
    """Submit a job, wait for it and print what it did; without waiting, print its id.

    Args:
        submit: Returns the id of the job.
        title: What is seen to happen meanwhile, such as ``training``.
        describe: Says in lines what a job did, from its result.
        wait: Whether to wait, with workers of our own where there are none.
        as_json: Whether to print the job itself.
        request: What the HTTP API is asked for, where commands are for another machine.

    Raises:
        TubeGraderError: As :func:`wait_for`.
    """
    other = remote.home()
    if other is not None and request is not None:
        submit_there(other, request, title, describe, wait=wait, as_json=as_json)
        return
    with open_context(workers=wait) as context:
        job_id = submit(context)
        if not wait:
            say({"job_id": str(job_id)}, str(job_id), as_json=as_json)
            return
        job = wait_for(context, job_id, title, quiet=as_json)
    emit(job, lambda done: typer.echo(describe(done.result or {})), as_json=as_json)


def wait_for(context: "Context", job_id: uuid.UUID, title: str, *, quiet: bool) -> "JobView":
    """Show a job's progress until it ends, and what it waits for; return it when it succeeded.

    What is waited for is said in lines of standard error, also where standard output is JSON.

    Raises:
        TubeGraderError: It failed or was cancelled, or cannot go on before long.
    """
    from services.errors import TransientError
    from services.work import jobs, waiting

    with _progress_bar(quiet=quiet) as show:
        for standing in waiting.follow(context, job_id):
            job = standing.job
            show(job, f"{title}{_how(job)}", [wait.line for wait in standing.waits_for])
            if job.waiting_until is not None:
                raise TransientError(
                    f"{title} waits until {job.waiting_until:%Y-%m-%d %H:%M:%S} UTC: "
                    f"{job.progress_message}",
                    reason="waiting",
                    hint=f"it goes on by itself while workers run; `tubegrader jobs show "
                    f"{job.job_id[:8]}` tells how it stands",
                )
    return jobs.succeeded(job)


def submit_there(
    other: remote.Remote,
    request: Mapping[str, Any],
    title: str,
    describe: Callable[[dict[str, Any]], str],
    *,
    wait: bool,
    as_json: bool,
) -> None:
    """Do what :func:`run_job` does with a job on another machine."""
    job_id = str(other.post("/jobs", request)["job_id"])
    if not wait:
        say({"job_id": job_id}, job_id, as_json=as_json)
        return
    job = wait_there(other, job_id, title, quiet=as_json)
    emit(job, lambda done: typer.echo(describe(done.result or {})), as_json=as_json)


def wait_there(other: remote.Remote, job_id: str, title: str, *, quiet: bool) -> "JobView":
    """Show the progress of a job on another machine until it ends; return it when it succeeded.

    Raises:
        TubeGraderError: It failed or was cancelled, or nobody answers any more.
    """
    from services.work import jobs

    with _progress_bar(quiet=quiet) as show:
        for job in other.followed(job_id):
            show(job, f"{title}{_how(job)}", [])
    return jobs.succeeded(job)


def _how(job: "JobView") -> str:
    if job.paused_at is None:
        return ""
    return f" (paused: `tubegrader jobs resume {job.job_id[:8]}`)"


@contextmanager
def _progress_bar(*, quiet: bool) -> Iterator[Any]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    console = Console(stderr=True, soft_wrap=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[message]}", style="dim", markup=False),
    )
    with Progress(*columns, console=console, disable=quiet) as progress:
        task = progress.add_task("", total=None, message="")

        said: list[str] = []

        def show(job: "JobView", title: str, lines: Sequence[str]) -> None:
            for line in lines:
                if line not in said:
                    console.print(line, style="yellow", markup=False, highlight=False)
            if lines and not said:
                console.print(STOPS_WAITING, style="dim", markup=False)
            # What is said again after something moved is news again.
            said[:] = lines
            progress.update(
                task,
                description=title,
                completed=job.progress_done,
                total=job.progress_total or None,
                message=_pace(job) or job.progress_message or "",
            )
            if job.ended:
                progress.update(task, message="")

        yield show


def _pace(job: "JobView") -> str:
    """Return how fast a job is and when it will have ended, where that is known."""
    if job.rows_per_s is None or job.ended:
        return ""
    until = f", until about {job.eta:%H:%M} UTC" if job.eta is not None else ""
    return f"{job.rows_per_s:,.1f} a second{until}"


def emit(found: Found, show: Callable[[Found], None], *, as_json: bool) -> None:
    """Print what a command found: as JSON for scripts, by ``show`` for people."""
    if as_json:
        print_json(found)
    else:
        show(found)


def say(found: Any, line: str, *, as_json: bool) -> None:
    """Print what became of something: as JSON for scripts, as a line for people."""
    emit(found, lambda _: typer.echo(line), as_json=as_json)


def confirm(question: str, *, yes: bool) -> None:
    """Ask whoever sits at a terminal; scripts are not asked.

    Raises:
        Abort: The answer is no.
    """
    if not yes and typer.get_text_stream("stdin").isatty():
        typer.confirm(question, abort=True, err=True)


def emit_rows(
    found: Sequence[Found],
    columns: Mapping[str, Callable[[Found], object]],
    *,
    as_json: bool,
    right: Sequence[str] = (),
    spare: Sequence[str] = (),
    none: str | None = None,
) -> None:
    """Print a list: as JSON for scripts, as a table for people.

    Args:
        found: One item a row.
        columns: What each column shows of an item, by the column's title.
        as_json: Which of both.
        right: Titles of the columns that hold numbers.
        spare: Titles of those that a narrow terminal does without, the first of them first.
        none: Said to people instead of an empty table: how something comes into it.
    """

    def show(items: Sequence[Found]) -> None:
        if none is not None and not items:
            typer.echo(none)
            return
        rows = [[cell(item) for cell in columns.values()] for item in items]
        print_table(list(columns), rows, right=right, spare=spare)

    emit(found, show, as_json=as_json)


def print_json(value: Any) -> None:
    """Print a value as JSON, for scripts; what has ``as_json`` in it is asked for its own.

    What a terminal would obey or UTF-8 does not hold, such as a stray byte of a file's name, is
    written as an escape: whoever reads the JSON gets exactly what there was.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, default=_plain)
    typer.echo("".join(c if _is_shown(c) else json.dumps(c)[1:-1] for c in text))


def _is_shown(character: str) -> bool:
    return character.isprintable() or character in "\n\u3000\xa0"


def _plain(value: Any) -> Any:
    return value.as_json() if hasattr(value, "as_json") else str(value)


def minute(moment: str) -> str:
    """Return a moment of a JSON value to the minute, such as ``2026-11-01 03:30``."""
    return moment[:16].replace("T", " ")


def interval(value: Mapping[str, float | None] | float, sign: str = "") -> str:
    """Return a figure with its interval as text, from JSON values; a dash for what is undefined."""
    if isinstance(value, float):
        return f"{value:{sign}.3f}"
    numbers = [value[name] for name in ("value", "low", "high")]
    middle, low, high = ("–" if n is None else f"{n:{sign}.3f}" for n in numbers)
    return middle if value["low"] is None else f"{middle} [{low}, {high}]"
