"""How ``tubegrader compare speech`` compares on a folder, and what it prints."""

from pathlib import Path
from typing import Any

import typer

from services.cli.speech_tables import print_comparison

__all__ = ["compare_folder", "print_comparison"]


def compare_folder(
    folder: Path,
    out: Path,
    *,
    pairs: str,
    seeds: int,
    rungs: str,
    codecs: bool,
    curve: bool,
    finished: bool,
    quiet: bool,
) -> dict[str, Any]:
    """Compare the rungs on a folder's clips, in this process; the figures go into ``out``."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    from services.learning.speech.folder import JSON, PAGE, Request, compare_and_write

    request = Request(
        folder=folder,
        out=out,
        pairs=pairs,
        seeds=seeds,
        rungs=tuple(name.strip() for name in rungs.split(",") if name.strip()),
        codecs=codecs,
        curve=curve,
        finished=finished,
    )
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as shown:
        bar = shown.add_task("reading", total=None)
        found = compare_and_write(
            request,
            progress=lambda done, total, message: shown.update(
                bar, completed=done, total=total, description=message
            ),
        )
    typer.echo(f"all figures are in {out / JSON}, to look at in {out / PAGE}", err=True)
    return found
