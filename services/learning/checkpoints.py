"""Where trainings keep what they have done, so that whoever takes a job over goes on from there.

A folder of the home rather than objects of the store: a training repeats bit for bit on the same
machine only, so a state is of no use to another one, which trains anew (docs/decisions/0017).
"""

import hashlib
import json
from pathlib import Path

from services.context import Context
from services.learning import artifacts
from services.learning.training import CODE_VERSION, Recipe

EVERY_S = 10.0
"""A killed training loses so much of its work at most; writing takes no time to speak of."""
KEPT_S = 2 * 86_400
"""What a training left that died and was never taken over is removed after two days."""


def folder_for(context: Context, recipe: Recipe) -> Path:
    """Return the folder of the trainings by one recipe, by this version of the code."""
    of = {
        "dataset": recipe.dataset_id,
        "config": recipe.config,
        "seed": recipe.seed,
        "code": CODE_VERSION,
    }
    name = hashlib.sha256(json.dumps(of, sort_keys=True).encode()).hexdigest()[:16]
    return _all(context) / name


def sweep(context: Context) -> None:
    """Remove what nobody took over for days."""
    artifacts.sweep(_all(context), KEPT_S)


def _all(context: Context) -> Path:
    return context.settings.home / "cache" / "training"
