import json

import numpy as np
import pytest

from ml.artifacts import ModelCard, read_artifact, write_artifact
from ml.errors import LearningError

CARD = ModelCard(dataset="d" * 64, seed=1, folds=4, threshold=100.0, metrics={"auc": 0.9})
TENSORS = {"b": np.arange(6.0).reshape(2, 3).T, "a": np.float32([1.5])}


def test_what_was_written_is_read_back(tmp_path):
    write_artifact(tmp_path, "constant", CARD, TENSORS)
    name, card, tensors = read_artifact(tmp_path)
    assert (name, card) == ("constant", CARD)
    for key, value in TENSORS.items():
        np.testing.assert_array_equal(tensors[key], value)


def test_the_same_model_gives_the_same_bytes(tmp_path):
    for folder in ("a", "b"):
        write_artifact(tmp_path / folder, "constant", CARD, TENSORS)
    for name in ("model.json", "model.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("damage", ["cut weights", "gone", "bad json", "format", "other rung"])
def test_a_damaged_artefact_is_refused(tmp_path, damage):
    write_artifact(tmp_path, "constant", CARD, TENSORS)
    weights, document = tmp_path / "model.safetensors", tmp_path / "model.json"
    if damage == "cut weights":
        weights.write_bytes(weights.read_bytes()[:-4])
    elif damage == "gone":
        weights.unlink()
    elif damage == "bad json":
        document.write_text("{")
    elif damage == "format":
        document.write_text(json.dumps(json.loads(document.read_text()) | {"format": 99}))
    expected = "subscribers" if damage == "other rung" else "constant"
    with pytest.raises(LearningError) as caught:
        read_artifact(tmp_path, expected)
    assert caught.value.reason == "artifactUnusable"
