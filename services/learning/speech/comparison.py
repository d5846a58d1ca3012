"""Comparison: what the newest models predict of held-out speech, against its labels."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from db.models import ModelVersion
from db.models.learning import SPEECH
from db.queries.speech import segments as speech_learning
from ml.arrays import FloatArray
from ml.speech.data.manifest import LANGUAGES
from ml.speech.evaluation.differences import accuracy_differences, error_rate_interval
from ml.speech.evaluation.evaluate import Scored, evaluate_scored
from ml.speech.models.base import UNKNOWN
from ml.speech.models.registry import REFERENCE
from services.context import Context
from services.errors import PermanentError
from services.learning.comparison import Comparison, Metric, compare_newest
from services.learning.speech import datasets
from services.learning.speech.best import best_of
from services.work.jobs import JobHandle

RESAMPLES = 1000
PAGE = 5_000
"""Segments whose scores are read at a time."""
_HALF = 0.5


def compare(context: Context, job: JobHandle) -> dict[str, Any]:
    """Do a comparison job: evaluate the newest models' scores of their own dataset.

    No training saw the source, the speaker or the recording of what it is evaluated by (see
    :mod:`services.learning.speech.models`).

    Returns, raises:
        As :func:`services.learning.comparison.compare_newest`.
    """

    def compared(models: Sequence[ModelVersion], _folder: Path) -> Comparison:
        job.progress(0, 0, "resampling speakers")
        rows = datasets.fetch(context, models[0].dataset_id).rows
        detail = _detail(context, models, rows, job)
        return Comparison(
            rows.num_rows, detail["n_speakers"], detail["sentence"], detail, _metrics(detail)
        )

    return compare_newest(context, job, SPEECH, compared)


def _detail(
    context: Context, models: Sequence[ModelVersion], rows: pa.Table, job: JobHandle
) -> dict[str, Any]:
    scored, unknown = scores_of(context, models, rows)
    found: dict[str, dict[str, Any]] = {}
    for model in models:
        job.check()
        own, drawn = scored[model.rung], {"resamples": RESAMPLES, "seed": model.seed}
        found[model.rung] = evaluate_scored(own, **drawn).as_json() | {
            "equal_error_rate": error_rate_interval(own, **drawn).as_json(),
            "unknown": unknown[model.rung],
        }
    _add_votes(context, models, rows, found)
    return {
        "task": "speech",
        "n_segments": rows.num_rows,
        "n_speakers": len(set(rows["speaker"].to_pylist())),
        "n_sources": len(set(rows["source"].to_pylist())),
        "rungs": found,
        "beyond_reference": _differences(scored, seed=models[0].seed),
        "sentence": _sentence(found),
    }


def scores_of(
    context: Context, models: Sequence[ModelVersion], rows: pa.Table
) -> tuple[dict[str, Scored], dict[str, float]]:
    """Return the scores of the dataset's rows by rung, and the share that it did not decide."""
    ids = {model.model_version_id: place for place, model in enumerate(models)}
    segments = rows["segment_id"].to_numpy()
    in_order = np.argsort(segments)
    said: FloatArray = np.full((len(models), 2, len(segments)), np.nan)
    unknown = np.zeros(len(models))
    for start in range(0, len(segments), PAGE):
        some = segments[start : start + PAGE].tolist()
        with context.transaction() as session:
            page = speech_learning.scored_segments(session, some, model_version_ids=ids)
        for model, segment, en, zh, language in page:
            row = in_order[np.searchsorted(segments, segment, sorter=in_order)]
            said[ids[model], :, row] = en, zh
            unknown[ids[model]] += language == UNKNOWN
    missing = int(np.isnan(said).any(axis=(0, 1)).sum())
    if missing:
        raise PermanentError(
            f"{missing} segments of the dataset have no score of the newest models",
            reason="notScored",
            hint="`tubegrader models score speech`; if their sound was removed meanwhile, "
            "`tubegrader models train speech` first",
        )
    scored = {
        model.rung: _as_scored(rows, english, chinese)
        for model, (english, chinese) in zip(models, said, strict=True)
    }
    shares = (unknown / len(segments)).tolist()
    return scored, dict(zip(scored, shares, strict=True))


