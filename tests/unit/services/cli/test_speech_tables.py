"""What ``compare speech`` prints of what the database recorded, now and before slices had more."""

from typing import Any

import numpy as np
import pytest

from ml.speech.evaluation.evaluate import Scored, evaluate_scored
from services.cli.speech_tables import print_comparison


def recorded() -> dict[str, Any]:
    """Return a comparison as the database keeps it."""
    generator = np.random.default_rng(3)
    labels = np.arange(120) % 2
    scored = Scored(
        clip_ids=[str(n) for n in range(120)],
        labels=labels,
        p_zh=np.clip(0.25 + 0.5 * labels + generator.normal(0, 0.2, 120), 0.01, 0.99),
        speakers=[f"s{n % 12}" for n in range(120)],
        sources=[f"talks [{'en' if n % 2 == 0 else 'zh'}] {n % 4}" for n in range(120)],
        codecs=["opus" if n % 3 else "aac" for n in range(120)],
        seconds=generator.uniform(2, 9, 120),
        snr=generator.uniform(0, 50, 120),
    )
    judged = evaluate_scored(scored, resamples=50).as_json() | {"unknown": 0.125}
    return {
        "sentence": "Of the source told worst …",
        "n_segments": 120,
        "n_speakers": 12,
        "n_sources": 4,
        "rungs": {"crnn": judged},
        "beyond_reference": {"crnn": {"value": 0.1, "low": None, "high": None}},
    }


def test_each_question_has_its_table(capsys: pytest.CaptureFixture[str]) -> None:
    print_comparison(recorded())
    shown = capsys.readouterr().out
    assert shown.startswith("Of the source told worst …")
    for title in (
        "Calibration of crnn",
        "Each source as crnn tells it",
        "Told right by length",
        "Told right by codec",
        "Told right by SNR",
        "Called unknown",
    ):
        assert title in shown
    assert "+0.100" in shown
    assert "12.5 %" in shown
    assert "talks [en] 0 (en)" in shown  # a name is no markup
    assert "120 segments of 12 speakers from 4 sources" in shown
    for title in ("Over seeds", "through a codec", "With less to learn from", "left out together"):
        assert title not in shown


def test_what_was_recorded_before_slices_had_intervals_is_still_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    old = recorded()
    judged = old["rungs"]["crnn"]
    for part in (
        judged["worst_source"],
        *(
            part
            for kind in ("by_source", "by_length", "by_codec", "by_snr")
            for part in judged[kind]
        ),
    ):
        for name in ("low", "high", "drawn", "ece", "equal_error_rate", "confusion", "n_speakers"):
            part.pop(name, None)
    del old["beyond_reference"]
    print_comparison(old)
    assert "Told right by source" in capsys.readouterr().out
