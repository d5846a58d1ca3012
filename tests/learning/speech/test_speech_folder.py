"""Comparing speech models on a folder of clips: by one command, without a database, resumable."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ml.speech.augmentation.nonspeech import KINDS
from ml.speech.data.manifest import Manifest
from ml.speech.evaluation import diagnostics
from ml.speech.models.registry import left_out_models, own_model_names
from ml.speech.models.spectrogram_cnn import SpectrogramCnnModel
from ml.speech.pretrained import encoder
from services.cli.main import app
from services.errors import PermanentError, UsageError
from services.learning.report.charts.speech_curve import curve_panel
from services.learning.speech.folder import Request, compare
from tests.support.report_contents import Page
from tests.support.speech import TINY, write_clips


def write_index(folder: Path, manifest: Manifest) -> None:
    with (folder / "clips.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        names = ("clip_file", "language", "speaker_id", "source", "original_encoding", "duration_s")
        writer.writerow(names)
        for c in manifest:
            writer.writerow([c.clip_id, c.language, c.speaker, c.source, c.codec, c.seconds])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips")
    write_index(path, write_clips(path, clips=2))
    return path


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train for one pass and draw few sounds: what is learned is not the question here."""
    own = replace(TINY, epochs=1, calibrated=False)
    monkeypatch.setattr(SpectrogramCnnModel, "default", own)
    monkeypatch.setattr(diagnostics, "SOUNDS", 2)


@pytest.mark.slow
def test_one_command_leaves_sources_out_and_goes_on_where_it_stopped(folder: Path, tmp_path: Path):
    out = tmp_path / "out"
    request = Request(folder, out, models=("spectrogram_cnn",), codecs=False)
    told: list[str] = []
    found = compare(request, progress=lambda _done, _total, message: told.append(message))
    assert (found["n_pairs"], found["n_sources"], found["seeds"]) == (3, 7, 1)
    judged = found["rungs"]["spectrogram_cnn"]
    assert sum(map(sum, judged["confusion"])) == 3 * 2 * 2 * 2
    assert {part["name"] for part in judged["by_source"]} == {
        f"{language}{number} ({language})" for language in ("en", "zh") for number in range(3)
    }
    assert judged["by_speaker"]["n"] == 12
    assert judged["over_seeds"]["balanced_accuracy"]["deviation"] == 0
    assert any("without en0+zh" in message for message in told)
    assert [pair["accuracy"] for pair in judged["by_pair"]] == sorted(
        pair["accuracy"] for pair in judged["by_pair"]
    )
    assert set(judged["nonspeech_unknown"]) == set(KINDS)
    assert set(judged["source_probe"]) == {"en", "zh"}
    assert judged["source_probe"]["en"]["chance"] == 1 / 4
    for line in (out / "trainings.jsonl").read_text("utf-8").splitlines():
        assert json.loads(line)["training_clips"] > 0

    trainings = (out / "trainings.jsonl").read_bytes()
    words = ("compare", "speech", "--folder", str(folder), "--out", str(out))
    ran = CliRunner().invoke(app, [*words, "--models", "spectrogram_cnn"])
    assert ran.exit_code == 0, ran.output
    assert ran.stdout.startswith(found["sentence"])
    kept = json.loads((out / "comparison.json").read_text("utf-8"))
    assert kept["rungs"] == json.loads(json.dumps(found["rungs"]))
    assert (out / "trainings.jsonl").read_bytes() == trainings  # nothing was trained again

    page = Page((out / "comparison.html").read_text("utf-8"))
    assert page.repeated_ids == []
    assert not page.all("script")
    assert found["sentence"] in page.text
    assert "clips of " in page.text
    assert [e for e in page.all("img") if "Spectrogram" in e.attributes["alt"]]
    for heading in ("Called unknown", "Does the embedding know the source?", "The hardest pairs"):
        assert heading in page.text

    unfinished = replace(request, models=("spectrogram_cnn", "crnn"), finished=True)
    with pytest.raises(PermanentError, match="no pair") as refused:
        compare(unfinished)
    assert refused.value.reason == "nothingFinished"


@pytest.mark.slow
def test_the_learning_curve_ends_at_what_was_trained_already(folder: Path, tmp_path: Path):
    request = Request(folder, tmp_path / "out", models=("spectrogram_cnn",))
    first = compare(request)["rungs"]["spectrogram_cnn"]
    told: list[tuple[int, int, str]] = []
    curved = replace(request, curve=True)
    judged = compare(curved, progress=lambda *step: told.append(step))["rungs"]["spectrogram_cnn"]
    points = judged["curve"]
    figure = curve_panel("curve", {"spectrogram_cnn": points}, "spectrogram_cnn", kind="sources")
    assert f"from {points[-1]['training_clips']:.0f} clips" in figure
    assert points[-1]["name"] == "everything"
    assert points[-1]["balanced_accuracy"] == first["balanced_accuracy"]
    assert all(point["training_clips"] < points[-1]["training_clips"] for point in points[:-1])
    assert told[-1][0] == told[-1][1] == 3 + 3 + 3 * (len(points) - 1)  # quick, speakers, curve


def test_models_that_are_not_installed_are_left_out_and_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(encoder, "find_spec", lambda _name: None)
    assert "pip install" in left_out_models()["pretrained_encoder"]
    with pytest.raises(PermanentError, match=", ".join(own_model_names())) as refused:
        compare(Request(folder, tmp_path / "out", finished=True))
    assert "pretrained_encoder" not in str(refused.value)
    monkeypatch.setattr(encoder, "find_spec", lambda _name: object())
    monkeypatch.setattr(encoder, "weights_in_the_wheel", Path)
    with pytest.raises(PermanentError, match="blend, pretrained_encoder"):
        compare(Request(folder, tmp_path / "out", finished=True))


def test_a_folder_or_a_name_that_cannot_be_says_what_to_do(folder: Path, tmp_path: Path):
    with pytest.raises(UsageError, match=r"clips\.csv") as refused:
        compare(Request(tmp_path, tmp_path / "out"))
    assert "clip_file" in str(refused.value.hint)
    with pytest.raises(UsageError, match="no speech model"):
        compare(Request(folder, tmp_path / "out", models=("best",)))
    with pytest.raises(UsageError, match="pairs"):
        compare(Request(folder, tmp_path / "out", pairs="some"))
    ran = CliRunner().invoke(app, ["compare", "--folder", str(folder)])
    assert ran.exit_code == 2
