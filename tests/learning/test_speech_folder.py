"""Comparing speech models on a folder of clips: by one command, without a database, resumable."""

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ml.speech.manifest import Manifest
from services.cli.main import app
from services.errors import UsageError
from services.learning.speech.folder import Request, compare
from tests.support.speech import write_clips


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
    write_index(path, write_clips(path, clips=1))
    return path


@pytest.mark.slow
def test_one_command_leaves_sources_out_and_goes_on_where_it_stopped(folder: Path, tmp_path: Path):
    out = tmp_path / "out"
    request = Request(folder, out, rungs=("spectrogram_cnn",), codecs=False)
    told: list[str] = []
    found = compare(request, progress=lambda _done, _total, message: told.append(message))
    assert (found["n_pairs"], found["n_sources"], found["seeds"]) == (3, 7, 1)
    judged = found["rungs"]["spectrogram_cnn"]
    assert sum(map(sum, judged["confusion"])) == 3 * 2 * 2
    assert {part["name"] for part in judged["by_source"]} == {
        f"{language}{number} ({language})" for language in ("en", "zh") for number in range(3)
    }
    assert judged["by_speaker"]["n"] == 6
    assert judged["over_seeds"]["balanced_accuracy"]["deviation"] == 0
    assert any("without en0+zh" in message for message in told)
    for line in (out / "trainings.jsonl").read_text("utf-8").splitlines():
        assert json.loads(line)["training_clips"] > 0

    trainings = (out / "trainings.jsonl").read_bytes()
    words = ("compare", "speech", "--folder", str(folder), "--out", str(out))
    ran = CliRunner().invoke(app, [*words, "--rungs", "spectrogram_cnn"])
    assert ran.exit_code == 0, ran.output
    assert ran.stdout.startswith(found["sentence"])
    kept = json.loads((out / "comparison.json").read_text("utf-8"))
    assert kept["rungs"] == json.loads(json.dumps(found["rungs"]))
    assert (out / "trainings.jsonl").read_bytes() == trainings  # nothing was trained again


def test_a_folder_or_a_name_that_cannot_be_says_what_to_do(folder: Path, tmp_path: Path):
    with pytest.raises(UsageError, match=r"clips\.csv") as refused:
        compare(Request(tmp_path, tmp_path / "out"))
    assert "clip_file" in str(refused.value.hint)
    with pytest.raises(UsageError, match="no speech model"):
        compare(Request(folder, tmp_path / "out", rungs=("best",)))
    with pytest.raises(UsageError, match="pairs"):
        compare(Request(folder, tmp_path / "out", pairs="some"))
    ran = CliRunner().invoke(app, ["compare", "--folder", str(folder)])
    assert ran.exit_code == 2
