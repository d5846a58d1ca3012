"""Diagnostics of a model: what it makes of sounds without speech, what its embedding knows.

Neither can be read off its predictions for speech, so it is found while the model is at hand.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ml.arrays import BoolArray, FloatArray
from ml.speech.augmentation.nonspeech import KINDS, synthesised
from ml.speech.data.manifest import LANGUAGES, Manifest
from ml.speech.frontend.cache import FeatureCache
from ml.speech.models.base import UNKNOWN, SpeechModel

SOUNDS = 40
"""Drawn of each kind."""
SOUNDS_SEED = 4096
"""Not the one of the speech detector: it learned from other sounds of these kinds."""
CLIPS = 40
"""Of a source and language at most, for the probe."""
MIN_SOURCES = 2


def diagnose(
    model: SpeechModel, training: Manifest, cache: FeatureCache, *, seed: int = 0
) -> dict[str, Any]:
    """Try a model on other sounds than speech, and its embedding on telling sources.

    Args:
        model: Trained.
        training: What it learned from.
        cache: Gives the clips' features.
        seed: Splits the speakers of the probe.

    Returns:
        JSON values: ``unknown``, the share of each kind of sound that is called so, and
        ``source_probe``, by language what :func:`source_probe` found; a language with one source
        is left out, and so are all for a model without an embedding.
    """
    found: dict[str, Any] = {"unknown": {}, "source_probe": {}}
    generator = np.random.default_rng(SOUNDS_SEED)
    for kind in KINDS:
        sounds = [synthesised(kind, generator) for _ in range(SOUNDS)]
        languages = model.predict(sounds).languages()
        found["unknown"][kind] = sum(name == UNKNOWN for name in languages) / SOUNDS
    for language in LANGUAGES:
        clips = _some(training.where(lambda clip, own=language: clip.language == own))  # type: ignore[misc]
        if len(set(clips.sources)) < MIN_SOURCES:
            continue
        embedding = model.predict_features(cache.read(clips)).embedding
        if embedding.shape[1]:
            found["source_probe"][language] = source_probe(
                embedding, clips.sources, clips.speakers, seed=seed
            )
    return found


def _some(manifest: Manifest) -> Manifest:
    """Keep at most ``CLIPS`` of each source, spread over it."""
    sources = np.asarray(manifest.sources)
    rows: list[int] = []
    for source in sorted(set(manifest.sources)):
        own = np.flatnonzero(sources == source)
        rows += own[np.unique(np.linspace(0, len(own) - 1, CLIPS).astype(int))].tolist()
    return manifest.take(sorted(rows))


def source_probe(
    embedding: FloatArray, sources: Sequence[str], speakers: Sequence[str], *, seed: int = 0
) -> dict[str, float]:
    """Ask whether an embedding knows the source, beyond the language.

    A ridge classifier is trained on half of the speakers of each source to name the source of the
    others. Call it with clips of one language, or the language gives the source away.

    Args:
        embedding: Shape (N, E).
        sources: Of each clip; those with one speaker are split by clip.
        speakers: Of each clip.
        seed: Splits the speakers.

    Returns:
        ``accuracy``, balanced over sources, and ``chance``, one by the number of sources.
    """
    names, index = np.unique(np.asarray(sources), return_inverse=True)
    learned = _half(sources, speakers, np.random.default_rng(seed))
    standard = (embedding - embedding[learned].mean(axis=0)) / (
        embedding[learned].std(axis=0) + 1e-6
    )
    columns = np.column_stack([standard, np.ones(len(standard))])
    share = 1 / np.bincount(index[learned], minlength=len(names))[index[learned]]
    gram = (columns[learned].T * share) @ columns[learned] / len(names)
    ridge = 1e-2 * np.eye(len(gram))
    target = (columns[learned].T * share) @ np.eye(len(names))[index[learned]] / len(names)
    predicted = (columns[~learned] @ np.linalg.solve(gram + ridge, target)).argmax(axis=1)
    truth = index[~learned]
    recalls = [float((predicted[truth == name] == name).mean()) for name in np.unique(truth)]
    return {"accuracy": float(np.mean(recalls)), "chance": 1 / len(names)}


def _half(
    sources: Sequence[str], speakers: Sequence[str], generator: np.random.Generator
) -> BoolArray:
    """Choose half of each source's speakers, or half of its clips where it has one speaker."""
    learned = np.zeros(len(sources), dtype=np.bool_)
    for source in sorted(set(sources)):
        rows = np.flatnonzero(np.asarray(sources) == source)
        own = [speakers[row] for row in rows.tolist()]
        groups = own if len(set(own)) > 1 else [str(row) for row in rows.tolist()]
        names = sorted(set(groups))
        chosen = set(generator.permutation(names)[: max(1, len(names) // 2)].tolist())
        learned[rows] = [group in chosen for group in groups]
    return learned
