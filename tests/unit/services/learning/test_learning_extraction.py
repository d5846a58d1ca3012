"""Whether training gets a pretrained look: settings, what is installed, what was asked for."""

import hashlib

import pytest
import torch
from safetensors.torch import save_file

from ml.thumbnails.backbones.efficientnet_lite import EfficientNetLite0
from ml.thumbnails.backbones.weights import TIMM
from ml.thumbnails.models.registry import ladder_specs, rung_names
from services.cli.learning_tables import describe_training
from services.context import Context
from services.errors import PermanentError
from services.learning.results import in_order
from services.learning.thumbnails import extraction
from services.settings import Settings

RESULT = {
    "versions": {"constant": 1},
    "trained": True,
    "excluded": {},
    "dataset_id": "d" * 64,
    "absent": {},
    "without_image_features": None,
}


@pytest.fixture
def context_with(tmp_path):
    def make(**settings):
        return Context(Settings(home=tmp_path / "home", **settings))

    return make


@pytest.fixture
def weights(tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        path = tmp_path / "mine.safetensors"
        save_file(EfficientNetLite0(TIMM).state_dict(), path)
    return path


def test_weights_of_ones_own_are_taken_by_default_and_named_by_their_hash(context_with, weights):
    plan = extraction.choose(context_with(backbone_weights=weights), None)
    assert plan.missing is None
    assert plan.weights == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert "lite0+ridge" not in plan.absent
    assert not plan.fine_tune
    assert extraction.choose(context_with(backbone_weights=weights), None, fine_tune=True).fine_tune


def test_weights_that_cannot_be_used_are_not_passed_over_in_silence(context_with, tmp_path):
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"not weights")
    with pytest.raises(PermanentError) as error:
        extraction.choose(context_with(backbone_weights=broken), None)
    assert error.value.reason == "backboneWeightsUnusable"
    assert "--no-backbone" in (error.value.hint or "")


@pytest.mark.parametrize("asked", [False, None])
def test_turned_off_by_the_command_or_by_the_setting(context_with, weights, asked):
    context = context_with(backbone=asked is not None, backbone_weights=weights)
    plan = extraction.choose(context, asked)
    assert (plan.extractor, plan.missing, plan.weights) == (None, "turnedOff", "")
    assert set(plan.absent) == {"+features", "lite0+ridge"}
    assert set(plan.absent) <= set(rung_names())


def test_what_is_not_installed_is_done_without_unless_it_was_asked_for(context_with, monkeypatch):
    monkeypatch.setattr(extraction, "can_extract", lambda: False)
    assert extraction.choose(context_with(), None).missing == "notInstalled"
    monkeypatch.setattr("ml.thumbnails.backbones.weights._MODULE", "no_such_module_anywhere")
    for options in ({"requested": True}, {"requested": None, "fine_tune": True}):
        with pytest.raises(PermanentError) as error:
            extraction.choose(context_with(), **options)
        assert error.value.reason == "backboneWeightsMissing"


def test_fine_tuning_without_the_network_contradicts_itself(context_with):
    with pytest.raises(PermanentError) as error:
        extraction.choose(context_with(), requested=False, fine_tune=True)
    assert error.value.reason == "nothingToTune"


def test_rungs_are_shown_in_the_order_of_the_registry():
    assert in_order(sorted([*rung_names(), "of another release"])) == [
        *rung_names(),
        "of another release",
    ]
    assert all(spec.knows for spec in ladder_specs())


def test_what_was_done_without_is_said():
    assert "\n" not in describe_training(RESULT)
    missing = describe_training(RESULT | {"without_image_features": "notInstalled"})
    assert "pip install 'tubegrader[backbone,pictures]'" in missing
    assert "turned off" in describe_training(RESULT | {"without_image_features": "turnedOff"})
    unmeasured = describe_training(RESULT | {"absent": {"+features": "notMeasured"}})
    assert "pip install 'tubegrader[pictures]'" in unmeasured
