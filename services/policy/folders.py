"""Folders that exports wrote: removed with what they hold, where they are still those exports."""

import json
import socket
from pathlib import Path

import structlog

from db.models import Export
from ml.runtime.files import file_sha256
from services.transfer.tables import MANIFEST

log = structlog.get_logger()


def why_kept(export: Export) -> str | None:
    """Return why a folder cannot be removed here; None if it can, or is gone already."""
    if export.host != socket.gethostname():
        return "on another machine"
    manifest = Path(export.directory) / MANIFEST
    if not manifest.parent.exists():
        return None
    try:
        found = file_sha256(manifest)
    except OSError:
        found = ""
    return None if found == export.manifest_sha256 else "no longer that export"


def remove(folder: Path) -> None:
    """Remove the files that the manifest names, and the folders where nothing else is left.

    The manifest goes last, so that a removal that is broken off can be taken up.
    """
    manifest = folder / MANIFEST
    names = json.loads(manifest.read_text("utf-8"))["files"]
    parents: set[Path] = set()
    for name in names:
        file = folder / name
        file.unlink(missing_ok=True)
        parents.update(p for p in file.parents if p.is_relative_to(folder))
    manifest.unlink()
    for parent in sorted(parents | {folder}, key=lambda p: len(p.parts), reverse=True):
        if not any(parent.iterdir()):
            parent.rmdir()
        else:
            log.warning("export.folder_not_empty", folder=str(parent))
