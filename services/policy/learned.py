"""Letting go of what was learned: all but the newest nights, and what is or was champion.

A night is a dataset with the models trained on it. The newest ``retention_nights`` of each task
stay whole, and so does what is in use. Of a night that a champion came of, and that is none of
these any more, the models stay, without scores and without their dataset's copies of pictures. Of
other nights nothing stays. Objects go into quarantine, from which reading brings them back; they
are deleted a week later by the purge of orphans.
"""

from typing import Any

import structlog
from sqlalchemy.exc import IntegrityError

from db.models.learning import THUMBNAILS
from db.queries.learning import current_scores, promotions
from db.queries.policy import learned as rows
from services.policy.purged import KindReport, Run

log = structlog.get_logger()

KINDS = ("scores", "models", "datasets")
BATCH = 10_000
MOST_ENTITIES = 20_000
NAMED = "named by something else"


def purge(run: Run, found: KindReport) -> None:
    """Remove what goes of one of ``KINDS``, or only count it."""
    {"scores": _scores, "models": _models, "datasets": _datasets}[found.kind](run, found)


def _scores(run: Run, found: KindReport) -> None:
    if not run.dry_run:
        _all_scores(run, found, gone_only=False)
        return
    nights = run.context.settings.retention_nights
    with run.context.transaction() as session:
        models = rows.models_to_silence(session, nights=nights)
        found.rows = sum(rows.count_scores(session, of, models) for of in rows.SCORES)


def _all_scores(run: Run, found: KindReport, *, gone_only: bool) -> None:
    nights = run.context.settings.retention_nights
    with run.context.transaction() as session:
        # What stands beside the videos of models out of use would outlive the scores themselves.
        promotions.lock_task(session, THUMBNAILS)
        current_scores.forget(session)
    for of in rows.SCORES:
        with run.context.transaction() as session:
            models = rows.models_to_silence(session, nights=nights, gone_only=gone_only)
            needed = rows.has_scores(session, of, models)
        if needed:
            _in_turn(run, found, of, gone_only=gone_only)


def _in_turn(run: Run, found: KindReport, of: rows.Scores, *, gone_only: bool) -> None:
    """Delete in the order of videos or clips, some ``BATCH`` rows at once."""
    nights = run.context.settings.retention_nights
    after: Any = None
    entities = 1
    while True:
        with run.context.transaction() as session:
            last, gone = rows.delete_scores(
                session, of, nights=nights, gone_only=gone_only, after=after, entities=entities
            )
        run.count(found, gone)
        if last is None:
            return
        after = last
        if gone < BATCH // 2:
            entities = min(2 * entities, MOST_ENTITIES)
        elif gone > 2 * BATCH:
            entities = max(entities // 2, 1)


def _models(run: Run, found: KindReport) -> None:
    """Remove nights: datasets with the models trained on them, and what hangs on both."""
    if not run.dry_run:
        # First, and in batches: a version would take its scores along in one transaction.
        _all_scores(run, KindReport("scores"), gone_only=True)
    _remove(run, found, with_models=True)


def _datasets(run: Run, found: KindReport) -> None:
    """Remove datasets nothing was learned from, and pictures of those that only models need."""
    _remove(run, found, with_models=False)
    with run.context.transaction() as session:
        thin = rows.datasets_to_thin(session, nights=run.context.settings.retention_nights)
    thinned = len(thin) if run.dry_run else 0
    if run.dry_run:
        found.rows += thinned
    else:
        for dataset_id in thin:
            thinned += _thin(run, found, dataset_id)
    if thinned:
        found.note = f"of {thinned:,} the pictures only"


def _thin(run: Run, found: KindReport, dataset_id: str) -> int:
    context = run.context
    with context.transaction() as session:
        objects = rows.thin_dataset(
            session,
            dataset_id,
            nights=context.settings.retention_nights,
            now=context.clock(),
        )
    if objects is None:
        return 0
    _put_away(run, objects)
    run.count(found, 1)
    return 1


def _remove(run: Run, found: KindReport, *, with_models: bool) -> None:
    nights = run.context.settings.retention_nights
    with run.context.transaction() as session:
        due = rows.datasets_to_remove(session, nights=nights, with_models=with_models)
        total = rows.size_of(session, due) if run.dry_run else rows.Removed()
    removed = len(due) if run.dry_run else 0
    if run.dry_run:
        found.rows += total.models if with_models else removed
    for dataset_id in () if run.dry_run else due:
        try:
            with run.context.transaction() as session:
                gone = rows.remove_dataset(session, dataset_id, nights=nights)
        except IntegrityError:
            # A table of a later release, or of the operator's own; it says no, and that is that.
            log.warning("purge.still_named", dataset=dataset_id, exc_info=True)
            found.hold(NAMED, 1)
            continue
        if gone is None:
            continue
        log.info("purge.night_removed", dataset=dataset_id, models=gone.models)
        _put_away(run, gone.objects)
        removed += 1
        total.evaluations += gone.evaluations
        total.decisions += gone.decisions
        run.count(found, gone.models if with_models else 1)
    if with_models and removed:
        found.note = (
            f"of {removed:,} nights, with {total.evaluations:,} evaluations and "
            f"{total.decisions:,} decisions"
        )


def _put_away(run: Run, objects: tuple[str, ...]) -> None:
    """Put objects into quarantine; who dies before leaves them to the purge of orphans."""
    for name in objects:
        run.context.store.quarantine([name])
