"""Train with sources left out, test on them, and keep what is finished.

Every split is made here and checked: no speaker, recording or source on both sides. One source
whose speakers speak both languages is the exception that is held out by speaker: its channel is
seen in training, but in both languages, so it tells nothing.
"""

import hashlib
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ml.errors import LearningCancelledError, LearningError
from ml.speech.data.lines import append_line, read_lines
from ml.speech.data.manifest import Manifest, assert_disjoint
from ml.speech.data.pairs import Pair, all_pairs, covering_pairs, pair_split, speaker_bilingual
from ml.speech.evaluation.diagnostics import diagnose
from ml.speech.evaluation.evaluate import Scored
from ml.speech.frontend.cache import CLEAN, FeatureCache, codec_variants
from ml.speech.models.registry import speech_cache, speech_model_class
from ml.training.callbacks import Cancelled, Progress

SPEAKER_FOLDS = 3
_FIELDS = {"rung": "model", "examination": "diagnostics"}
"""What fields were called when older lines of results were written."""


@dataclass(frozen=True)
class Split:
    """Clips to learn from, and clips of speakers held out to test on.

    Attributes:
        name: Such as ``fsdd+gcin-voice`` or ``dspspeech20 by speaker 1``.
        training: What to learn from.
        test: What to test on.
        diagnosed: Whether its models also go through :mod:`ml.speech.evaluation.diagnostics`.
    """

    name: str
    training: Manifest
    test: Manifest
    diagnosed: bool = False


@dataclass(frozen=True)
class SplitResult:
    """What one training gave on its test clips.

    Attributes:
        model: Its name.
        split: The split's name.
        seed: Of the training.
        clip_ids: The test clips.
        p_zh: Probability of Chinese by variant (``clean``, ``codec-mp3`` …), each of N numbers.
        speech: Probability of speech in the clean clips.
        training_clips: How many it learned from.
        key: Names manifest, split and seed; decides what is resumed.
        diagnostics: What :func:`ml.speech.evaluation.diagnostics.diagnose` found; None where the
            split is not diagnosed.
    """

    model: str
    split: str
    seed: int
    clip_ids: tuple[str, ...]
    p_zh: dict[str, tuple[float, ...]]
    speech: tuple[float, ...]
    training_clips: int
    key: str
    diagnostics: dict[str, Any] | None = None


def source_splits(manifest: Manifest, *, quick: bool = False, turn: int = 0) -> list[Split]:
    """Leave out one English and one Chinese source together.

    Args:
        manifest: All clips.
        quick: A few pairs that name every source, instead of all.
        turn: With ``quick``, another choice of pairs.

    Raises:
        LearningError: No pair to leave out (``tooFewSources``), or a leak (``leak…``).
    """
    pairs: Iterable[Pair] = covering_pairs(manifest, turn=turn) if quick else all_pairs(manifest)
    splits = [Split(pair.name, *pair_split(manifest, pair)) for pair in pairs]
    if not splits:
        raise LearningError(
            "leaving sources out needs a source of each language", reason="tooFewSources"
        )
    return splits


def speaker_splits(manifest: Manifest, *, folds: int = SPEAKER_FOLDS) -> list[Split]:
    """Hold out the speakers of the sources where the same people speak both languages, in folds.

    Their models have seen all sources, so they are the ones that are diagnosed.

    Raises:
        LearningError: A leak (``leak…``).
    """
    splits = []
    for source in speaker_bilingual(manifest):
        speakers = sorted({clip.speaker for clip in manifest if clip.source == source})
        for fold in range(min(folds, len(speakers))):
            held_out = set(speakers[fold::folds])
            test = manifest.where(lambda clip, held_out=held_out: clip.speaker in held_out)  # type: ignore[misc]
            training = manifest.where(lambda clip, held_out=held_out: clip.speaker not in held_out)  # type: ignore[misc]
            assert_disjoint(training, test)
            name = f"{source} by speaker {fold + 1}"
            splits.append(Split(name, training, test, diagnosed=True))
    return splits


