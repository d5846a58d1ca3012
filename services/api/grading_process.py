"""What the grader's process does. Only it imports torch; the api starts it when first asked."""

import multiprocessing
import multiprocessing.connection
import os
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from services.api.problems import Problem, of_error
from services.api.rendering import fragment
from services.context import Context
from services.errors import TubeGraderError
from services.learning.artifacts import workspace
from services.settings import Settings

_LONGEST_NAME = 80


@dataclass(frozen=True)
class Graded:
    """A grading: its values, and how a page shows it."""

    values: dict[str, Any]
    shown: str


class _Process:
    context: Context | None = None


def begin(settings: Settings) -> None:
    """Open what this process works with; called once in it."""
    _Process.context = Context.of_process(settings)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def opened() -> Context:
    """Return the context of this process."""
    context = _Process.context
    assert context is not None, "the pool begins each process"
    return context


def _end_with_parent() -> None:
    """End when the api does, however it ended: nobody else would."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "the api starts this process"
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


def grade(
    pictures: Sequence[tuple[str, bytes]], channel: str | None, subscribers: int | None
) -> Graded | Problem:
    """Grade pictures, each with the name that somebody gave it.

    An expected failure is returned, since errors do not travel between processes unharmed.
    """
    from services.learning.grading import formatting  # noqa: PLC0415 - torch, in this process only
    from services.learning.grading import grade as grade_files  # noqa: PLC0415
    from services.learning.grading.output import tiles  # noqa: PLC0415

    context = opened()
    with workspace(context, "uploads") as folder:
        files = []
        for number, (name, content) in enumerate(pictures):
            file = folder / str(number) / plain_name(name, number)
            file.parent.mkdir()
            file.write_bytes(content)
            files.append(file)
        try:
            grading = grade_files(context, files, channel=channel, subscribers=subscribers)
        except TubeGraderError as error:
            found = of_error(error)
            return replace(found, detail=without_folders(found.detail, folder))
        values = without_folders(grading.as_json(), folder)
    shown = fragment(
        "grading.html",
        grading=grading,
        words=formatting,
        tiles=tiles(grading),
        unusable=values["unusable"],
    )
    return Graded(values, shown)


def plain_name(name: str, number: int) -> str:
    """Return a file's name of what somebody called a picture."""
    last = re.split(r"[/\\]", name)[-1]
    kept = "".join(c for c in last if c.isprintable()).strip(". ")[-_LONGEST_NAME:]
    return kept or f"picture {number + 1}"


def without_folders(value: Any, folder: Path) -> Any:
    """Return values in which files are called as whoever sent them called them."""
    if isinstance(value, dict):
        return {key: without_folders(each, folder) for key, each in value.items()}
    if isinstance(value, list):
        return [without_folders(each, folder) for each in value]
    if isinstance(value, str):
        return re.sub(re.escape(str(folder)) + r"/\d+/", "", value)
    return value
