"""What commands share: a context on a running stack, waiting for jobs, tables and JSON."""

import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import typer

if TYPE_CHECKING:
    from services.context import Context
    from services.work.jobs import JobView

Found = TypeVar("Found")
NO_WORKER_HINT_S = 20.0


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

    settings = Settings()
    own_workers = workers and settings.redis_url is None
    with embedded.stack(settings, workers=own_workers) as endpoints:
        context = Context.of_process(endpoints.applied_to(settings))
        try:
            yield context
        finally:
            context.close()


def run_job(
    submit: "Callable[[Context], uuid.UUID]",
    title: str,
    describe: Callable[[dict[str, Any]], str],
    *,
    wait: bool,
    as_json: bool,
) -> None:
    """Submit a job, wait for it and print what it did; without waiting, print its id.

    Args:
        submit: Returns the id of the job.
        title: What is seen to happen meanwhile, such as ``training``.
        describe: Says in lines what a job did, from its result.
        wait: Whether to wait, with workers of our own where there are none.
        as_json: Whether to print the job itself.

    Raises:
        TubeGraderError: As :func:`wait_for`.
    """
    with open_context(workers=wait) as context:
        job_id = submit(context)
        if not wait:
            typer.echo(str(job_id))
            return
        job = wait_for(context, job_id, title, quiet=as_json)
    emit(job, lambda done: typer.echo(describe(done.result or {})), as_json=as_json)


def wait_for(context: "Context", job_id: uuid.UUID, title: str, *, quiet: bool) -> "JobView":
    """Show a job's progress until it ends; return it when it succeeded.

    Raises:
        TubeGraderError: It failed or was cancelled, or cannot go on before long.
    """
    import time

    from services.errors import TransientError
    from services.work import jobs

    started = time.monotonic()
    with _progress_bar(quiet=quiet) as show:
        for job in jobs.watch(context, job_id):
            waited = time.monotonic() - started
            nobody = job.state == "queued" and waited > NO_WORKER_HINT_S
            show(job, f"{title} (no worker has taken it yet)" if nobody else title)
            if job.waiting_until is not None:
                raise TransientError(
                    f"{title} waits until {job.waiting_until:%Y-%m-%d %H:%M:%S} UTC: "
                    f"{job.progress_message}",
                    reason="waiting",
                    hint=f"it goes on by itself while workers run; `tubegrader jobs show "
                    f"{job.job_id[:8]}` tells how it stands",
                )
    return jobs.succeeded(job)


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

    console = Console(stderr=True)
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

        def show(job: "JobView", title: str) -> None:
            progress.update(
                task,
                description=title,
                completed=job.progress_done,
                total=job.progress_total or None,
                message=job.progress_message or "",
            )
            if job.ended:
                progress.update(task, message="")

        yield show


def emit(found: Found, show: Callable[[Found], None], *, as_json: bool) -> None:
    """Print what a command found: as JSON for scripts, by ``show`` for people."""
    if as_json:
        print_json(found)
    else:
        show(found)


def emit_rows(
    found: Sequence[Found],
    columns: Mapping[str, Callable[[Found], object]],
    *,
    as_json: bool,
    right: Sequence[str] = (),
) -> None:
    """Print a list: as JSON for scripts, as a table for people.

    Args:
        found: One item a row.
        columns: What each column shows of an item, by the column's title.
        as_json: Which of both.
        right: Titles of the columns that hold numbers.
    """

    def show(items: Sequence[Found]) -> None:
        rows = [[cell(item) for cell in columns.values()] for item in items]
        print_table(list(columns), rows, right=right)

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


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, right: Sequence[str] = ()
) -> None:
    """Print a plain table; the columns named in ``right`` are numbers."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        # Text, because titles may hold what rich takes for markup.
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:
        console.width = 10_000  # in a file or a pipe nothing is folded
    console.print(table)
