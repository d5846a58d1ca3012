"""Training one speech model on a folder of clips, and asking it about a file."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.cli.main import app
from services.errors import UsageError
from services.learning.speech.folder_training import Request, train
from tests.learning.speech.test_speech_folder import write_index
from tests.support.speech import write_clips


def test_a_model_of_a_folder_is_saved_and_classifies_files(tmp_path: Path):
    recordings, out = tmp_path / "recordings", tmp_path / "out"
    recordings.mkdir()
    manifest = write_clips(recordings, clips=1)
    write_index(recordings, manifest)
    words = ["train", "speech", "--folder", str(recordings), "--out", str(out)]
    ran = CliRunner().invoke(app, [*words, "--model", "spectrogram_cnn", "--json"])
    assert ran.exit_code == 0, ran.output
    trained = json.loads(ran.stdout)
    assert (trained["n_clips"], len(trained["sources"])) == (len(manifest), 7)
    model = Path(trained["model"])
    networks = {file: file.read_bytes() for file in (out / "networks").iterdir()}
    weights = (model / "model.safetensors").read_bytes()

    again = CliRunner().invoke(app, [*words, "--rung", "spectrogram_cnn"])
    assert f"tubegrader audio classify --model {model}" in again.stdout
    assert {file: file.read_bytes() for file in (out / "networks").iterdir()} == networks
    assert (model / "model.safetensors").read_bytes() == weights

    clip = recordings / manifest.clips[0].clip_id
    heard = CliRunner().invoke(app, ["language", str(clip), "--model", str(model), "--json"])
    found = json.loads(heard.stdout)
    assert found["model"] == {"rung": "spectrogram_cnn", "version": None}
    assert found["failed"] == 0


def test_what_cannot_be_trained_on_is_said(tmp_path: Path):
    with pytest.raises(UsageError, match=r"clips\.csv") as refused:
        train(Request(tmp_path, tmp_path / "out", "tdnn"))
    assert refused.value.reason == "manifestUnreadable"
    write_index(tmp_path, write_clips(tmp_path, clips=1))
    with pytest.raises(UsageError, match="no speech model 'nothing'"):
        train(Request(tmp_path, tmp_path / "out", "nothing"))
    ran = CliRunner().invoke(app, ["train", "--folder", str(tmp_path)])
    assert ran.exit_code == 2
    assert "train speech" in ran.output
