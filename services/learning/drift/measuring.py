"""Detecting drift: after each night as a step of the retraining, or when somebody asks.

An alarm is a row and a notification, never a failure: what to make of it is for people to say.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from db.models import ModelVersion
from db.models.learning import THUMBNAILS
from db.queries.learning import datasets as dataset_rows
from db.queries.learning import drift as reports
from db.queries.learning import promotions
from ml.arrays import IntArray
from ml.errors import LearningError
from ml.evaluation.drift import RESAMPLES, detect
from ml.thumbnails.data.dataset import Dataset
from ml.thumbnails.data.rows import Predictions
from ml.thumbnails.evaluation.champion_challenger import fair_groups
from ml.thumbnails.models.thumbnail import ThumbnailRung, predict_all
from services.context import Context
from services.errors import PermanentError
from services.learning.artifacts import workspace
from services.learning.drift.columns import Sample, columns_of, describe
from services.learning.drift.reading import newest
from services.learning.drift.windows import Windows, choose
from services.learning.thumbnails import datasets, predicting, scored
from services.work.jobs import JobHandle

log = structlog.get_logger()

THUMBNAIL_ALONE = ThumbnailRung.spec.name
"""The rung that knows nothing but the picture: what it says is how the pictures look to it."""


@dataclass(frozen=True)
class _Learned:
    """The champion, what goes with it, and the two datasets."""

    champion: ModelVersion
    ladder: Sequence[ModelVersion]
    rows: Dataset
    newest: Dataset

    @property
    def models(self) -> list[ModelVersion]:
        """The champion and, where there is one, the rung that sees only."""
        if self.champion.rung == THUMBNAIL_ALONE:
            return [self.champion]
        return [self.champion, *(m for m in self.ladder if m.rung == THUMBNAIL_ALONE)]


def detect_drift(context: Context, job: JobHandle) -> dict[str, Any]:
    """Do the step of a retraining that detects drift.

    Returns:
        The report's status and its sentence. What cannot be compared is said there too
        (``notDone``): it must not undo a night.
    """
    with context.transaction() as session:
        made = reports.of_job(session, job.job_id)
        if made is not None:
            return {"status": made.status, "sentence": made.sentence}
    job.progress(0, 0, "detecting drift")
    try:
        found = measure(context, job_id=job.job_id)
    except PermanentError as error:
        log.warning("drift.not_done", reason=error.reason, problem=str(error))
        return {"status": "notDone", "reason": error.reason, "sentence": str(error)}
    return {name: found[name] for name in ("status", "sentence")}


def measure(context: Context, *, job_id: uuid.UUID | None = None) -> dict[str, Any]:
    """Compare the newest videos with what the champion learned on, and record what is found.

    Returns:
        The report as :func:`services.learning.drift.reading.newest` does.

    Raises:
        PermanentError: There is no champion (``noChampion``), or it or a dataset cannot be read.
    """
    with workspace(context, "drift") as folder:
        learned = _learned(context, folder)
        windows = choose(learned.rows, learned.newest)
        values, columns = _compared(context, learned, windows, folder)
    values |= {
        "created_at": context.clock(),
        "job_id": job_id,
        "model_version_id": learned.champion.model_version_id,
        "dataset_id": learned.newest.description.id,
    }
    with context.transaction() as session:
        reports.add(session, values, columns)
    found = newest(context)
    assert found is not None
    return found


def _learned(context: Context, folder: Path) -> _Learned:
    with context.transaction() as session:
        champion = promotions.model_of(session, task=THUMBNAILS)
        ladder = promotions.champion_ladder(session, task=THUMBNAILS)
        newest_dataset = dataset_rows.newest(session)
    if champion is None or newest_dataset is None:
        raise PermanentError(
            "there is no champion whose videos new ones could differ from",
            reason="noChampion",
            hint="`tubegrader models retrain`, or `tubegrader models promote`",
        )
    rows = datasets.fetch_without_pictures(context, champion.dataset_id, folder / "learned")
    later = rows
    if newest_dataset.dataset_id != champion.dataset_id:
        later = datasets.fetch_without_pictures(
            context, newest_dataset.dataset_id, folder / "newest"
        )
    return _Learned(champion, ladder, rows, later)


def _compared(
    context: Context, learned: _Learned, windows: Windows | str, folder: Path
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the report's values and those of its columns."""
    if isinstance(windows, str):
        return _too_little(windows), []
    reference = _scored_sample(context, learned, windows.reference)
    if windows.is_since:
        window = _predicted_sample(context, learned, windows.window, folder / "models")
    else:
        window = _scored_sample(context, learned, windows.window)
    columns = columns_of(reference, window)
    try:
        found = detect(
            [each.column for each in columns],
            reference.rows.strings("channel_id"),
            window.rows.strings("channel_id"),
            resamples=RESAMPLES,
            seed=learned.champion.seed,
        )
    except LearningError as error:
        if error.reason not in ("tooFewVideos", "tooFewChannels"):
            raise
        return _too_little(f"Of what could be compared {error}."), []
    rows = [
        {
            **asdict(each),
            **vars(describe(one, each)),
            "kind": one.kind,
            "is_drifted": each.is_drifted,
        }
        for one, each in zip(columns, found, strict=True)
    ]
    drifted = [one.label for one, each in zip(columns, found, strict=True) if each.is_drifted]
    published = window.rows.table["published_at"].to_pylist()
    facts = {
        "status": "drift" if drifted else "noDrift",
        "window_from": min(published),
        "window_to": max(published),
        **_sizes(window.rows, reference.rows),
    }
    return facts | {"sentence": _sentence(facts, drifted, len(rows), learned.champion)}, rows


