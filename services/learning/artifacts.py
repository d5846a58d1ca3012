"""Folders of files (datasets, model artefacts) in and out of the object store."""

import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from services.context import Context
from services.learning.errors import translate_errors
from services.storage import ObjectStore

LEFT_S = 7 * 86_400
"""What a killed process left of its scratch folder is removed after a week."""


def put_folder(store: ObjectStore, folder: Path) -> dict[str, str]:
    """Store every file of a flat folder; return name → SHA-256."""
    return {path.name: store.put_file(path) for path in sorted(folder.iterdir())}


def get_folder(store: ObjectStore, files: Mapping[str, str], folder: Path) -> Path:
    """Write the files of ``put_folder`` into a folder, verified; return the folder.

    Raises:
        PermanentError: A file is missing from the store or damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, sha256 in files.items():
        if Path(name).name != name:
            raise ValueError(f"{name!r} is not the name of a file")
        store.get_file(sha256, folder / name)
    return folder


def image_features_folder(context: Context) -> Path:
    """Return where this machine keeps what it needs for image features besides the features."""
    return context.settings.home / "looks"


def sweep(folder: Path, older_than_s: float) -> None:
    """Remove what lies in a folder untouched for longer; others may be doing the same."""
    for left in folder.glob("*"):
        with suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > older_than_s:
                shutil.rmtree(left, ignore_errors=True)


@contextmanager
def workspace(context: Context, purpose: str) -> Iterator[Path]:
    """Give an empty folder of the home while the block runs; translate what learning raises in it.

    Not one of the system's: that is often in memory or small, and what a killed process leaves
    there, which may be gigabytes, nobody removes.

    Args:
        context: Its home.
        purpose: A word that the folder's name begins with.

    Raises:
        PermanentError: Nothing honest can be learned.
        TransientError: A disk is full, or over its quota (``diskFull``).
    """
    scratch = context.settings.home / "cache" / "scratch"
    with translate_errors(context.settings.home):
        scratch.mkdir(parents=True, exist_ok=True)
        sweep(scratch, LEFT_S)
        with tempfile.TemporaryDirectory(prefix=f"{purpose}-", dir=scratch) as folder:
            yield Path(folder)
