"""The contest of models of views: what tonight's training made against the champion.

Both predict the same newest videos, with what was known when tonight's dataset was frozen, each by
models that never saw the video's channel. Whatever goes wrong on the way, the champion stays,
unless it can no longer be asked at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from db.models import ModelVersion
from db.queries.learning import promotion
from ml.arrays import IntArray
from ml.evaluation.champion_challenger import newest_window
from ml.thumbnails.data.dataset import Dataset
from ml.thumbnails.data.rows import Features, Predictions
from ml.thumbnails.evaluation.champion_challenger import (
    Choice,
    choose_rung,
    evaluate_challenger,
    fair_groups,
)
from ml.thumbnails.models.rung import Rung
from ml.thumbnails.models.thumbnail import predict_all
from services.context import Context
from services.errors import PermanentError
from services.learning.artifacts import scratch
from services.learning.errors import told_apart
from services.learning.promotion import decisions
from services.learning.promotion.decisions import Decision
from services.learning.results import VIEWS, in_order, judges, newest_models_and_evaluation
from services.learning.thumbnails import comparison, datasets, scoring
from services.work.jobs import JobHandle

FALLBACK_LABELS = {"lifetime"}
"""Labels that are only taken while there are no measured ones."""


@dataclass(frozen=True)
class _Side:
    """A model that contests, and the rows it was trained on."""

    version: ModelVersion
    rung: Rung
    ladder: Sequence[Rung]
    rows: Dataset


@dataclass(frozen=True)
class _Contest:
    champion: _Side
    challenger: _Side
    choice: Choice


def work(context: Context, job: JobHandle) -> dict[str, Any]:
    """Do the step of a retraining that decides which models are in use.

    Returns:
        The decision with its reason; who is champion and who contested.

    Raises:
        PermanentError: The newest models were not compared yet, or are damaged.
        TransientError: Somebody changed the champion meanwhile.
    """
    made = decisions.made_by(context, job.job_id)
    if made is None:
        with told_apart(context.settings.home), scratch(context, "contest") as folder:
            made = _decide(context, job, folder)
        job.check()
        made = decisions.carry_out(context, VIEWS, made, job_id=job.job_id)
    return made.as_json()


def _decide(context: Context, job: JobHandle, folder: Path) -> Decision:
    ladder, evaluation = newest_models_and_evaluation(context)
    if not ladder or evaluation is None or not judges(evaluation, ladder):
        raise PermanentError(
            "the newest models were not compared, so none of them can contest",
            reason="notCompared",
            hint="`tubegrader score`, then `tubegrader compare`",
        )
    job.progress(0, 3, "choosing the rung that contests")
    dataset = datasets.fetch_without_pictures(context, ladder[0].dataset_id, folder / "dataset")
    choice = _choose(context, dataset, ladder)
    figures = {"choice": [candidate.as_json() for candidate in choice.candidates]}
    with context.transaction() as session:
        champion = promotion.model_of(session, task=VIEWS)
        champions = promotion.champion_ladder(session, task=VIEWS)
    challenger = next((m for m in ladder if m.rung == choice.rung), None)

    made = decisions.settled(
        champion,
        challenger,
        ladder,
        deposed=decisions.deposed_by(decisions.history(context, VIEWS)),
        chosen_by=choice.sentence(),
        figures=figures,
    )
    if made is not None:
        return made
    assert champion is not None, "else it is settled"
    assert challenger is not None, "else it is settled"
    job.progress(1, 3, "loading champion and challenger")
    mine = _side(context, challenger, ladder, dataset, folder / "challenger")
    try:
        rows = datasets.fetch_without_pictures(
            context, champion.dataset_id, folder / "champions dataset"
        )
        theirs = _side(context, champion, champions, rows, folder / "champion")
        scoring.check_image_features(context, theirs.ladder)
    except PermanentError as error:
        return decisions.unusable(
            champion, challenger, error, chosen_by=choice.sentence(), figures=figures
        )
    if (problem := _other_question(theirs.rows, dataset)) is not None:
        return Decision("kept", *problem, champion, challenger, figures)
    job.progress(2, 3, "judging both on the newest videos")
    return _judged(context, _Contest(theirs, mine, choice), figures)


def _choose(context: Context, dataset: Dataset, ladder: Sequence[ModelVersion]) -> Choice:
    said = comparison.out_of_fold(context, dataset, ladder)
    names = np.array(said["rung"].to_pylist())
    probability_over, log_views = (
        said["probability_over"].to_numpy(),
        said["log10_views_per_day"].to_numpy(),
    )
    by_rung = {
        rung: Predictions(probability_over[names == rung], log_views[names == rung])
        for rung in in_order(model.rung for model in ladder)
    }
    return choose_rung(dataset, by_rung, seed=ladder[0].seed)


def _side(
    context: Context,
    version: ModelVersion,
    ladder: Sequence[ModelVersion],
    rows: Dataset,
    folder: Path,
) -> _Side:
    """Load a model, and with it all of its ladder: a champion is of use only as a whole."""
    rungs = scoring.load_rungs(context, ladder, folder)
    by_name = dict(zip((m.rung for m in ladder), rungs, strict=True))
    return _Side(version, by_name[version.rung], rungs, rows)


def _other_question(old: Dataset, new: Dataset) -> tuple[str, str] | None:
    """Return why the champion's answers cannot be held against the new ones, if they cannot."""
    before, now = old.description.threshold, new.description.threshold
    if before != now:
        said = (
            f"The champion tells whether {before:g} views a day are reached, the challenger "
            f"{now:g}: neither can be judged by the other's question. `tubegrader models promote` "
            "decides by hand."
        )
        return "otherThreshold", said
    measured, fallback = (set(rows.strings("label_kind")) for rows in (old, new))
    if fallback <= FALLBACK_LABELS and not measured <= FALLBACK_LABELS:
        said = (
            "The challenger learned only from averages over a video's life, the champion from "
            f"views of a fixed time ({', '.join(sorted(measured))})."
        )
        return "fallbackLabel", said
    return None