def _scored_sample(context: Context, learned: _Learned, rows: IntArray) -> Sample:
    """Return rows of the champion's own dataset, with its out-of-fold predictions of them.

    Videos that were deleted since have no score any more and are left out.
    """
    dataset, ids = learned.rows, [model.model_version_id for model in learned.models]
    found = scored.read(context, dataset.table.take(rows), ids)
    whole = np.flatnonzero(found.whole)
    by_model = [
        Predictions(said.probability_over[whole], said.log10_views_per_day[whole])
        for said in map(found.of, range(len(ids)))
    ]
    return _sample(learned, dataset, rows[whole], by_model)


def _predicted_sample(context: Context, learned: _Learned, rows: IntArray, folder: Path) -> Sample:
    """Predict rows of the newest dataset, with what was known when it was frozen.

    Each is predicted by models that saw neither its channel nor its picture, or left out.
    """
    dataset, models = learned.newest, learned.models
    rungs = predicting.load_rungs(context, models, folder)
    card = rungs[0].card
    groups, is_fair = fair_groups(
        dataset.strings("channel_id"),
        dataset.strings("split_group"),
        learned.rows.split_group_by_channel(),
        seed=card.seed,
        folds=card.folds,
    )
    fair = rows[is_fair[rows]]
    found = [Predictions.empty(len(fair)) for _ in rungs]
    for page, features in predicting.pages(context, rungs, dataset.table.take(fair)):
        own = replace(features, split_groups=[groups[row] for row in fair[page]])
        for whole, predicted in zip(found, predict_all(rungs, own), strict=True):
            whole.put(page, predicted)
    return _sample(learned, dataset, fair, found)


def _sample(
    learned: _Learned, dataset: Dataset, rows: IntArray, predictions: Sequence[Predictions]
) -> Sample:
    taken = Dataset(dataset.description, dataset.table.take(rows), dataset.directory)
    if learned.champion.rung == THUMBNAIL_ALONE:
        return Sample(taken, predictions[0], predictions[0])
    return Sample(taken, predictions[0], predictions[1] if len(predictions) > 1 else None)


def _too_little(why: str) -> dict[str, Any]:
    return {
        "status": "notEnough",
        "sentence": f"There is not enough to tell drift by. {why}",
        **dict.fromkeys(_SIZES, 0),
    }


_SIZES = ("n_videos", "n_channels", "n_reference_videos", "n_reference_channels")


def _sizes(window: Dataset, reference: Dataset) -> dict[str, int]:
    counts = [
        count
        for rows in (window, reference)
        for count in (len(rows), len(set(rows.strings("channel_id"))))
    ]
    return dict(zip(_SIZES, counts, strict=True))


def _sentence(
    facts: Mapping[str, Any], drifted: Sequence[str], total: int, champion: ModelVersion
) -> str:
    window = (
        f"The {facts['n_videos']} videos of {facts['n_channels']} channels published from "
        f"{facts['window_from']:%Y-%m-%d} to {facts['window_to']:%Y-%m-%d}"
    )
    model = f"{champion.rung} version {champion.version}"
    if not drifted:
        return (
            f"{window} look like what the champion, {model}, learned on: none of {total} things "
            "compared differs by more than chance."
        )
    return (
        f"{window} differ from what the champion, {model}, learned on in {len(drifted)} of {total} "
        f"things compared: {'; '.join(drifted)}."
    )
