"""What ``tubegrader train speech --folder`` does and prints."""

from pathlib import Path
from typing import Any


def train_folder(folder: Path, out: Path, *, rung: str, seed: int, quiet: bool) -> dict[str, Any]:
    """Train one model on a folder's clips, in this process; show progress unless ``quiet``."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    from services.learning.speech.folder_training import Request, train

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as shown:
        bar = shown.add_task("reading", total=None)
        return train(
            Request(folder=folder, out=out, rung=rung, seed=seed),
            progress=lambda done, total, message: shown.update(
                bar, completed=done, total=total, description=message
            ),
        )


def describe(trained: dict[str, Any]) -> str:
    """Say what was trained, and how to use it."""
    return (
        f"trained {trained['rung']} on {trained['n_clips']} clips of {trained['n_speakers']} "
        f"speakers from {len(trained['sources'])} sources\n"
        f"try it: tubegrader language --model {trained['model']} FILE…"
    )
