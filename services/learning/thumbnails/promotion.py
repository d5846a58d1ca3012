"""Which rung challenges the champion of thumbnails, and how both predict the newest videos.

Both are asked with what was known when tonight's dataset was frozen, each by models that never saw
the video's channel.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from db.models import Evaluation, ModelVersion
from db.models.learning import THUMBNAILS
from ml.arrays import IntArray
from ml.evaluation.champion_challenger import newest_window
from ml.thumbnails.data.dataset import Dataset
from ml.thumbnails.data.rows import Predictions
from ml.thumbnails.evaluation.champion_challenger import (
    choose_rung,
    evaluate_challenger,
    fair_groups,
)
from ml.thumbnails.models.rung import Rung
from ml.thumbnails.models.thumbnail import predict_all
from services.context import Context
from services.learning.promotion import challenge
from services.learning.promotion.challenge import Challenge, Chosen, Outcome
from services.learning.results import in_order
from services.learning.thumbnails import comparison, datasets, predicting
from services.work.jobs import JobHandle

FALLBACK_LABELS = {"lifetime"}
"""Labels that are only taken while there are no measured ones."""


@dataclass(frozen=True)
class _Side:
    """Champion or challenger, with the rows that it was trained on."""

    rung: Rung
    ladder: Sequence[Rung]
    rows: Dataset
    seed: int


def promote(context: Context, job: JobHandle) -> dict[str, Any]:
    """Do the step of a retraining that decides which models are in use.

    Returns, raises:
        As :func:`services.learning.promotion.challenge.promote`.
    """
    return challenge.promote(context, job, ThumbnailsChallenge)


class ThumbnailsChallenge(Challenge[_Side]):
    """A rung that predicts the newest videos like the champion."""

    task = THUMBNAILS

    def __init__(self, context: Context, job: JobHandle, folder: Path) -> None:
        super().__init__(context, job, folder)
        self._datasets: dict[str, Dataset] = {}

    def choose(self, ladder: Sequence[ModelVersion], _evaluation: Evaluation) -> Chosen:
        """Choose the rung that is better than those below it, by their scores."""
        dataset = self._dataset(ladder[0])
        scores = comparison.out_of_fold(self.context, dataset, ladder)
        by_rung = {}
        for rung in in_order(model.rung for model in ladder):
            own = scores.filter(pc.equal(scores["rung"], rung))
            by_rung[rung] = Predictions(
                own["probability_over"].to_numpy(), own["log10_views_per_day"].to_numpy()
            )
        choice = choose_rung(dataset, by_rung, seed=ladder[0].seed)
        candidates = [candidate.as_json() for candidate in choice.candidates]
        return Chosen(choice.rung, choice.sentence(), candidates)

    def load(self, version: ModelVersion, ladder: Sequence[ModelVersion]) -> _Side:
        """Load a rung, all of its ladder and its rows."""
        rows = self._dataset(version)
        folder = self.folder / f"ladder {version.model_version_id}"
        rungs = predicting.load_rungs(self.context, ladder, folder)
        by_name = dict(zip((model.rung for model in ladder), rungs, strict=True))
        return _Side(by_name[version.rung], rungs, rows, version.seed)

    def load_champion(self, version: ModelVersion, ladder: Sequence[ModelVersion]) -> _Side:
        """Load the champion; its rows and image features must be there too."""
        side = self.load(version, ladder)
        predicting.check_image_features(self.context, side.ladder)
        return side

    def evaluate(self, champion: _Side, challenger: _Side, chosen: Chosen) -> Outcome:
        """Let both predict the newest videos that neither saw the channels of."""
        if (problem := _other_question(champion.rows, challenger.rows)) is not None:
            return problem
        return _evaluated(self.context, champion, challenger, chosen)

    def _dataset(self, version: ModelVersion) -> Dataset:
        dataset_id = version.dataset_id
        if dataset_id not in self._datasets:
            folder = self.folder / f"dataset {dataset_id}"
            self._datasets[dataset_id] = datasets.fetch_without_pictures(
                self.context, dataset_id, folder
            )
        return self._datasets[dataset_id]


def _other_question(old: Dataset, new: Dataset) -> Outcome | None:
    """Return why the champion's answers cannot be compared with the new ones, if they cannot."""
    before, now = old.description.threshold, new.description.threshold
    if before != now:
        reason = (
            f"The champion tells whether {before:g} views a day are reached, the challenger "
            f"{now:g}: neither can be evaluated by the other's question. `tubegrader models "
            "promote` decides by hand."
        )
        return Outcome(passes=False, ground="otherThreshold", reason=reason)
    measured, fallback = (set(rows.strings("label_kind")) for rows in (old, new))
    if fallback <= FALLBACK_LABELS and not measured <= FALLBACK_LABELS:
        reason = (
            "The challenger learned only from averages over a video's life, the champion from "
            f"views of a fixed time ({', '.join(sorted(measured))})."
        )
        return Outcome(passes=False, ground="fallbackLabel", reason=reason)
    return None


def _evaluated(context: Context, champion: _Side, challenger: _Side, chosen: Chosen) -> Outcome:
    dataset = challenger.rows
    card = champion.rung.card
    groups, is_fair = fair_groups(
        dataset.strings("channel_id"),
        dataset.strings("split_group"),
        champion.rows.split_group_by_channel(),
        seed=card.seed,
        folds=card.folds,
    )
    fair = np.flatnonzero(is_fair)
    published = dataset.table["published_at"].cast("int64").to_numpy().astype(np.float64)
    channels = dataset.strings("channel_id")
    newest = newest_window(published[fair], [channels[row] for row in fair])
    if newest is None:
        reason = (
            f"Of {len(dataset)} videos {len(fair)} can be asked of both fairly: too few to tell "
            "whether the challenger is worse."
        )
        return Outcome(passes=False, ground="tooFew", reason=reason)
    rows = fair[newest]
    window = Dataset(dataset.description, dataset.table.take(rows), dataset.directory)
    sides = (
        (champion.rung, [groups[row] for row in rows]),
        (challenger.rung, window.strings("split_group")),
    )
    result = evaluate_challenger(window, *_predicted(context, window, sides), seed=challenger.seed)
    sentences = [result.sentence(rows="videos", clusters="channels"), chosen.sentence]
    learned, measured = (set(side.rows.strings("label_kind")) for side in (champion, challenger))
    if learned != measured:
        sentences.append(
            f"The champion learned views a day by {', '.join(sorted(learned))}; both were "
            f"evaluated by {', '.join(sorted(measured))}."
        )
    described = _described(dataset, rows, left_out=len(dataset) - len(fair))
    return Outcome(result.passes, result.ground, " ".join(sentences), result.as_json() | described)


def _predicted(
    context: Context, window: Dataset, sides: Sequence[tuple[Rung, Sequence[str]]]
) -> list[Predictions]:
    """Let each rung predict the rows, of the groups that are given with it."""
    found = [Predictions.empty(len(window)) for _ in sides]
    for rows, features in predicting.pages(context, [rung for rung, _ in sides], window.table):
        for (rung, groups), whole in zip(sides, found, strict=True):
            own = replace(features, split_groups=[groups[row] for row in rows])
            [predicted] = predict_all([rung], own)
            whole.put(rows, predicted)
    return found


def _described(dataset: Dataset, rows: IntArray, *, left_out: int) -> dict[str, Any]:
    published = dataset.table["published_at"].take(rows).to_pylist()
    return {
        "dataset_id": dataset.description.id,
        "threshold": dataset.description.threshold,
        "published_from": min(published).isoformat(),
        "published_to": max(published).isoformat(),
        "left_out_as_seen": left_out,
    }
