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
    """Compare the rungs on a folder's clips, in this process; keep the figures in ``out``."""
    import json

    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    from services.learning.speech.folder import Request, compare

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
        found = compare(
            request,
            progress=lambda done, total, message: shown.update(
                bar, completed=done, total=total, description=message
            ),
        )
    file = out / "comparison.json"
    file.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", "utf-8")
    typer.echo(f"all figures are in {file}", err=True)
    return found
