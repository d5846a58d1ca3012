"""The report's section on speech: sentence, figures and pictures, or what is missing for them."""

import re
import subprocess
import sys
from dataclasses import replace

import pytest

from ml.evaluation.bootstrap import Interval
from ml.speech.models.registry import speech_model_names
from services.learning.report.page import render
from services.learning.report.spectrograms import Examples
from services.learning.report.speech import (
    NOTHING_COLLECTED,
    NOTHING_COMPARED,
    NOTHING_TRAINED,
    Part,
    models_of,
)
from tests.support.report_contents import UNDEFINED, Page, report_of
from tests.support.speech_report import MODELS, speech_report_of

HOSTILE = (
    "<script>alert(1)</script> {{ 7*7 }} </style></bdi> $\\frac{1}{0}$ \u202egnirts & " + "W" * 500
)


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render(report_of(), speech_report_of()))


def test_the_sentence_comes_first_and_every_model_has_its_row(page: Page) -> None:
    speech = speech_report_of()
    assert [e.text for e in page.all("p", "finding")] == [speech.sentence]
    table = " ".join(page.all("table", "six")[0].text.split())
    for place, (name, accuracy) in enumerate(MODELS.items(), start=1):
        assert f"{name} v{place}" in table
        assert f"{accuracy:.3f} [{accuracy - 0.04:.3f}, {accuracy + 0.03:.3f}]" in table
    assert "Of 230 clips collected, tdnn hears 120 English, 98 Chinese, 12 unknown." in page.text
    assert "the label of 86\N{NO-BREAK SPACE}% of the 200" in page.text.replace("86 %", "86\xa0%")


def test_figures_say_what_they_show_and_ids_are_used_once(page: Page) -> None:
    assert page.repeated_ids == []
    texts = {e.attributes["id"]: e.text for e in page.elements if "id" in e.attributes}
    assert "A channel of talks 0 (en)" in texts["speech-sources-wide-desc"]
    assert "spectrogram_cnn" in texts["speech-sources-narrow-desc"]
    assert "segments predicted" in texts["speech-calibration-crnn-desc"]
    spectrograms = [e for e in page.all("img") if "Spectrogram" in e.attributes["alt"]]
    assert [e.attributes["alt"] for e in spectrograms[:1] + spectrograms[-1:]] == [
        "Spectrogram of English speech that tdnn takes for Chinese",
        "Spectrogram of English speech that tdnn takes for English",
    ]
    assert all(e.attributes["src"].startswith("data:image/jpeg;base64,") for e in spectrograms)


def test_confusion_and_slices_stand_beside_each_other(page: Page) -> None:
    assert len(page.all("table", "confusion")) == 3
    slices = " ".join(e.text for e in page.all("table", "slices"))
    for name in ("under 3 s", "opus", "under 10 dB", "40 dB or more"):
        assert name in slices
    assert page.all("tr", "small")


@pytest.mark.parametrize("missing", [NOTHING_COLLECTED, NOTHING_TRAINED, NOTHING_COMPARED])
def test_without_speech_the_section_says_what_to_run(missing) -> None:
    page = Page(render(report_of(), missing))
    assert missing.what in page.text
    codes = [e.text for e in page.all("code")]
    assert set(missing.commands) <= set(codes)
    assert not page.all("table", "six")


def test_names_from_elsewhere_stay_text() -> None:
    found = Page(render(report_of(), speech_report_of(source=HOSTILE, sources=30)))
    assert not found.all("script")
    assert "49" not in found.all("table", "six")[0].text
    assert "the 20 worst of 30" in found.text
    assert not re.search("\u202e", found.source)


def test_a_report_needs_no_package_that_only_speech_needs() -> None:
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(('torchaudio', 'av', 'onnxruntime')))\n"
        "import services.learning.report.page, services.learning.report\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)


def test_models_are_shown_in_the_order_of_the_registry() -> None:
    metrics = {
        "balanced_accuracy": {"value": 0.9, "low": None, "high": None},
        "equal_error_rate": {"value": 0.1, "low": None, "high": None},
        "ece": 0.0,
        "unknown": 0.0,
        "worst_source": {"name": "one (en)", "n": 1, "accuracy": 1.0},
        "confusion": [[1, 0], [0, 1]],
    } | {kind: [] for kind in ("by_source", "by_length", "by_codec", "by_snr", "reliability")}
    names = speech_model_names()
    detail = {"rungs": dict.fromkeys(reversed(names), metrics), "beyond_reference": {}}
    assert tuple(model.name for model in models_of(detail, {})) == names


def test_undefined_figures_are_dashes_and_no_error() -> None:
    speech = speech_report_of(examples=0)
    undefined = [
        replace(
            model,
            version=None,
            balanced_accuracy=Interval(0.5, float("nan"), float("nan")),
            equal_error_rate=UNDEFINED,
            difference=UNDEFINED,
            confusion=[[0, 0], [0, 0]],
            reliability=[],
            slices={kind: [] for kind in model.slices},
            by_source=[Part("one (en)", 1, 1.0)],
        )
        for model in speech.models
    ]
    page = Page(render(report_of(), replace(speech, models=undefined, examples=Examples([], []))))
    assert "nan" not in page.text
    assert "No spectrograms" in page.text