def _as_scored(rows: pa.Table, english: FloatArray, chinese: FloatArray) -> Scored:
    labels = np.array([LANGUAGES.index(name) for name in rows["language"].to_pylist()])
    spoken = english + chinese
    return Scored(
        clip_ids=[str(segment) for segment in rows["segment_id"].to_pylist()],
        labels=labels,
        # Given that it is one of the two; nothing spoken at all counts as half and half.
        p_zh=np.divide(chinese, spoken, out=np.full(len(spoken), _HALF), where=spoken > 0),
        speakers=_names(rows["speaker"]),
        sources=_names(rows["source"]),
        codecs=_names(rows["codec"]),
        seconds=rows["seconds"].to_numpy(),
        snr=np.array([np.nan if v is None else v for v in rows["snr_db"].to_pylist()]),
    )


def _names(column: pa.ChunkedArray) -> list[str]:
    """Return a column of which many rows have the same name: that name once, not for each."""
    encoded = column.combine_chunks().dictionary_encode()
    names = encoded.dictionary.to_pylist()
    return [names[place] for place in encoded.indices.to_pylist()]


def _differences(scored: Mapping[str, Scored], *, seed: int) -> dict[str, Any]:
    """Return how much better than the reference each other rung is, segment by segment."""
    if REFERENCE not in scored:
        return {}
    others = {rung: own for rung, own in scored.items() if rung != REFERENCE}
    found = accuracy_differences(others, scored[REFERENCE], resamples=RESAMPLES, seed=seed)
    return {rung: interval.as_json() for rung, interval in found.items()}


def _add_votes(
    context: Context,
    models: Sequence[ModelVersion],
    rows: pa.Table,
    found: Mapping[str, dict[str, Any]],
) -> None:
    """Add how the votes of whole clips fare: right, wrong and unknown by language."""
    label_of = dict(zip(rows["clip_id"].to_pylist(), rows["language"].to_pylist(), strict=True))
    ids = {model.model_version_id: model.rung for model in models}
    counts = {
        rung: {label: dict.fromkeys((*LANGUAGES, UNKNOWN), 0) for label in LANGUAGES}
        for rung in ids.values()
    }
    clips = list(label_of)
    for start in range(0, len(clips), PAGE):
        some = clips[start : start + PAGE]
        with context.transaction() as session:
            votes = speech_learning.clip_languages(session, some, model_version_ids=list(ids))
        for model, clip, language in votes:
            counts[ids[model]][label_of[clip]][language] += 1
    for rung, counted in counts.items():
        found[rung]["clips"] = counted


def _sentence(found: Mapping[str, dict[str, Any]]) -> str:
    """Say in one sentence how good the best model is, its worst source first."""
    best = best_of(found)
    worst = found[best]["worst_source"]
    accuracy = found[best]["balanced_accuracy"]
    between = "" if accuracy["low"] is None else f" [{accuracy['low']:.3f}, {accuracy['high']:.3f}]"
    sentence = (
        f"Of the source told worst, {worst['name']}, {best} tells {worst['accuracy']:.0%} right; "
        f"over all speakers and sources held out of its training its balanced accuracy is "
        f"{accuracy['value']:.3f}{between}"
    )
    if best == REFERENCE or REFERENCE not in found:
        return f"{sentence}."
    return f"{sentence}, that of {REFERENCE} {found[REFERENCE]['balanced_accuracy']['value']:.3f}."


def _metrics(detail: dict[str, Any]) -> list[Metric]:
    plain = [
        Metric(rung, name, values[name])
        for rung, values in detail["rungs"].items()
        for name in ("balanced_accuracy", "equal_error_rate")
    ]
    paired = [
        Metric(rung, "delta_balanced_accuracy", interval, baseline=REFERENCE)
        for rung, interval in detail["beyond_reference"].items()
    ]
    return plain + paired
