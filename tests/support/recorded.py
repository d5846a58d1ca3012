"""What is made of the recorded real thumbnails, once for all tests of a run that want it."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def kept_features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where their image features are kept: minutes of work for whoever comes first."""
    # Each module that imports a fixture has one of its own: both find the same folder.
    path = tmp_path_factory.getbasetemp() / "image-features"
    path.mkdir(exist_ok=True)
    return path