def run_splits(
    splits: Sequence[Split],
    features: Path,
    *,
    models: Sequence[str],
    seeds: Sequence[int],
    results: Path,
    codecs: bool = False,
    progress: Progress = lambda _step, _total, _message: None,
    cancelled: Cancelled = lambda: False,
) -> list[SplitResult]:
    """Train and test every model on every split with every seed.

    What is finished is a line in ``results``, and is not done again.

    Args:
        splits: From :func:`source_splits` or :func:`speaker_splits`.
        features: The folder of the features' caches.
        models: Names in the registry.
        seeds: One training each.
        results: A file of JSON lines, created if needed.
        codecs: Whether the test clips go through every codec too.
        progress: Told after every training.
        cancelled: Asked before every step.

    Raises:
        LearningError: From training.
        LearningCancelledError: ``cancelled`` said so; finished lines stay.
    """
    finished = read_results(results)
    variants = [CLEAN, *(codec_variants() if codecs else [])]
    work = [(split, seed, model) for split in splits for seed in seeds for model in models]
    caches = {model: speech_cache(model, features) for model in models}
    found = []
    # Models that are built of the same networks train them once.
    with tempfile.TemporaryDirectory(prefix="speech-networks-") as networks:
        for number, (split, seed, model) in enumerate(work, start=1):
            if cancelled():
                raise LearningCancelledError
            key = _key(split, model, seed)
            result = finished.get(key)
            undiagnosed = split.diagnosed and (result is None or result.diagnostics is None)
            if result is None or undiagnosed or not set(variants) <= set(result.p_zh):
                result = _trained(
                    split, model, seed, key, caches[model], variants, cancelled, Path(networks)
                )
                append_line(results, asdict(result))
            found.append(result)
            progress(number, len(work), f"{model} without {split.name}, seed {seed}")
    return found


def finished_results(
    splits: Sequence[Split],
    *,
    models: Sequence[str],
    seeds: Sequence[int],
    results: Path,
    codecs: bool = False,
) -> list[SplitResult]:
    """Return what is finished, of those splits and seeds that all models have finished.

    The arguments and the order are those of :func:`run_splits`.
    """
    finished = read_results(results)
    variants = {CLEAN, *(codec_variants() if codecs else [])}
    found = []
    for split in splits:
        for seed in seeds:
            own = [finished.get(_key(split, model, seed)) for model in models]
            there = [result for result in own if result and variants <= set(result.p_zh)]
            found += there if len(there) == len(models) else []
    return found


def read_results(results: Path) -> dict[str, SplitResult]:
    """Read finished trainings by key; a line cut short by a crash is left out."""
    found = [_result(content) for content in read_lines(results)]
    return {result.key: result for result in found}


def scored(manifest: Manifest, results: Sequence[SplitResult], *, variant: str = CLEAN) -> Scored:
    """Put the test clips of several trainings together, one row for each time one was tested.

    Raises:
        LearningError: A result speaks of a clip that the manifest lacks (``resultsMismatch``).
    """
    by_id = {clip.clip_id: clip for clip in manifest}
    names = [clip_id for result in results for clip_id in result.clip_ids]
    if not set(names) <= set(by_id):
        raise LearningError("the results are of another manifest", reason="resultsMismatch")
    clips = [by_id[name] for name in names]
    p_zh = [value for result in results for value in result.p_zh[variant]]
    return Scored(
        clip_ids=names,
        labels=np.array([int(clip.language == "zh") for clip in clips], dtype=np.int64),
        p_zh=np.array(p_zh, dtype=np.float64),
        speakers=[clip.speaker for clip in clips],
        sources=[clip.source for clip in clips],
        codecs=[clip.codec for clip in clips],
        seconds=np.array([clip.seconds for clip in clips], dtype=np.float64),
        snr=np.array([clip.snr for clip in clips], dtype=np.float64),
    )


def _trained(
    split: Split,
    name: str,
    seed: int,
    key: str,
    cache: FeatureCache,
    variants: Sequence[str],
    cancelled: Cancelled,
    networks: Path,
) -> SplitResult:
    model = speech_model_class(name).fit(
        split.training, cache, seed=seed, cancelled=cancelled, checkpoint=networks
    )
    p_zh, speech = {}, np.zeros(0)
    for variant in variants:
        predicted = model.predict_features(cache.read(split.test, variant))
        p_zh[variant] = tuple(predicted.probabilities[:, 1].round(6).tolist())
        if variant == CLEAN:
            speech = predicted.speech
    return SplitResult(
        model=name,
        split=split.name,
        seed=seed,
        clip_ids=tuple(clip.clip_id for clip in split.test),
        p_zh=p_zh,
        speech=tuple(speech.round(6).tolist()),
        training_clips=len(split.training),
        key=key,
        diagnostics=diagnose(model, split.training, cache, seed=seed) if split.diagnosed else None,
    )


def _result(line: dict[str, Any]) -> SplitResult:
    content = {_FIELDS.get(name, name): value for name, value in line.items()}
    content["clip_ids"] = tuple(content["clip_ids"])
    content["speech"] = tuple(content["speech"])
    content["p_zh"] = {name: tuple(values) for name, values in content["p_zh"].items()}
    return SplitResult(**content)


def _key(split: Split, model: str, seed: int) -> str:
    parts = [model, split.name, str(seed), split.training.sha256, split.test.sha256]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
