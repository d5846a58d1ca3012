"""Which model challenges the champion of speech, and how both predict the same segments.

Each segment is asked of a training of theirs that saw neither speaker nor source nor recording; so
the champion needs no new speakers to be evaluated. About voices that are new to the champion its
training on everything is asked, and the challenger's training without their fold: there the
champion has the larger part of its data, so who is new counts a little against a change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from db.models import Evaluation, ModelVersion
from db.models.learning import SPEECH
from ml.arrays import FloatArray
from ml.audio import floats, read_flac
from ml.speech.data.manifest import LANGUAGES
from ml.speech.evaluation.champion_challenger import (
    HeldOut,
    evaluate_challenger,
    fair_rows,
    is_enough,
)
from ml.speech.frontend.features import features
from services.context import Context
from services.learning.promotion import challenge
from services.learning.promotion.challenge import Challenge, Chosen, Outcome
from services.learning.speech import datasets
from services.learning.speech.models import CrossFittedModel, Origin, get_model
from services.work.jobs import JobHandle

AT_ONCE = 64
CHANCE = 0.5
"""The balanced accuracy of who guesses."""
KEYS = ("recording", "speaker", "source")


def promote(context: Context, job: JobHandle) -> dict[str, Any]:
    """Do the step of a retraining that decides which models are in use.

    Returns, raises:
        As :func:`services.learning.promotion.challenge.promote`.
    """
    return challenge.promote(context, job, SpeechChallenge)


@dataclass(frozen=True)
class _Side:
    """Champion or challenger, and the dataset it was trained on."""

    model: CrossFittedModel
    version: ModelVersion


class SpeechChallenge(Challenge[_Side]):
    """A model that predicts segments like the champion."""

    task = SPEECH

    def choose(self, _ladder: Sequence[ModelVersion], evaluation: Evaluation) -> Chosen:
        """Choose the model that tells the languages best on sources that it never saw."""
        rung, sentence = _choose(evaluation)
        return Chosen(rung, sentence, _candidates(evaluation))

    def load(self, version: ModelVersion, ladder: Sequence[ModelVersion]) -> _Side:
        """Load a model alone; nothing of its ladder is asked."""
        del ladder
        folder = self.folder / f"model {version.model_version_id}"
        return _Side(get_model(self.context.store, version.files, folder), version)

    def load_champion(self, version: ModelVersion, ladder: Sequence[ModelVersion]) -> _Side:
        """Load the champion and all of its ladder."""
        sides = [self.load(model, ladder) for model in ladder]
        ids = [model.model_version_id for model in ladder]
        return sides[ids.index(version.model_version_id)]

    def evaluate(self, champion: _Side, challenger: _Side, chosen: Chosen) -> Outcome:
        """Let both predict the segments that neither saw speaker, source or recording of."""
        version = challenger.version
        rows = datasets.fetch(self.context, version.dataset_id).rows
        origins = rows.select(KEYS).to_pylist()
        fair = rows.filter(pa.array(fair_rows(origins, champion.model.fold_of, KEYS)))
        held_out = _held_out(fair)
        if not is_enough(held_out):
            reason = (
                f"{fair.num_rows} segments of {len(set(held_out.speakers))} speakers can be asked "
                "of both fairly: too few to tell whether the challenger is worse."
            )
            return Outcome(passes=False, ground="tooFew", reason=reason)
        predicted = _predicted(self.context, self.job, fair, [champion.model, challenger.model])
        result = evaluate_challenger(held_out, *predicted, seed=version.seed)
        sentence = result.sentence(rows="segments", clusters="speakers")
        return Outcome(
            result.passes,
            result.ground,
            f"{sentence} {chosen.sentence}",
            result.as_json() | {"dataset_id": version.dataset_id},
        )


def _choose(evaluation: Evaluation) -> tuple[str | None, str]:
    """Return the challenger's rung, and by what it was chosen.

    As where a model is chosen for a file: the highest balanced accuracy on sources that it never
    saw, if that is shown to be more than a guess.
    """
    found = _candidates(evaluation)
    sound = {
        name: figures["value"] or 0.0
        for name, figures in found.items()
        if (figures["low"] or 0.0) > CHANCE
    }
    if not sound:
        return None, "No model can be shown to tell the languages better than by guessing."
    best = max(sorted(sound), key=lambda name: sound[name])
    return best, f"{best} has the highest balanced accuracy, {sound[best]:.3f}."


def _candidates(evaluation: Evaluation) -> dict[str, dict[str, float | None]]:
    rungs = evaluation.detail["rungs"]
    return {name: dict(rungs[name]["balanced_accuracy"]) for name in sorted(rungs)}


def _held_out(rows: pa.Table) -> HeldOut:
    return HeldOut(
        labels=np.array([LANGUAGES.index(name) for name in rows["language"].to_pylist()], np.int64),
        speakers=rows["speaker"].to_pylist(),
        sources=rows["source"].to_pylist(),
        codecs=rows["codec"].to_pylist(),
    )


def _predicted(
    context: Context, job: JobHandle, rows: pa.Table, models: Sequence[CrossFittedModel]
) -> list[FloatArray]:
    """Return each model's probability of Chinese for each segment."""
    predicted: list[list[FloatArray]] = [[] for _ in models]
    for first in range(0, rows.num_rows, AT_ONCE):
        job.check()
        batch = rows.slice(first, AT_ONCE).to_pylist()
        contents = context.store.get_many([row["flac_sha256"] for row in batch])
        shown = [features(floats(read_flac(content))) for content in contents]
        origins = [Origin(row["source"], row["speaker"], row["recording"]) for row in batch]
        for model, batches in zip(models, predicted, strict=True):
            batches.append(model.predict(shown, origins).probabilities[:, 1])
    return [np.concatenate(batches) for batches in predicted]
