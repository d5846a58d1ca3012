"""The page of a comparison on a folder: the section on speech, and what else it measures."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from db.queries.speech.counts import ClipCounts
from ml.errors import LearningError
from ml.speech.data.manifest import LANGUAGES, Manifest
from ml.speech.evaluation.evaluate import HALF, Scored
from services.learning.report import formatting
from services.learning.report.charts.speech_curve import curve_panel
from services.learning.report.spectrograms import Examples, SampleArray, chosen
from services.learning.report.speech import SpeechReport, models_of
from services.learning.report.speech_section import render_speech
from services.learning.speech.best import best_of

WORST_PAIRS = 8


def write_page(
    found: Mapping[str, Any], manifest: Manifest, best: Scored, path: Path, *, now: datetime
) -> None:
    """Write a comparison as one HTML file that needs nothing else.

    Args:
        found: The comparison's figures.
        manifest: Its clips.
        best: What the best model answered, for the pictures.
        path: The file.
        now: When it was compared.
    """
    name = best_of(found["rungs"])
    report = SpeechReport(
        sentence=found["sentence"],
        evaluation_id=None,
        evaluated_at=now,
        n_segments=found["n_clips"],
        n_speakers=found["n_speakers"],
        n_sources=found["n_sources"],
        models=models_of(found, {}),
        best=name,
        clips=ClipCounts({}, 0, 0),
        examples=_examples(manifest, best),
        unit="clips",
    )
    page = speech_page(
        report,
        found=found,
        models=list(found["rungs"]),
        best=name,
        sources=_sources(found["rungs"][name]),
        tables=[table for table in _tables(found, name) if table["rows"]],
        curves=_curves(found["rungs"], name),
    )
    path.write_text(page, encoding="utf-8")


def speech_page(
    report: SpeechReport, *, found: Mapping[str, Any] | None = None, **tables: Any
) -> str:
    """Return a page of the section on speech alone.

    Args:
        report: What the section shows.
        found: The figures of a comparison on a folder; None where there was none.
        tables: What is made of these.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals["words"] = formatting
    folder = resources.files("services.learning.report")
    template = environment.from_string((folder / "speech_page.html").read_text("utf-8"))
    section = (folder / "speech.html").read_text("utf-8")
    return template.render(
        # Ours, and inside <style>, where escaping would break it.
        style=Markup((folder / "page.css").read_text("utf-8")),  # noqa: S704
        section=render_speech(environment, section, report),
        found=found,
        **tables,
    )


def _examples(manifest: Manifest, best: Scored) -> Examples:
    """Choose among the answers; a clip that was asked several times counts where it was surest."""
    clips = {clip.clip_id: clip for clip in manifest}
    rows: dict[str, dict[str, Any]] = {}
    for clip_id, p_zh in zip(best.clip_ids, best.p_zh.tolist(), strict=True):
        clip, predicted = clips[clip_id], LANGUAGES[int(p_zh > HALF)]
        known = rows.get(clip_id)
        if known is None or known["probability"] < max(p_zh, 1 - p_zh):
            rows[clip_id] = {
                "language": clip.language,
                "predicted": predicted,
                "probability": max(p_zh, 1 - p_zh),
                "speaker": clip.speaker,
                "source": clip.source,
                "codec": clip.codec,
                "seconds": clip.seconds,
                "snr_db": None if math.isnan(clip.snr) else clip.snr,
                "clip": clip,
            }
    return chosen(list(rows.values()), _decoded)


def _decoded(row: dict[str, Any]) -> SampleArray | None:
    from ml.speech.frontend.cache import decoded_file  # noqa: PLC0415 - PyAV and torch

    try:
        return decoded_file(row["clip"])
    except LearningError:
        return None  # the file went away since: no reason to write no page


def _sources(evaluated: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            part["name"],
            formatting.whole(part["n_speakers"]),
            formatting.share(part["accuracy"]),
            "–"
            if part["low"] is None
            else f"{formatting.share(part['low'])} to {formatting.share(part['high'])}, by"
            f" {part['drawn']}",
            formatting.share(part["equal_error_rate"]),
            formatting.decimal(part["ece"]),
        )
        for part in sorted(evaluated["by_source"], key=lambda part: part["accuracy"])
    ]