def _judged(context: Context, held: _Contest, figures: dict[str, Any]) -> Decision:
    champion, challenger = held.champion, held.challenger
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
        return Decision(
            "kept",
            "tooFew",
            f"Of {len(dataset)} videos {len(fair)} can be asked of both fairly: too few to tell "
            "whether the challenger is worse.",
            champion.version,
            challenger.version,
            figures,
        )
    rows = fair[newest]
    window = Dataset(dataset.description, dataset.table.take(rows), dataset.directory)
    features = scoring.with_pictures(
        context,
        [champion.rung, challenger.rung],
        Features.of_table(window.table),
        window.strings("thumbnail_sha256"),
    )
    verdict = evaluate_challenger(
        window,
        _asked(champion.rung, features, [groups[row] for row in rows]),
        _asked(challenger.rung, features, window.strings("split_group")),
        seed=challenger.version.seed,
    )
    said = [verdict.sentence(rows="videos", clusters="channels"), held.choice.sentence()]
    learned, judged = (set(r.strings("label_kind")) for r in (champion.rows, dataset))
    if learned != judged:
        said.append(
            f"The champion learned views a day by {', '.join(sorted(learned))}; both were judged "
            f"by {', '.join(sorted(judged))}."
        )
    return Decision(
        "promoted" if verdict.passes else "kept",
        verdict.ground,
        " ".join(said),
        champion.version,
        challenger.version,
        figures | verdict.as_json() | _described(dataset, rows, left_out=len(dataset) - len(fair)),
    )


def _asked(rung: Rung, features: Features, groups: Sequence[str]) -> Predictions:
    [predicted] = predict_all([rung], replace(features, split_groups=groups))
    return predicted


def _described(dataset: Dataset, rows: IntArray, *, left_out: int) -> dict[str, Any]:
    published = dataset.table["published_at"].take(rows).to_pylist()
    return {
        "dataset_id": dataset.description.id,
        "threshold": dataset.description.threshold,
        "published_from": min(published).isoformat(),
        "published_to": max(published).isoformat(),
        "left_out_as_seen": left_out,
    }
