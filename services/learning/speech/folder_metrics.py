"""The metrics of a comparison on a folder: what the trainings' predictions add up to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ml.speech.data.manifest import LANGUAGES, Manifest
from ml.speech.evaluation.curve import Point
from ml.speech.evaluation.differences import accuracy_differences, error_rate_interval
from ml.speech.evaluation.evaluate import HALF, Scored, evaluate_scored, spread
from ml.speech.evaluation.protocol import Split, SplitResult, scored
from ml.speech.frontend.cache import CLEAN, CODEC, codec_variants
from ml.speech.models.base import MIN_CONFIDENCE, MIN_SPEECH
from ml.speech.models.registry import REFERENCE, own_model_names
from services.learning.speech.best import best_of

_SPREAD_ONLY = 1
"""Resamples where no interval is asked for."""


@dataclass(frozen=True)
class Plan:
    """What is trained and evaluated.

    Attributes:
        manifest: All clips.
        models: Their names.
        pairs: Source against source.
        by_speaker: The bilingual sources, by speaker.
        curve: Points of the learning curves, and the pairs that are their end.
        left_out: Models that cannot be used here, with what to install.
    """

    manifest: Manifest
    models: tuple[str, ...]
    pairs: list[Split]
    by_speaker: list[Split]
    curve: list[Point]
    curve_end: list[Split]
    left_out: dict[str, str]

    @property
    def splits(self) -> list[Split]:
        """Everything there is to train, each once."""
        others = [split for point in self.curve for split in point.splits]
        listed: dict[str, Split] = {}
        for split in (*self.pairs, *self.by_speaker, *self.curve_end, *others):
            listed.setdefault(split.name, split)
        return list(listed.values())


def measure(
    plan: Plan, results: Sequence[SplitResult], *, seeds: int, codecs: bool
) -> dict[str, Any]:
    """Evaluate every model's predictions; return JSON values.

    Args:
        plan: What was trained.
        results: Its trainings, as many of each model, in the same order.
        seeds: How many were requested.
        codecs: Whether the clips went through every codec.

    Raises:
        LearningError: The results are of other clips.
    """
    of = {name: [result for result in results if result.model == name] for name in plan.models}
    by_pairs = {name: _of_splits(of[name], [s.name for s in plan.pairs]) for name in plan.models}
    clean = {name: scored(plan.manifest, own) for name, own in by_pairs.items()}
    found = {
        name: _evaluated(plan.manifest, own, clean[name], codecs=codecs)
        | _by_speaker(plan, of[name])
        | _diagnostics(of[name])
        | _curve(plan, of[name])
        for name, own in by_pairs.items()
    }
    reference = clean.get(REFERENCE)
    others = {name: own for name, own in clean.items() if name != REFERENCE}
    return {
        "seeds": seeds,
        "n_clips": len(plan.manifest),
        "n_speakers": len(set(plan.manifest.speakers)),
        "n_sources": len(set(plan.manifest.sources)),
        "n_pairs": len({result.split for result in by_pairs[plan.models[0]]}),
        "n_pairs_planned": len(plan.pairs),
        "manifest_sha256": plan.manifest.sha256,
        "left_out": plan.left_out,
        "rungs": found,
        "beyond_reference": {}
        if reference is None
        else {
            name: interval.as_json()
            for name, interval in accuracy_differences(others, reference).items()
        },
        "sentence": _sentence(found),
    }


def _evaluated(
    manifest: Manifest, results: Sequence[SplitResult], clean: Scored, *, codecs: bool
) -> dict[str, Any]:
    """Evaluate one model's trainings: all seeds together, and how much they differ."""
    each = {
        seed: evaluate_scored(
            scored(manifest, [result for result in results if result.seed == seed]),
            resamples=_SPREAD_ONLY,
        )
        for seed in sorted({result.seed for result in results})
    }
    speech = np.array([value for result in results for value in result.speech]) >= MIN_SPEECH
    sure = np.maximum(clean.p_zh, 1 - clean.p_zh) >= MIN_CONFIDENCE
    found = evaluate_scored(clean).as_json() | {
        "equal_error_rate": error_rate_interval(clean).as_json(),
        "speech_heard": float(speech.mean()),
        "unknown": float((~(speech & sure)).mean()),
        "by_pair": _by_pair(manifest, results),
        "over_seeds": {
            "balanced_accuracy": spread({s: e.balanced_accuracy.value for s, e in each.items()}),
            "worst_source": spread({s: e.worst_source.accuracy for s, e in each.items()}),
        },
    }
    if codecs:
        through = {
            variant.removeprefix(CODEC): scored(manifest, results, variant=variant)
            for variant in codec_variants()
            if variant != CLEAN
        }
        found["by_degradation"] = {
            codec: interval.as_json()
            for codec, interval in accuracy_differences(through, clean).items()
        }
    return found


