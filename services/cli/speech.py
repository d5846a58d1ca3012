"""What ``compare speech`` and ``train speech`` do on a folder of clips, and what they print."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from services.cli.speech_tables import print_comparison

__all__ = ["compare_folder", "describe_trained", "print_comparison", "train_folder"]


def compare_folder(
    folder: Path,
    out: Path,
    *,
    pairs: str,
    seeds: int,
    models: str,
    codecs: bool,
    curve: bool,
    finished: bool,
    quiet: bool,
) -> dict[str, Any]:
    """Compare the models on a folder's clips, in this process; the metrics go into ``out``."""
    from services.learning.speech.folder import JSON, PAGE, Request, compare_and_write

    request = Request(
        folder=folder,
        out=out,
        pairs=pairs,
        seeds=seeds,
        models=tuple(name.strip() for name in models.split(",") if name.strip()),
        codecs=codecs,
        curve=curve,
        finished=finished,
    )
    with _progress(quiet=quiet) as progress:
        found = compare_and_write(request, progress=progress)
    typer.echo(f"all figures are in {out / JSON}, to look at in {out / PAGE}", err=True)
    return found


def train_folder(
    folder: Path, out: Path, *, model: str | None, seed: int, quiet: bool
) -> dict[str, Any]:
    """Train one model on a folder's clips, in this process."""
    from services.learning.speech.folder_training import Request, train

    with _progress(quiet=quiet) as progress:
        return train(Request(folder=folder, out=out, model=model, seed=seed), progress=progress)


def describe_trained(trained: dict[str, Any]) -> str:
    """Say what was trained, and how to use it."""
    return (
        f"trained {trained['rung']} on {trained['n_clips']} clips of {trained['n_speakers']} "
        f"speakers from {len(trained['sources'])} sources\n"
        f"try it: tubegrader audio classify --model {trained['model']} FILE…"
    )


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int, int, str], None]]:
    """Show how far it is; what is yielded is told (done, total, what is being done)."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as shown:
        bar = shown.add_task("reading", total=None)

        def show(done: int, total: int, message: str) -> None:
            shown.update(bar, completed=done, total=total, description=message)

        yield show
