"""Nights of speech: the same evaluation, on speech that neither model saw."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from ml.speech.evaluation.champion_challenger import (
    HeldOut,
    evaluate_challenger,
    fair_rows,
    is_enough,
)
from services.cli.main import app
from services.context import Context
from services.learning.speech.classifier import from_registry
from tests.support.cli import settings_of
from tests.support.speech_jobs import SPEAKERS, collect, rows, run


def test_speech_has_a_champion_of_its_own_which_is_replaced_only_by_one_that_is_no_worse(
    context: Context, monkeypatch: pytest.MonkeyPatch
):
    for speaker in SPEAKERS:
        collect(context, speaker, segments=7)
    learned = {"rungs": ["spectrogram_cnn"], "epochs": 12}
    first = run(context, "retrain", learned)
    assert first.state == "succeeded", first.error_message
    told = first.steps["contest"]
    assert (told["decision"], told["ground"]) == ("promoted", "firstChampion")
    again = run(context, "retrain", learned)
    assert again.steps["contest"]["ground"] == "sameTraining"
    worse = run(context, "retrain", learned | {"epochs": 1, "seed": 1}).steps["contest"]
    assert worse["decision"] == "kept"
    assert champion(context) == "spectrogram_cnn@1"
    read = rows(context, "SELECT DISTINCT model_version, ladder, is_champion FROM language_results")
    assert read == [(1, "champion", True)]
    other = run(context, "retrain", learned | {"epochs": 14}).steps["contest"]
    [(figures,)] = rows(
        context, "SELECT figures FROM promotion_history ORDER BY promotion_id DESC LIMIT 1"
    )
    assert figures["n_rows"] == 42
    assert figures["measures"]["balanced_accuracy"]["champion"] > 0.8
    promoted = other["decision"] == "promoted"
    assert champion(context) == f"spectrogram_cnn@{3 if promoted else 1}"
    assert promoted == (other["ground"] in ("better", "noWorse"))
    assert from_registry(context).version == (3 if promoted else 1)
    for name, value in settings_of(context).items():
        monkeypatch.setenv(name, value)
    card = CliRunner().invoke(app, ["models", "show", "champion", "--task", "speech", "--card"])
    assert "42 segments of 6 speakers" in card.output
    assert "Any third language" in card.output
    listed = CliRunner().invoke(app, ["models", "list", "--task", "speech", "--json"])
    assert {m["task"] for m in json.loads(listed.output)["models"]} == {"speech"}


def champion(context: Context) -> str:
    [(name,)] = rows(
        context, "SELECT rung || '@' || version FROM champion_ladders WHERE is_champion"
    )
    return name


def held_out(speakers: int, each: int) -> HeldOut:
    names = [f"s{number}" for number in range(speakers) for _ in range(each)]
    labels = np.array([int(name[1:]) % 2 for name in names])
    return HeldOut(labels, names, names, ["opus"] * len(names))


def test_a_model_that_mistakes_more_speakers_is_refused():
    told = held_out(12, 6)
    good = np.where(told.labels == 1, 0.9, 0.1)
    bad = np.where(np.random.default_rng(0).random(len(good)) < 0.4, 1 - good, good)
    assert evaluate_challenger(told, good, bad, seed=0).ground == "worse"
    assert evaluate_challenger(told, bad, good, seed=0).ground == "better"
    assert evaluate_challenger(told, good, good, seed=0).ground == "noWorse"


def test_few_segments_or_speakers_of_one_language_are_too_few():
    assert is_enough(held_out(6, 7))
    assert not is_enough(held_out(6, 6))
    assert not is_enough(held_out(5, 20))
    told = held_out(12, 6)
    assert not is_enough(HeldOut(np.zeros(72, np.int64), told.speakers, told.sources, told.codecs))


def test_what_several_folds_have_heard_is_asked_of_nobody():
    folds = {"speaker:a": 0, "source:x": 0, "source:y": 1}
    asked = [
        {"recording": "r", "speaker": "a", "source": "x"},
        {"recording": "r", "speaker": "a", "source": "y"},
        {"recording": "r", "speaker": "new", "source": "new"},
    ]
    keys = ("recording", "speaker", "source")
    assert fair_rows(asked, folds, keys).tolist() == [True, False, True]
