"""Comparison of speech models on a folder of recorded clips, with sources left out together.

Needs no database: the folder's ``clips.csv`` is the manifest, each training leaves out one English
and one Chinese source, and the models are judged on those.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml.errors import LearningError
from ml.speech.cache import CLEAN, Cancelled, Progress, codec_variants
from ml.speech.evaluation import evaluate_scored, spread
from ml.speech.manifest import Manifest
from ml.speech.protocol import (
    Split,
    SplitResult,
    run_splits,
    scored,
    source_splits,
    speaker_splits,
)
from ml.speech.registry import REFERENCE, speech_rung_class, speech_rung_names
from ml.speech.rung import MIN_SPEECH
from services.errors import PermanentError, UsageError

INDEX = "clips.csv"
RESULTS, FEATURES = "trainings.jsonl", "features"
PAIRS = ("quick", "all")


@dataclass(frozen=True)
class Request:
    """What is compared.

    Attributes:
        folder: Holds ``clips.csv`` and the files it names.
        out: Where finished trainings and features are kept; a second run goes on after them.
        pairs: ``quick`` leaves every source out once, ``all`` every pair of an English and a
            Chinese one.
        seeds: Trainings of each kind.
        rungs: Names of the registry; all if empty.
        codecs: Whether the clips that are judged also go through every codec.
    """

    folder: Path
    out: Path
    pairs: str = "quick"
    seeds: int = 1
    rungs: tuple[str, ...] = ()
    codecs: bool = False


def compare(
    request: Request,
    *,
    progress: Progress = lambda _step, _total, _message: None,
    cancelled: Cancelled = lambda: False,
) -> dict[str, Any]:
    """Train with sources left out, judge, and return all figures as JSON values.

    Raises:
        UsageError: The folder has no usable index, or a name is unknown.
        PermanentError: Nothing can be learned or left out.
    """
    if request.pairs not in PAIRS:
        raise UsageError(f"pairs cannot be “{request.pairs}”", hint=f"use {' or '.join(PAIRS)}")
    rungs = request.rungs or speech_rung_names()
    try:
        for rung in rungs:
            speech_rung_class(rung)
        manifest = Manifest.from_csv(request.folder / INDEX)
    except LearningError as error:
        raise UsageError(
            str(error),
            reason=error.reason,
            hint="--folder needs clips.csv: clip_file, language (en or zh), speaker_id, source, "
            "original_encoding, duration_s",
        ) from error
    try:
        pairs = source_splits(manifest, quick=request.pairs == "quick")
        by_speaker = speaker_splits(manifest)
        results = run_splits(
            [*pairs, *by_speaker],
            request.out / FEATURES,
            rungs=rungs,
            seeds=range(request.seeds),
            results=request.out / RESULTS,
            codecs=request.codecs,
            progress=progress,
            cancelled=cancelled,
        )
        return _compared(request, rungs, manifest, results, pairs, by_speaker)
    except LearningError as error:
        raise PermanentError(str(error), reason=error.reason) from error


def _compared(
    request: Request,
    rungs: Sequence[str],
    manifest: Manifest,
    results: Sequence[SplitResult],
    pairs: Sequence[Split],
    by_speaker: Sequence[Split],
) -> dict[str, Any]:
    paired, spoken = {split.name for split in pairs}, {split.name for split in by_speaker}
    found: dict[str, dict[str, Any]] = {}
    for rung in rungs:
        own = [result for result in results if result.rung == rung]
        unheard = [result for result in own if result.split in paired]
        found[rung] = _judged(manifest, unheard, codecs=request.codecs)
        heard_channel = [result for result in own if result.split in spoken]
        if heard_channel:
            found[rung]["by_speaker"] = evaluate_scored(scored(manifest, heard_channel)).as_json()
    return {
        "folder": str(request.folder),
        "pairs": request.pairs,
        "seeds": request.seeds,
        "n_clips": len(manifest),
        "n_speakers": len(set(manifest.speakers)),
        "n_sources": len(set(manifest.sources)),
        "n_pairs": len(pairs),
        "manifest_sha256": manifest.sha256,
        "rungs": found,
        "sentence": _sentence(found),
    }


def _judged(manifest: Manifest, results: Sequence[SplitResult], *, codecs: bool) -> dict[str, Any]:
    """Judge one rung's trainings: all seeds together, and how much they differ."""
    clean = scored(manifest, results)
    figures = evaluate_scored(clean).as_json()
    seeds = sorted({result.seed for result in results})
    each = {
        seed: evaluate_scored(
            scored(manifest, [result for result in results if result.seed == seed]), resamples=1
        )
        for seed in seeds
    }
    figures["over_seeds"] = {
        "balanced_accuracy": spread({s: e.balanced_accuracy.value for s, e in each.items()}),
        "worst_source": spread({s: e.worst_source.accuracy for s, e in each.items()}),
    }
    heard = [value >= MIN_SPEECH for result in results for value in result.speech]
    figures["speech_heard"] = sum(heard) / len(heard)
    if codecs:
        whole = figures["balanced_accuracy"]["value"]
        figures["by_degradation"] = {
            variant: evaluate_scored(
                scored(manifest, results, variant=variant), resamples=1
            ).balanced_accuracy.value
            - whole
            for variant in codec_variants()
            if variant != CLEAN
        }
    return figures


def _sentence(found: dict[str, dict[str, Any]]) -> str:
    best = max(found, key=lambda rung: found[rung]["balanced_accuracy"]["value"])
    worst, accuracy = found[best]["worst_source"], found[best]["balanced_accuracy"]
    sentence = (
        f"Of the source told worst, {worst['name']}, {best} tells {worst['accuracy']:.0%} right; "
        f"over all sources that it never heard its balanced accuracy is {accuracy['value']:.3f} "
        f"[{accuracy['low']:.3f}, {accuracy['high']:.3f}]"
    )
    if best == REFERENCE or REFERENCE not in found:
        return f"{sentence}."
    return f"{sentence}, that of {REFERENCE} {found[REFERENCE]['balanced_accuracy']['value']:.3f}."
