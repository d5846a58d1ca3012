"""The contest of speech models: what tonight's training made against the champion.

Both are asked about the same segments, each by a training of theirs that heard neither speaker nor
source nor recording; so the champion needs no new speakers to be judged. About voices that are new
to the champion its training on everything is asked, and the challenger's training without their
fold: there the champion has the larger part of its data, so who is new counts a little against a
change.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from db.models import Evaluation
from db.queries.learning import promotion
from ml.arrays import FloatArray
from ml.audio import floats, read_flac
from ml.speech.data.manifest import LANGUAGES
from ml.speech.evaluation.champion_challenger import (
    Heard,
    evaluate_challenger,
    fair_rows,
    is_enough,
)
from ml.speech.frontend.features import features
from services.context import Context
from services.errors import PermanentError
from services.learning.artifacts import scratch
from services.learning.errors import told_apart
from services.learning.promotion import decisions
from services.learning.promotion.decisions import Decision
from services.learning.results import judges, newest_models_and_evaluation
from services.learning.speech import TASK, datasets
from services.learning.speech.models import Origin, SpeechModel, get_model
from services.work.jobs import JobHandle

AT_ONCE = 64
CHANCE = 0.5
"""The balanced accuracy of who guesses."""
KEYS = ("recording", "speaker", "source")


def work(context: Context, job: JobHandle) -> dict[str, Any]:
    """Do the step of a retraining that decides which models are in use.

    Returns, raises:
        As :func:`services.learning.thumbnails.promotion.work`.
    """
    made = decisions.made_by(context, job.job_id)
    if made is None:
        with told_apart(context.settings.home), scratch(context, "contest") as folder:
            made = _decide(context, job, folder)
        job.check()
        made = decisions.carry_out(context, TASK, made, job_id=job.job_id)
    return made.as_json()


def _decide(context: Context, job: JobHandle, folder: Path) -> Decision:
    ladder, evaluation = newest_models_and_evaluation(context, TASK)
    if not ladder or evaluation is None or not judges(evaluation, ladder):
        raise PermanentError(
            "the newest speech models were not compared, so none of them can contest",
            reason="notCompared",
            hint="`tubegrader score speech`, then `tubegrader compare speech`",
        )
    job.progress(0, 3, "choosing the model that contests")
    with context.transaction() as session:
        champion = promotion.model_of(session, task=TASK)
        champions = promotion.champion_ladder(session, task=TASK)
    chosen, chosen_by = _choose(evaluation)
    challenger = next((m for m in ladder if m.rung == chosen), None)
    figures = {"choice": _choices(evaluation)}

    made = decisions.settled(
        champion,
        challenger,
        ladder,
        deposed=decisions.deposed_by(decisions.history(context, TASK)),
        chosen_by=chosen_by,
        figures=figures,
    )
    if made is not None:
        return made
    assert champion is not None, "else it is settled"
    assert challenger is not None, "else it is settled"
    job.progress(1, 3, "loading champion and challenger")
    mine = get_model(context.store, challenger.files, folder / "challenger")
    try:
        theirs = [
            get_model(context.store, m.files, folder / f"champion {m.model_version_id}")
            for m in champions
        ]
    except PermanentError as error:
        return decisions.unusable(champion, challenger, error, chosen_by=chosen_by, figures=figures)
    ids = [m.model_version_id for m in champions]
    judged = theirs[ids.index(champion.model_version_id)]
    rows = datasets.fetch(context, challenger.dataset_id).rows
    fair = rows.filter(pa.array(fair_rows(rows.select(KEYS).to_pylist(), judged.fold_of, KEYS)))
    heard = _heard(fair)
    if not is_enough(heard):
        few = (
            f"{fair.num_rows} segments of {len(set(heard.speakers))} speakers can be asked of both "
            "fairly: too few to tell whether the challenger is worse."
        )
        return Decision("kept", "tooFew", few, champion, challenger, figures)
    job.progress(2, 3, "judging both on what neither heard")
    said = _asked(context, job, fair, [judged, mine])
    verdict = evaluate_challenger(heard, *said, seed=challenger.seed)
    return Decision(
        "promoted" if verdict.passes else "kept",
        verdict.ground,
        f"{verdict.sentence(rows='segments', clusters='speakers')} {chosen_by}",
        champion,
        challenger,
        figures | verdict.as_json() | {"dataset_id": challenger.dataset_id},
    )


def _choose(evaluation: Evaluation) -> tuple[str | None, str]:
    """Return the model that contests, and by what it was chosen.

    As where a model is chosen for a file: the highest balanced accuracy on sources that it never
    heard, if that is shown to be more than a guess.
    """
    found = _choices(evaluation)
    sound = {
        name: figures["value"] or 0.0
        for name, figures in found.items()
        if (figures["low"] or 0.0) > CHANCE
    }
    if not sound:
        return None, "No model can be shown to tell the languages better than by guessing."
    best = max(sorted(sound), key=lambda name: sound[name])
    return best, f"{best} has the highest balanced accuracy, {sound[best]:.3f}."


def _choices(evaluation: Evaluation) -> dict[str, dict[str, float | None]]:
    rungs = evaluation.detail["rungs"]
    return {name: dict(rungs[name]["balanced_accuracy"]) for name in sorted(rungs)}


def _heard(rows: pa.Table) -> Heard:
    return Heard(
        labels=np.array([LANGUAGES.index(name) for name in rows["language"].to_pylist()], np.int64),
        speakers=rows["speaker"].to_pylist(),
        sources=rows["source"].to_pylist(),
        codecs=rows["codec"].to_pylist(),
    )


def _asked(
    context: Context, job: JobHandle, rows: pa.Table, models: Sequence[SpeechModel]
) -> list[FloatArray]:
    """Return each model's probability of Chinese for each segment."""
    said: list[list[FloatArray]] = [[] for _ in models]
    for first in range(0, rows.num_rows, AT_ONCE):
        job.check()
        batch = rows.slice(first, AT_ONCE).to_pylist()
        contents = context.store.get_many([row["flac_sha256"] for row in batch])
        shown = [features(floats(read_flac(content))) for content in contents]
        origins = [Origin(row["source"], row["speaker"], row["recording"]) for row in batch]
        for model, answers in zip(models, said, strict=True):
            answers.append(model.predict(shown, origins).probabilities[:, 1])
    return [np.concatenate(answers) for answers in said]
