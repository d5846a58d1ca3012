"""Where trainings keep what they have done, so that whoever takes a job over goes on from there.

A folder of the home rather than objects of the store: a training repeats bit for bit on the same
machine only, so a state is of no use to another one, which trains anew (docs/decisions/0017).
"""

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.context import Context
from services.learning import artifacts

EVERY_S = 10.0
"""A killed training loses so much of its work at most; writing takes no time to speak of."""
KEPT_S = 2 * 86_400
"""What a training left that died and was never taken over is removed after two days."""


def folder_for(context: Context, *, dataset_id: str, config: Mapping[str, Any], seed: int) -> Path:
    """Return the folder of the trainings of a dataset in one way, by this version of the code."""
    of = {
        "dataset": dataset_id,
        "config": config,
        "seed": seed,
        "code": importlib.metadata.version("tubegrader"),
    }
    name = hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:16]
    return _all(context) / name


def sweep(context: Context) -> None:
    """Remove what nobody took over for days."""
    artifacts.sweep(_all(context), KEPT_S)


def _all(context: Context) -> Path:
    return context.settings.home / "cache" / "training"