def _by_pair(manifest: Manifest, results: Sequence[SplitResult]) -> list[dict[str, Any]]:
    """Return how each pair of sources is told, over its seeds; the worst first."""
    found = []
    for split in dict.fromkeys(result.split for result in results):
        own = scored(manifest, _of_splits(results, [split]))
        right = (own.p_zh > HALF) == (own.labels == 1)
        recall = {
            language: float(right[own.labels == label].mean())
            for label, language in enumerate(LANGUAGES)
        }
        found.append(
            {"pair": split, "accuracy": float(np.mean(list(recall.values()))), "recall": recall}
        )
    return sorted(found, key=lambda pair: (pair["accuracy"], pair["pair"]))


def _by_speaker(plan: Plan, results: Sequence[SplitResult]) -> dict[str, Any]:
    """Evaluate the bilingual sources, whose channel was seen and whose speakers were not."""
    own = _of_splits(results, [split.name for split in plan.by_speaker])
    if not own:
        return {}
    return {"by_speaker": evaluate_scored(scored(plan.manifest, own)).as_json()}


def _diagnostics(results: Sequence[SplitResult]) -> dict[str, Any]:
    """Return the diagnostics, averaged over the trainings that went through them."""
    found = [result.diagnostics for result in results if result.diagnostics is not None]
    if not found:
        return {}
    probes = [one["source_probe"] for one in found]
    return {
        "nonspeech_unknown": _mean([one["unknown"] for one in found]),
        # A training that has seen one source of a language says nothing of that language.
        "source_probe": {
            language: _mean(own)
            for language in LANGUAGES
            if (own := [probe[language] for probe in probes if language in probe])
        },
    }


def _mean(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([one[name] for one in values])) for name in values[0]}


def _curve(plan: Plan, results: Sequence[SplitResult]) -> dict[str, Any]:
    """Return the learning curve's points by kind, less data first; all of it is the end of both."""
    if not plan.curve:
        return {}
    end = [split.name for split in plan.curve_end]
    points = [
        (point.kind, point.name, [split.name for split in point.splits]) for point in plan.curve
    ]
    found = []
    for kind, name, names in [*points, ("all", "everything", end)]:
        own = _of_splits(results, names)
        if own:
            found.append({"kind": kind, "name": name} | _point(plan.manifest, own))
    return {"curve": found}


def _point(manifest: Manifest, results: Sequence[SplitResult]) -> dict[str, Any]:
    evaluation = evaluate_scored(scored(manifest, results))
    return {
        "n_splits": len({result.split for result in results}),
        "training_clips": float(np.mean([result.training_clips for result in results])),
        "balanced_accuracy": evaluation.balanced_accuracy.as_json(),
        "worst_source": {
            "name": evaluation.worst_source.name,
            "accuracy": evaluation.worst_source.accuracy,
        },
    }


def _of_splits(results: Sequence[SplitResult], names: Sequence[str]) -> list[SplitResult]:
    wanted = set(names)
    return [result for result in results if result.split in wanted]


def _sentence(found: dict[str, dict[str, Any]]) -> str:
    best = best_of(found)
    worst, accuracy = found[best]["worst_source"], found[best]["balanced_accuracy"]
    sentence = (
        f"Of the source told worst, {worst['name']}, {best} tells {worst['accuracy']:.0%} right"
        f"{_between(worst, '.0%')}; over all sources held out of its training its "
        f"balanced accuracy is {accuracy['value']:.3f}{_between(accuracy, '.3f')}"
    )
    own = {name: values for name, values in found.items() if name in own_model_names()}
    if own and best not in own:
        name = best_of(own)
        value = own[name]["balanced_accuracy"]["value"]
        sentence += f", that of {name}, which knows nothing but the training clips, {value:.3f}"
    if REFERENCE in found and best_of(own) != REFERENCE:
        sentence += f", that of {REFERENCE} {found[REFERENCE]['balanced_accuracy']['value']:.3f}"
    return f"{sentence}."


def _between(interval: Mapping[str, Any], form: str) -> str:
    """Return an interval's ends in brackets; nothing where too few speakers leave it undefined."""
    if interval["low"] is None:
        return ""
    return f" [{interval['low']:{form}}, {interval['high']:{form}}]"
