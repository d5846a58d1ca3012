"""``tubegrader audio classify`` by a home on another machine: files are sent, no model is here."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from services.cli import remote
from services.cli.common import print_json
from services.cli.tables import print_table

LARGEST_FILE = 32_000_000
"""Bytes; the API takes no larger form."""
_OF_WHO_ASKS = ("tokenNeeded", "scopeMissing")
"""Reasons that speak of no file: another one would be refused as well."""


def classify(home: remote.Remote, paths: Sequence[Path], *, as_json: bool) -> int:
    """Print which language is spoken in files; return how many could not be used.

    Raises:
        TubeGraderError: That home cannot tell, whatever the file.
    """
    found = [_heard(home, path) for path in paths]
    failed = sum("error" in one for one in found)
    if as_json:
        models = [one for one in found if "error" not in one]
        model = {name: models[0].get(name) for name in ("rung", "version")} if models else None
        files = [{k: v for k, v in one.items() if k not in _OF_MODEL} for one in found]
        print_json({"model": model, "failed": failed, "files": files})
        return failed
    print_table(
        ["file", "language", "probability", "speech", "seconds"],
        [_row(one) for one in found],
        right=["probability", "speech", "seconds"],
    )
    for one in found:
        for note in one.get("notes", ()):
            typer.echo(f"{one['file']}: {note}")
    return failed


_OF_MODEL = ("rung", "version", "model")


def _heard(home: remote.Remote, path: Path) -> dict[str, Any]:
    from services.errors import UsageError

    try:
        content = _read(path)
        found = home.upload("/language-detections", [("sound", path.name, content)], {})
    except UsageError as error:
        if error.reason in _OF_WHO_ASKS:
            raise
        return {"file": str(path), "error": {"reason": error.reason, "message": str(error)}}
    return {**found, "file": str(path)}


def _read(path: Path) -> bytes:
    """Return a file's bytes.

    Raises:
        UsageError: It cannot be read, or is too large to be sent.
    """
    from services.errors import UsageError

    try:
        if path.stat().st_size > LARGEST_FILE:
            raise UsageError(
                f"it is larger than {LARGEST_FILE // 1_000_000} MB, which cannot be sent",
                reason="tooLarge",
            )
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"it cannot be read: {error.strerror}", reason="unreadable") from error


def _row(one: dict[str, Any]) -> list[Any]:
    if "error" in one:
        return [one["file"], f"{one['error']['message']} ({one['error']['reason']})", "", "", ""]
    probability = one["probability"]
    return [
        one["file"],
        one["language"],
        "" if probability is None else f"{probability:.0%}",
        f"{one['speech_share']:.0%}",
        f"{one['seconds']:,.1f}",
    ]
