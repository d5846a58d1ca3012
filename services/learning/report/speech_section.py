"""The section on speech: what its template is given, ready to be read."""

import math
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from ml.evaluation.bootstrap import Interval
from ml.speech.data.manifest import LANGUAGES
from ml.speech.models.registry import speech_model_specs
from services.learning.report import formatting
from services.learning.report.charts.calibration import calibration_panel
from services.learning.report.charts.speech import MARKS, MOST_SOURCES, sources_panel
from services.learning.report.spectrograms import SECONDS
from services.learning.report.speech import (
    SLICES,
    Missing,
    SpeechModelResult,
    SpeechReport,
)

NAMES = {"en": "English", "zh": "Chinese", "unknown": "unknown"}
WIDE, NARROW = 760.0, 360.0
FEW = 20
"""A slice of fewer segments says little."""
_SIGNS = {"s": "■", "D": "◆", "^": "▲"}


def render_speech(
    environment: Environment, template: str, speech: SpeechReport | Missing
) -> Markup:
    """Return the section's HTML.

    Args:
        environment: Escapes whatever comes from elsewhere: sources are named by others.
        template: Of the section.
        speech: What to show, or what is missing.
    """
    given = {"missing": speech} if isinstance(speech, Missing) else _given(speech)
    # The environment escaped what had to be.
    return Markup(environment.from_string(template).render(**{"missing": None} | given))  # noqa: S704


def _given(speech: SpeechReport) -> dict[str, Any]:
    shown = speech.compared
    others = [model.name for model in shown if model.name != speech.best]
    return {
        "speech": speech,
        "names": NAMES,
        "lede": _lede(speech),
        "table": [_row(model, speech) for model in speech.models],
        "sources": [
            (css, sources_panel(f"speech-sources-{css}", shown, speech.best, width=width))
            for css, width in (("wide", WIDE), ("narrow", NARROW))
        ],
        "marks": [
            (_SIGNS[MARKS[place % len(MARKS)]], "other" if place % 2 else "", name)
            for place, name in enumerate(others)
        ],
        "most_sources": MOST_SOURCES
        if len(speech.model(speech.best).by_source) > MOST_SOURCES
        else None,
        "confusions": [(model.name, _confusion(model)) for model in shown],
        "reliability": [
            (
                model.name,
                f"calibration error {formatting.decimal(model.ece)}",
                calibration_panel(
                    model.name,
                    model.reliability,
                    is_best=model.name == speech.best,
                    what=speech.unit,
                    prefix="speech-calibration",
                ),
            )
            for model in shown
            if model.reliability
        ],
        "slices": [(title, _slices(kind, shown, speech.best)) for kind, title in SLICES.items()],
        "shown": [model.name for model in shown],
        "few": FEW,
        "sides": [
            ("Told wrong", "the surest mistakes", speech.examples.wrong),
            ("Told right", "the surest, the languages in turn", speech.examples.right),
        ],
        "seconds": f"{SECONDS:g}",
        "clips": _clips(speech),
    }


def _lede(speech: SpeechReport) -> str:
    return (
        f"{formatting.whole(speech.n_segments)} {speech.unit} of"
        f" {formatting.whole(speech.n_speakers)} speakers from"
        f" {formatting.whole(speech.n_sources)} sources, each evaluated by a training that"
        " heard neither the speaker nor the source. Whoever guesses is right half of the time."
    )


def _row(model: SpeechModelResult, speech: SpeechReport) -> dict[str, Any]:
    summaries = {spec.name: spec.summary for spec in speech_model_specs()}
    worst = model.worst_source
    return {
        "name": model.name if model.version is None else f"{model.name} v{model.version}",
        "what": summaries.get(model.name, ""),
        "is_best": model.name == speech.best,
        "cells": [
            (formatting.share(worst.accuracy), formatting.one_line(worst.name, "unnamed")),
            _cell(model.balanced_accuracy),
            ("–", "") if model.difference is None else _cell(model.difference, signed=True),
            _cell(model.equal_error_rate),
            (formatting.decimal(model.ece), ""),
            (formatting.share(model.unknown), ""),
        ],
    }


def _confusion(model: SpeechModelResult) -> list[tuple[str, list[tuple[str, str, bool]]]]:
    """Return for each language what it was taken for: a share, a count, whether that is right."""
    rows = []
    for truth, language in enumerate(LANGUAGES):
        total = sum(model.confusion[truth])
        rows.append(
            (
                NAMES[language],
                [
                    (
                        formatting.share(n / total) if total else "–",
                        formatting.whole(n),
                        answer == truth,
                    )
                    for answer, n in enumerate(model.confusion[truth])
                ],
            )
        )
    return rows


def _slices(
    kind: str, models: Sequence[SpeechModelResult], best: str
) -> list[tuple[str, str, bool, list[tuple[str, bool]]]]:
    """Return name, count, whether it is small, and each model's accuracy."""
    by_name = {
        model.name: {part.name: part.accuracy for part in model.slices[kind]} for model in models
    }
    evaluated = next(model for model in models if model.name == best)
    return [
        (
            formatting.one_line(part.name, "unnamed"),
            formatting.whole(part.n),
            part.n < FEW,
            [
                (formatting.share(by_name[r.name].get(part.name, math.nan)), r.name == best)
                for r in models
            ],
        )
        for part in evaluated.slices[kind]
    ]


def _clips(speech: SpeechReport) -> str:
    """Say what the best model hears in all that was collected."""
    counts = speech.clips
    total = sum(counts.by_language.values())
    if not total:
        return ""
    heard = ", ".join(
        f"{formatting.whole(counts.by_language[language])} {name}"
        for language, name in NAMES.items()
        if language in counts.by_language
    )
    agrees = (
        f" It agrees with the label of {formatting.share(counts.agreeing / counts.labelled)} of the"
        f" {formatting.whole(counts.labelled)} that are said to speak some language."
        if counts.labelled
        else ""
    )
    return f"Of {formatting.whole(total)} clips collected, {speech.best} hears {heard}.{agrees}"


def _cell(interval: Interval, *, signed: bool = False) -> tuple[str, str]:
    return formatting.decimal(interval.value, signed=signed), formatting.limits(
        interval, signed=signed
    )
