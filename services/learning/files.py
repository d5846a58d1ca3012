"""Folders of files (datasets, model artefacts) in and out of the object store."""

from collections.abc import Mapping
from pathlib import Path

from services.context import Context
from services.storage import ObjectStore


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


def looks_folder(context: Context) -> Path:
    """Return where looks at thumbnails are kept; they can be deleted and are made anew."""
    return context.settings.home / "looks"
