"""JSON lines that survive a crash: a line that was cut short is as if it had never been begun."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def append_line(path: Path, content: dict[str, Any]) -> None:
    """Add one line, on a line of its own even where the last one was cut short."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        if file.seek(0, 2):
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(json.dumps(content).encode() + b"\n")


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the whole lines of a file, none where it does not exist."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("}\n"):
            yield json.loads(line)
