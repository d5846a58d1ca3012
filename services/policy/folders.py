"""Folders that exports wrote: removed with what they hold, where they are still those exports.

An export is known by its manifest's hash, wherever it is seen: a container that lives for a night
removes what another one wrote. What is not there was either removed by hand or lies where nobody
can look from here. A file beside the exports tells which: it names the place.
"""

import json
import os
import socket
import uuid
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import structlog

from db.models import Export
from ml.runtime.files import file_sha256
from services.transfer.tables import MANIFEST

log = structlog.get_logger()

PLACE = ".tubegrader-exports"
"""Beside exports: the id of the folder that they lie in."""
OUT_OF_REACH = "on another machine, or not mounted here"


def mark_place(folder: Path) -> uuid.UUID:
    """Return the id of the place that an export is written to, the first time a new one.

    Raises:
        OSError: The folder's parent cannot be written, or its mark not be read.
    """
    with suppress(FileExistsError), (folder.parent / PLACE).open("x", encoding="utf-8") as file:
        file.write(f"{uuid.uuid4()}\n")
    found = _place_of(folder)
    if found is None:
        raise OSError(f"{folder.parent / PLACE} is damaged; remove it and export again")
    return found


def _place_of(folder: Path) -> uuid.UUID | None:
    try:
        return uuid.UUID((folder.parent / PLACE).read_text("utf-8").strip())
    except (OSError, ValueError):
        return None


def why_kept(export: Export) -> str | None:
    """Return why a folder cannot be removed here; None if it can, or is gone already."""
    manifest = Path(export.directory) / MANIFEST
    if not _holds_files(manifest.parent):
        if export.place_id is None:  # of an earlier release
            is_here = export.host == socket.gethostname()
        else:
            is_here = export.place_id == _place_of(manifest.parent)
        return None if is_here else OUT_OF_REACH
    try:
        found = file_sha256(manifest)
    except OSError:
        found = ""
    return None if found == export.manifest_sha256 else "no longer that export"


def remove(folder: Path) -> None:
    """Remove the files that the manifest names, and the folders where nothing else is left.

    Broken off anywhere it can be done again: the manifest goes when it is alone, and a folder
    without any file is known for one that had it. Beside files that are not the export's it stays,
    for :func:`forget`.

    Raises:
        OSError: Something cannot be removed.
    """
    manifest = folder / MANIFEST
    if _holds_files(folder):
        for name in json.loads(manifest.read_text("utf-8"))["files"]:
            (folder / name).unlink(missing_ok=True)
    _prune(folder)
    if _entries(folder) == [manifest]:
        manifest.unlink()
        folder.rmdir()
    elif folder.exists():
        log.warning("export.folder_not_empty", folder=str(folder))


def forget(folder: Path) -> None:
    """Remove the manifest where other files keep the folder, once it is noted that it is purged.

    Raises:
        OSError: It cannot be removed.
    """
    (folder / MANIFEST).unlink(missing_ok=True)


def _holds_files(folder: Path) -> bool:
    """Tell whether there is any file below; what cannot be looked into may hold some."""

    def fail(error: OSError) -> NoReturn:
        raise error

    try:
        return any(files for _, _, files in os.walk(folder, onerror=fail))
    except FileNotFoundError:
        return False
    except OSError:
        return True


def _prune(folder: Path) -> None:
    """Remove the empty folders in a folder, and itself if nothing is left in it."""
    for path in _entries(folder):
        if path.is_dir() and not path.is_symlink():
            _prune(path)
    if folder.exists() and not _entries(folder):
        folder.rmdir()


def _entries(folder: Path) -> list[Path]:
    return [*folder.iterdir()] if folder.is_dir() else []
