"""The model that grades: what it says of pictures, each put into one and the same video.

Every picture is asked about as if it were the thumbnail of a video of the same channel and age.
So what differs between two answers is the thumbnail's part of the views and nothing else.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from db.models import Evaluation
from db.models.learning import THUMBNAILS
from ml.arrays import BoolArray, FloatArray, ImageArray
from ml.evaluation.splits import fold_of
from ml.images.decoding import decode_thumbnails
from ml.thumbnails.data.dataset import Dataset
from ml.thumbnails.data.rows import Features
from ml.thumbnails.features.extractor import FeatureExtractor
from ml.thumbnails.models.registry import load_rung, picture_rungs, rung_class
from ml.thumbnails.models.rung import Rung, need_image_features, need_maps, need_measurements
from ml.training.callbacks import Progress
from services.context import Context
from services.errors import PermanentError
from services.learning.artifacts import get_folder
from services.learning.errors import translate_errors
from services.learning.grading.pictures import as_shown
from services.learning.results import evaluation_of, models_in_use
from services.learning.thumbnails import datasets
from services.learning.thumbnails.extraction import open_extractor

AT_ONCE = 128
AGE_DAYS = 30.0
"""How old the video is that every picture is put into; the same for all, so it cancels."""


@dataclass(frozen=True)
class Evidence:
    """Whether the newest comparison shows that thumbnails do anything.

    Attributes:
        state: ``shown``, ``notShown``, or ``notCompared`` where these models were not compared.
        delta_r2: What the thumbnail adds to R², with its interval; None if not compared.
        sentence: The comparison's own.
    """

    state: str
    delta_r2: dict[str, float | None] | None
    sentence: str | None


@dataclass(frozen=True)
class Extractors:
    """Image features by a pretrained network: of collected pictures, which are kept, and others."""

    collected: FeatureExtractor
    passing: FeatureExtractor


class Grader:
    """A trained rung asked about pictures in one video."""

    def __init__(
        self,
        rung: Rung,
        version: int,
        dataset: Dataset,
        evidence: Evidence,
        *,
        size: float,
        extractors: Extractors | None,
    ) -> None:
        self.rung = rung
        self.version = version
        self.dataset = dataset
        self.evidence = evidence
        self.extractors = extractors
        self._size = size
        self._groups = dataset.split_group_by_channel()
        self._stand_ins = [
            _group_in(fold, rung.card.seed, self.folds) for fold in range(self.folds)
        ]

    @property
    def folds(self) -> int:
        """K, the number of models."""
        return self.rung.card.folds

    def never_saw(self, channel_id: str | None) -> BoolArray:
        """Tell which of the models learned without a channel, shape (K,)."""
        group = self._groups.get(channel_id or "")
        if group is None:
            return np.ones(self.folds, dtype=np.bool_)
        fold = fold_of(group, seed=self.rung.card.seed, folds=self.folds)
        held_out: BoolArray = np.arange(self.folds) == fold
        return held_out

    def comparable_channels(self, channel_id: str | None) -> list[str] | None:
        """Return the channels that the same models never saw as this one; None: no limit."""
        group = self._groups.get(channel_id or "")
        if group is None:
            return None
        seed = self.rung.card.seed
        wanted = fold_of(group, seed=seed, folds=self.folds)
        return [
            channel
            for channel, of in self._groups.items()
            if fold_of(of, seed=seed, folds=self.folds) == wanted
        ]

    def mean_answer(self, channel_id: str | None) -> Callable[[ImageArray], FloatArray]:
        """Return what the models that never saw a channel say on average, by frame."""
        held_out = self.never_saw(channel_id)
        return lambda frames: self.answers([as_shown(frame) for frame in frames])[held_out].mean(
            axis=0
        )

    def answers(
        self,
        contents: Sequence[bytes],
        progress: Progress = lambda _done, _total, _what: None,
        *,
        collected: bool = False,
    ) -> FloatArray:
        """Return log10(views per day + 1) that each model expects with each picture, (K, N).

        Args:
            contents: Encoded pictures.
            progress: Told how many are done.
            collected: They are of the object store and will be asked about again.
        """
        parts = []
        for start in range(0, len(contents), AT_ONCE):
            parts.append(self._answers(contents[start : start + AT_ONCE], collected=collected))
            progress(min(start + AT_ONCE, len(contents)), len(contents), "grading thumbnails")
        return np.concatenate(parts, axis=1) if parts else np.empty((self.folds, 0))

    def _answers(self, contents: Sequence[bytes], *, collected: bool) -> FloatArray:
        names = [hashlib.sha256(content).hexdigest() for content in contents]
        read = dict(zip(names, contents, strict=True)).__getitem__
        images = decode_thumbnails(names, read)
        image_features = None
        if self.extractors is not None:
            extractor = self.extractors.collected if collected else self.extractors.passing
            image_features = extractor.extract(names, read).take(
                np.tile(np.arange(len(names)), self.folds)
            )
        rows = len(images) * self.folds
        features = Features(
            [group for group in self._stand_ins for _ in names],
            np.full(rows, self._size),
            np.concatenate([images] * self.folds),
            {"age_days": np.full(rows, AGE_DAYS)},
            image_features,
        )
        predicted = self.rung.predict(features).log10_views_per_day
        return predicted.reshape(self.folds, len(images))


def load_grader(context: Context, folder: Path, *, subscribers: int | None) -> Grader:
    """Load the rung that grades, of the models in use, and the rows it learned from.

    Args:
        context: What to work with.
        folder: An empty folder, kept while the grader is used.
        subscribers: Of the channel; None: not known.

    Raises:
        PermanentError: There is no model that sees thumbnails, or it is damaged.
    """
    models = models_in_use(context, THUMBNAILS)
    by_rung = {m.rung: m for m in models if rung_class(m.rung).spec.sees_thumbnails}
    evidence, named = _evidence(evaluation_of(context, models))
    # Where no comparison says which, the first that was trained of those that see thumbnails.
    order = (named, *picture_rungs())
    chosen = next((by_rung[name] for name in order if name in by_rung), None)
    if chosen is None:
        raise PermanentError(
            "there is no model to grade with yet",
            reason="noModel",
            hint="`tubegrader channels crawl`, `tubegrader models train`, `tubegrader models score`"
            " and `tubegrader models compare`",
        )
    with translate_errors(folder, hint="or `tubegrader models train` here anew"):
        rung = load_rung(get_folder(context.store, chosen.files, folder / "model"))
        extractors = _extractors(context, rung, folder)
    dataset = datasets.fetch_without_pictures(context, chosen.dataset_id, folder / "dataset")
    size = np.nan if subscribers is None else float(subscribers)
    return Grader(rung, chosen.version, dataset, evidence, size=size, extractors=extractors)


def _extractors(context: Context, rung: Rung, folder: Path) -> Extractors | None:
    if not need_image_features([rung]):
        return None
    maps, measures = need_maps([rung]), need_measurements([rung])
    return Extractors(
        open_extractor(context, maps=maps, measures=measures),
        open_extractor(context, folder / "image features", maps=maps, measures=measures),
    )


def _evidence(evaluation: Evaluation | None) -> tuple[Evidence, str]:
    """Return what the comparison of the models says, and the rung that it is about."""
    if evaluation is None:
        return Evidence("notCompared", None, None), ""
    detail: Mapping[str, Any] = evaluation.detail
    headline = detail["headline"]
    gain = headline["delta_r2"]
    shown = gain["low"] is not None and gain["low"] > 0
    state = "shown" if shown else "notShown"
    return Evidence(state, dict(gain), str(detail["sentence"])), str(headline["rung"])


def _group_in(fold: int, seed: int, folds: int) -> str:
    """Return a name that falls into a fold, so that this fold's model answers."""
    names = (f"graded {number}" for number in count())
    return next(name for name in names if fold_of(name, seed=seed, folds=folds) == fold)
