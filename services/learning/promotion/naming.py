"""Model versions as people name them: ``RUNG``, ``RUNG@3``, ``RUNG@champion``, ``champion``."""

from collections.abc import Sequence

from db.models import ModelVersion
from db.models.learning import TASKS, THUMBNAILS
from db.queries.learning import model_versions, promotions
from db.queries.learning.promotions import CHALLENGER, CHAMPION
from services.context import Context
from services.errors import NotFoundError

ALIASES = (CHAMPION, CHALLENGER)


def find(context: Context, name: str, *, task: str = THUMBNAILS) -> ModelVersion:
    """Return the model version that a name stands for.

    Args:
        context: Where.
        name: A rung (its newest version), ``RUNG@VERSION``, ``RUNG@champion`` (what the champion's
            ladder has of that rung), or ``champion`` or ``challenger`` of a task.
        task: ``thumbnails`` or ``speech``; only an alias alone needs it.

    Raises:
        UsageError: There is none; the hint names what there is.
    """
    with context.transaction() as session:
        if name in ALIASES:
            found = promotions.model_of(session, task=task, alias=name)
            if found is None:
                raise NotFoundError(
                    f"there is no {name} of {task} yet",
                    reason=f"no{name.capitalize()}",
                    hint=f"`tubegrader models retrain {task}` makes one, or `tubegrader models"
                    " promote`",
                )
            return found
        rung, at, which = name.rpartition("@") if "@" in name else (name, "", "")
        versions = model_versions.versions_of(session, rung)
        if not versions:
            raise _unknown(
                rung,
                [
                    model.rung
                    for each in TASKS
                    for model in model_versions.all_versions(session, task=each)
                ],
            )
        if not at:
            return versions[0]
        if which == CHAMPION:
            ladder = promotions.champion_ladder(session, task=versions[0].task)
            wanted = {model.model_version_id for model in ladder}
            chosen = [model for model in versions if model.model_version_id in wanted]
        else:
            chosen = [model for model in versions if str(model.version) == which.removeprefix("v")]
    if not chosen:
        there = ", ".join(str(model.version) for model in versions[:10])
        raise NotFoundError(
            f"there is no {name}",
            reason="noModel",
            hint=f"{rung} has the versions {there}; `tubegrader models list --all` shows all",
        )
    return chosen[0]


def _unknown(rung: str, known: Sequence[str]) -> NotFoundError:
    names = ", ".join(sorted(set(known)))
    return NotFoundError(
        f"there is no model of {rung}",
        reason="noModel",
        hint=f"there are {names}" if names else "`tubegrader models train` makes some",
    )
