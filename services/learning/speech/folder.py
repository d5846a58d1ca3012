"""Comparison of speech models on a folder of recorded clips, with sources left out together.

Needs no database: the folder's ``clips.csv`` is the manifest, each training leaves out one English
and one Chinese source, and the models are judged on those.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ml.errors import LearningError
from ml.speech.cache import Cancelled, Progress
from ml.speech.curve import curve_points
from ml.speech.manifest import Manifest
from ml.speech.noise import with_noise
from ml.speech.protocol import (
    Split,
    SplitResult,
    finished_results,
    run_splits,
    source_splits,
    speaker_splits,
)
from ml.speech.registry import (
    left_out_rungs,
    pretrained_rung_names,
    speech_rung_class,
    speech_rung_names,
)
from services.errors import PermanentError, UsageError
from services.learning.speech.folder_figures import Plan, figures
from services.learning.speech.folder_training import FEATURES, read_manifest

RESULTS, NOISE = "trainings.jsonl", "noise.jsonl"
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
        rungs: Names of the registry; if empty all, the pretrained ones where they are installed.
        codecs: Whether the clips that are judged also go through every codec.
        curve: Whether everything is trained with less data too, on the pairs of ``quick``.
        finished: Train nothing: judge the pairs and seeds that all rungs have finished.
    """

    folder: Path
    out: Path
    pairs: str = "quick"
    seeds: int = 1
    rungs: tuple[str, ...] = ()
    codecs: bool = False
    curve: bool = False
    finished: bool = False


def compare(
    request: Request,
    *,
    progress: Progress = lambda _step, _total, _message: None,
    cancelled: Cancelled = lambda: False,
) -> dict[str, Any]:
    """Train with sources left out, judge, and return all figures as JSON values.

    Raises:
        UsageError: The folder has no usable index, or a name is unknown.
        PermanentError: Nothing can be learned or left out, or nothing is finished yet.
    """
    return compared(request, progress=progress, cancelled=cancelled)[0]


def compared(
    request: Request,
    *,
    progress: Progress = lambda _step, _total, _message: None,
    cancelled: Cancelled = lambda: False,
) -> tuple[dict[str, Any], Plan, list[SplitResult]]:
    """Compare as :func:`compare` does; return what the figures are of, too."""
    if request.pairs not in PAIRS:
        raise UsageError(f"pairs cannot be “{request.pairs}”", hint=f"use {' or '.join(PAIRS)}")
    rungs, left_out = _rungs(request)
    manifest = read_manifest(request.folder)
    try:
        noisy = with_noise(manifest, request.out / NOISE, progress=progress, cancelled=cancelled)
        plan = _plan(request, noisy, rungs, left_out)
        results = _results(request, plan, progress, cancelled)
        found = figures(plan, results, seeds=request.seeds, codecs=request.codecs)
    except LearningError as error:
        raise PermanentError(str(error), reason=error.reason) from error
    return {"folder": str(request.folder), "pairs": request.pairs} | found, plan, results


def _rungs(request: Request) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return which models are compared, and which not for want of their packages."""
    try:
        for rung in request.rungs:
            speech_rung_class(rung)
    except LearningError as error:
        raise UsageError(str(error), reason=error.reason) from error
    if request.rungs:
        return request.rungs, {}
    left_out = left_out_rungs()
    installed = [name for name in pretrained_rung_names() if name not in left_out]
    return (*speech_rung_names(), *installed), left_out


def _plan(
    request: Request, manifest: Manifest, rungs: tuple[str, ...], left_out: dict[str, str]
) -> Plan:
    pairs = source_splits(manifest, quick=request.pairs == "quick")
    by_speaker = speaker_splits(manifest)
    if not by_speaker:
        # Somebody has to be examined.
        pairs[0] = replace(pairs[0], examined=True)
    end = source_splits(manifest, quick=True) if request.curve else []
    return Plan(manifest, rungs, pairs, by_speaker, curve_points(end), end, left_out)


def _results(
    request: Request, plan: Plan, progress: Progress, cancelled: Cancelled
) -> list[SplitResult]:
    seeds = range(request.seeds)
    if not request.finished:
        return run_splits(
            plan.splits,
            request.out / FEATURES,
            rungs=plan.rungs,
            seeds=seeds,
            results=request.out / RESULTS,
            codecs=request.codecs,
            progress=progress,
            cancelled=cancelled,
        )
    found = finished_results(
        plan.splits,
        rungs=plan.rungs,
        seeds=seeds,
        results=request.out / RESULTS,
        codecs=request.codecs,
    )
    if not _any_pair(plan.pairs, found):
        raise PermanentError(
            f"no pair of sources is finished by all of {', '.join(plan.rungs)}",
            reason="nothingFinished",
            hint="the same command without --finished trains; --rungs names fewer models",
        )
    return found


def _any_pair(pairs: Sequence[Split], results: Sequence[SplitResult]) -> bool:
    names = {split.name for split in pairs}
    return any(result.split in names for result in results)
