"""Programs that came in wheels."""

import importlib.util
from pathlib import Path


def in_wheel(package: str, path: str) -> Path | None:
    """Return where a file of an installed package lies; None if there is no such file.

    Found without importing the package: one of them sets up a server management of its own then.
    """
    spec = importlib.util.find_spec(package)
    folders = (spec.submodule_search_locations or ()) if spec else ()
    return next((found for folder in folders if (found := Path(folder) / path).exists()), None)