def _tables(found: Mapping[str, Any], best: str) -> list[dict[str, Any]]:
    """Return the further tables, a column for each model: title, a word on it, rows."""
    models = found["rungs"]
    kinds = {
        kind for evaluated in models.values() for kind in evaluated.get("nonspeech_unknown", {})
    }
    languages = [lang for lang in LANGUAGES if any(_probe(j, lang) for j in models.values())]
    codecs = models[best].get("by_degradation", {})
    pairs = models[best]["by_pair"][:WORST_PAIRS]
    return [
        {
            "title": "Through a codec",
            "note": "balanced accuracy, less that of the clips as they come",
            "rows": [
                (
                    codec,
                    [_signed(evaluated["by_degradation"][codec]) for evaluated in models.values()],
                )
                for codec in codecs
            ],
        },
        {
            "title": "Called unknown",
            "note": "drawn sounds that nobody speaks in, and the speech itself",
            "rows": [
                (
                    kind,
                    [_percent(j.get("nonspeech_unknown", {}).get(kind)) for j in models.values()],
                )
                for kind in sorted(kinds)
            ]
            + [("speech", [_percent(evaluated["unknown"]) for evaluated in models.values()])],
        },
        {
            "title": "Does the embedding know the source?",
            "note": "clips whose source a probe names; by chance in brackets",
            "rows": [
                (
                    {"en": "English", "zh": "Chinese"}[language],
                    [_named(_probe(evaluated, language)) for evaluated in models.values()],
                )
                for language in languages
            ],
        },
        {
            "title": "Same people, both languages",
            "note": "balanced accuracy on speakers left out",
            "rows": [("by speaker", [_between(evaluated) for evaluated in models.values()])]
            if "by_speaker" in models[best]
            else [],
        },
        {
            "title": "Over seeds",
            "note": "mean and deviation of the balanced accuracy",
            "rows": [("seeds", [_spread(evaluated) for evaluated in models.values()])]
            if found["seeds"] > 1
            else [],
        },
        {
            "title": "The hardest pairs",
            "note": f"left out together; the worst of {len(models[best]['by_pair'])} for {best}",
            "rows": [
                (pair["pair"], [_of_pair(evaluated, pair["pair"]) for evaluated in models.values()])
                for pair in pairs
            ],
        },
    ]


def _curves(models: Mapping[str, Mapping[str, Any]], best: str) -> list[tuple[str, Markup]]:
    curves = {
        name: evaluated["curve"] for name, evaluated in models.items() if evaluated.get("curve")
    }
    return [
        (title, curve_panel(f"speech-curve-{kind}", curves, best, kind=kind))
        for kind, title in (("clips", "Fewer clips of each source"), ("sources", "Fewer sources"))
        if any(point["kind"] == kind for curve in curves.values() for point in curve)
    ]


def _probe(evaluated: Mapping[str, Any], language: str) -> Mapping[str, float]:
    known: Mapping[str, float] = evaluated.get("source_probe", {}).get(language, {})
    return known


def _named(probe: Mapping[str, float]) -> str:
    if not probe:
        return "–"
    return f"{formatting.share(probe['accuracy'])} ({formatting.share(probe['chance'])})"


def _signed(interval: Mapping[str, float | None]) -> str:
    value, low, high = (interval[name] for name in ("value", "low", "high"))
    assert value is not None
    shown = formatting.decimal(value, signed=True)
    if low is None or high is None:
        return shown
    ends = (formatting.decimal(end, signed=True) for end in (low, high))
    return f"{shown} [{', '.join(ends)}]"


def _percent(value: float | None) -> str:
    return "–" if value is None else formatting.share(value)


def _between(evaluated: Mapping[str, Any]) -> str:
    found = evaluated.get("by_speaker", {}).get("balanced_accuracy")
    if found is None:
        return "–"
    ends = (formatting.decimal(found[name]) for name in ("low", "high") if found[name] is not None)
    return f"{formatting.decimal(found['value'])} [{', '.join(ends)}]"


def _spread(evaluated: Mapping[str, Any]) -> str:
    over = evaluated["over_seeds"]["balanced_accuracy"]
    return f"{formatting.decimal(over['mean'])} ± {formatting.decimal(over['deviation'])}"


def _of_pair(evaluated: Mapping[str, Any], name: str) -> str:
    pairs: Sequence[Mapping[str, Any]] = evaluated["by_pair"]
    return next(formatting.share(pair["accuracy"]) for pair in pairs if pair["pair"] == name)
