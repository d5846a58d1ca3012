"""The section on speech: what its template is given, ready to be read."""

import math
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from ml.evaluation.bootstrap import Interval
from ml.speech.data.manifest import LANGUAGES
from services.learning.report import formatting
from services.learning.report.charts.calibration import calibration_panel
from services.learning.report.charts.speech import MARKS, MOST_SOURCES, sources_panel
from services.learning.report.spectrograms import SECONDS
from services.learning.report.speech import (
    SLICES,
    Missing,
    SpeechReport,
    SpeechRungResult,
)

NAMES = {"en": "English", "zh": "Chinese", "unknown": "unknown"}
IS = {
    "spectrogram_cnn": "a plain CNN on spectrograms, the reference",
    "crnn": "the same with a recurrent layer over time",
    "tdnn": "a small TDNN on bands and pitch",
    "blend": "the CNN and the TDNN together",
    "pretrained_encoder": "a linear head on an encoder that others trained",
}
"""What each model is."""
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
    others = [rung.name for rung in shown if rung.name != speech.best]
    return {
        "speech": speech,
        "names": NAMES,
        "lede": _lede(speech),
        "table": [_row(rung, speech) for rung in speech.rungs],
        "sources": [
            (css, sources_panel(f"speech-sources-{css}", shown, speech.best, width=width))
            for css, width in (("wide", WIDE), ("narrow", NARROW))
        ],
        "marks": [
            (_SIGNS[MARKS[place % len(MARKS)]], "other" if place % 2 else "", name)
            for place, name in enumerate(others)
        ],
        "most_sources": MOST_SOURCES
        if len(speech.rung(speech.best).by_source) > MOST_SOURCES
        else None,
        "confusions": [(rung.name, _confusion(rung)) for rung in shown],
        "reliability": [
            (
                rung.name,
                f"calibration error {formatting.decimal(rung.ece)}",
                calibration_panel(
                    rung.name,
                    rung.reliability,
                    is_best=rung.name == speech.best,
                    what=speech.unit,
                    prefix="speech-calibration",
                ),
            )
            for rung in shown
            if rung.reliability
        ],
        "slices": [(title, _slices(kind, shown, speech.best)) for kind, title in SLICES.items()],
        "shown": [rung.name for rung in shown],
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
        f" {formatting.whole(speech.n_sources)} sources, each judged by a training that"
        " heard neither the speaker nor the source. Whoever guesses is right half of the time."
    )


def _row(rung: SpeechRungResult, speech: SpeechReport) -> dict[str, Any]:
    worst = rung.worst_source
    return {
        "name": rung.name if rung.version is None else f"{rung.name} v{rung.version}",
        "what": IS.get(rung.name, ""),
        "is_best": rung.name == speech.best,
        "cells": [
            (formatting.share(worst.accuracy), formatting.one_line(worst.name, "unnamed")),
            _cell(rung.balanced_accuracy),
            ("–", "") if rung.difference is None else _cell(rung.difference, signed=True),
            _cell(rung.equal_error_rate),
            (formatting.decimal(rung.ece), ""),
            (formatting.share(rung.unknown), ""),
        ],
    }


def _confusion(rung: SpeechRungResult) -> list[tuple[str, list[tuple[str, str, bool]]]]:
    """Return for each language what it was taken for: a share, a count, whether that is right."""
    rows = []
    for truth, language in enumerate(LANGUAGES):
        total = sum(rung.confusion[truth])
        rows.append(
            (
                NAMES[language],
                [
                    (
                        formatting.share(n / total) if total else "–",
                        formatting.whole(n),
                        answer == truth,
                    )
                    for answer, n in enumerate(rung.confusion[truth])
                ],
            )
        )
    return rows


def _slices(
    kind: str, rungs: Sequence[SpeechRungResult], best: str
) -> list[tuple[str, str, bool, list[tuple[str, bool]]]]:
    """Return name, count, whether it is small, and each model's accuracy."""
    by_name = {
        rung.name: {part.name: part.accuracy for part in rung.slices[kind]} for rung in rungs
    }
    judged = next(rung for rung in rungs if rung.name == best)
    return [
        (
            formatting.one_line(part.name, "unnamed"),
            formatting.whole(part.n),
            part.n < FEW,
            [
                (formatting.share(by_name[r.name].get(part.name, math.nan)), r.name == best)
                for r in rungs
            ],
        )
        for part in judged.slices[kind]
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
