"""Comparison of speech models on a folder of recorded clips, with sources left out together.

Needs no database: the folder's ``clips.csv`` is the manifest, each training leaves out one English
and one Chinese source, and the models are evaluated on those.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ml.errors import LearningError
from ml.speech.data.manifest import Manifest
from ml.speech.evaluation.curve import curve_points
from ml.speech.evaluation.protocol import (
    Split,
    SplitResult,
    finished_results,
    run_splits,
    scored,
    source_splits,
    speaker_splits,
)
from ml.speech.frontend.noise import with_noise
from ml.speech.models.registry import left_out_models, speech_model_class, speech_model_names
from ml.training.callbacks import Cancelled, Progress
from services.errors import PermanentError, UsageError
from services.learning.speech.best import best_of
from services.learning.speech.folder_metrics import Plan, measure
from services.learning.speech.folder_training import FEATURES, read_manifest

RESULTS, NOISE = "trainings.jsonl", "noise.jsonl"
JSON, PAGE = "comparison.json", "comparison.html"
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
        models: Names of the registry; if empty all, the pretrained ones where they are installed.
        codecs: Whether the clips that are tested also go through every codec.
        curve: Whether everything is trained with less data too, on the pairs of ``quick``.
        finished: Train nothing: evaluate the pairs and seeds that all models have finished.
    """

    folder: Path
    out: Path
    pairs: str = "quick"
    seeds: int = 1
    models: tuple[str, ...] = ()
    codecs: bool = False
    curve: bool = False
    finished: bool = False


def compare_and_write(
    request: Request,
    *,
    progress: Progress = lambda _step, _total, _message: None,
    cancelled: Cancelled = lambda: False,
) -> dict[str, Any]:
    """Compare as :func:`compare` does, and write the metrics and a page of them into ``out``."""
    # Matplotlib takes most of a second to import.
    from services.learning.report.speech_page import write_page  # noqa: PLC0415

    found, plan, results = _compared(request, progress, cancelled)
    text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    (request.out / JSON).write_text(text, encoding="utf-8")
    best = best_of(found["rungs"])
    paired = {split.name for split in plan.pairs}
    own = [result for result in results if result.model == best and result.split in paired]
    answers = scored(plan.manifest, own)
    write_page(found, plan.manifest, answers, request.out / PAGE, now=datetime.now(UTC))
    return found


def compare(
    request: Request,
    *,
    progress: Progress = lambda _step, _total, _message: None,
    cancelled: Cancelled = lambda: False,
) -> dict[str, Any]:
    """Train with sources left out, evaluate, and return all metrics as JSON values.

    Raises:
        UsageError: The folder has no usable index, or a name is unknown.
        PermanentError: Nothing can be learned or left out, or nothing is finished yet.
    """
    return _compared(request, progress, cancelled)[0]


def _compared(
    request: Request, progress: Progress, cancelled: Cancelled
) -> tuple[dict[str, Any], Plan, list[SplitResult]]:
    """Return the metrics and what they are of."""
    if request.pairs not in PAIRS:
        raise UsageError(f"pairs cannot be “{request.pairs}”", hint=f"use {' or '.join(PAIRS)}")
    models, left_out = _models(request)
    manifest = read_manifest(request.folder)
    try:
        noisy = with_noise(manifest, request.out / NOISE, progress=progress, cancelled=cancelled)
        plan = _plan(request, noisy, models, left_out)
        results = _results(request, plan, progress, cancelled)
        found = measure(plan, results, seeds=request.seeds, codecs=request.codecs)
    except LearningError as error:
        raise PermanentError(str(error), reason=error.reason) from error
    return {"folder": str(request.folder), "pairs": request.pairs} | found, plan, results


def _models(request: Request) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return which models are compared, and which not for want of their packages."""
    try:
        for name in request.models:
            speech_model_class(name)
    except LearningError as error:
        raise UsageError(str(error), reason=error.reason) from error
    if request.models:
        return request.models, {}
    left_out = left_out_models()
    return tuple(name for name in speech_model_names() if name not in left_out), left_out


def _plan(
    request: Request, manifest: Manifest, models: tuple[str, ...], left_out: dict[str, str]
) -> Plan:
    pairs = source_splits(manifest, quick=request.pairs == "quick")
    by_speaker = speaker_splits(manifest)
    if not by_speaker:
        # One split has to be diagnosed.
        pairs[0] = replace(pairs[0], diagnosed=True)
    end = source_splits(manifest, quick=True) if request.curve else []
    return Plan(manifest, models, pairs, by_speaker, curve_points(end), end, left_out)


def _results(
    request: Request, plan: Plan, progress: Progress, cancelled: Cancelled
) -> list[SplitResult]:
    seeds = range(request.seeds)
    if not request.finished:
        return run_splits(
            plan.splits,
            request.out / FEATURES,
            models=plan.models,
            seeds=seeds,
            results=request.out / RESULTS,
            codecs=request.codecs,
            progress=progress,
            cancelled=cancelled,
        )
    found = finished_results(
        plan.splits,
        models=plan.models,
        seeds=seeds,
        results=request.out / RESULTS,
        codecs=request.codecs,
    )
    if not _any_pair(plan.pairs, found):
        raise PermanentError(
            f"no pair of sources is finished by all of {', '.join(plan.models)}",
            reason="nothingFinished",
            hint="the same command without --finished trains; --models names fewer models",
        )
    return found


def _any_pair(pairs: Sequence[Split], results: Sequence[SplitResult]) -> bool:
    names = {split.name for split in pairs}
    return any(result.split in names for result in results)
