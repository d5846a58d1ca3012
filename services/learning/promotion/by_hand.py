"""Champions set by hand: any version, or the one before."""

from db.models import ModelVersion
from db.queries.learning import model_versions, promotions
from services.context import Context
from services.errors import PermanentError, UsageError
from services.learning.artifacts import workspace
from services.learning.promotion import decisions
from services.learning.promotion.decisions import Decision, name_of
from services.learning.tasks import TASKS


def promote(
    context: Context, version: ModelVersion, *, why: str, dry_run: bool = False
) -> Decision:
    """Make a version the champion of its task, with all that was trained together with it.

    Args:
        context: Where.
        version: Which.
        why: Kept with the decision.
        dry_run: Only say what would be decided.

    Raises:
        UsageError: It is the champion already, or no reason is given.
        PermanentError: Its files are missing or damaged, or it has scored nothing yet.
    """
    if not why.strip():
        raise UsageError("say why", hint="--why “…”: it is kept with the decision")
    with context.transaction() as session:
        champion = promotions.model_of(session, task=version.task)
    if champion is not None and champion.model_version_id == version.model_version_id:
        raise UsageError(f"{name_of(version)} is the champion already")
    _check(context, version)
    decision = Decision("byHand", "byHand", why.strip(), champion, version)
    return decision if dry_run else decisions.carry_out(context, version.task, decision)


def rollback(context: Context, task: str, *, why: str = "", dry_run: bool = False) -> Decision:
    """Make the champion before the champion again.

    Args:
        context: Where.
        task: ``thumbnails`` or ``speech``.
        why: Kept with the decision.
        dry_run: Only say what would be decided.

    Raises:
        UsageError: There was none before.
        PermanentError: Its files are missing or damaged.
    """
    line = succession(context, task)
    if len(line) < 2:  # noqa: PLR2004 - the champion and one before
        raise UsageError(
            f"there was no champion of {task} before {name_of(line[0])}"
            if line
            else f"there is no champion of {task} yet",
            reason="noEarlierChampion",
            hint="`tubegrader models list --all` shows what could be promoted",
        )
    before, champion = line[-2:]
    _check(context, before)
    reason = why.strip() or f"Back from {name_of(champion)}."
    decision = Decision(decisions.ROLLED_BACK, decisions.ROLLED_BACK, reason, champion, before)
    return decision if dry_run else decisions.carry_out(context, task, decision)


def succession(context: Context, task: str) -> list[ModelVersion]:
    """Return the champions of a task in their order, without those that were rolled back."""
    line: list[ModelVersion] = []
    for _, decision in decisions.history(context, task):
        if decision.decision == decisions.ROLLED_BACK:
            line.pop()
        elif decision.decision != "kept" and decision.challenger is not None:
            line.append(decision.challenger)
    return line


def _check(context: Context, version: ModelVersion) -> None:
    """See that a version can be used: its ladder can be loaded, it scored or was champion once."""
    with context.transaction() as session:
        ladder = promotions.ladder_of(session, version)
        has_scores = model_versions.has_scores(session, version.model_version_id)
        # Scores of champions of long ago are removed; what is in use is scored anew.
        was_champion = promotions.was_champion(session, version.model_version_id)
    if not has_scores and not was_champion:
        raise PermanentError(
            f"{name_of(version)} has scored nothing yet, so there would be nothing to read",
            reason="notScored",
            hint=f"`tubegrader models score {version.task}` asks the newest models",
        )
    with workspace(context, "promotion") as folder:
        TASKS[version.task].check_files(context, ladder, folder)
