"""A rung that is registered in one place goes all the way: trained, stored, asked, compared."""

import subprocess
import sys
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ml.thumbnails.backbones.cnn import CnnConfig
from ml.thumbnails.data.rows import Features, Predictions
from ml.thumbnails.evaluation.champion_challenger import choose_rung
from ml.thumbnails.evaluation.evaluate import evaluate
from ml.thumbnails.models import registry
from ml.thumbnails.models.cross_fitted import CrossFittedRung
from ml.thumbnails.models.ladder import dataset_images, train_ladder
from ml.thumbnails.models.registry import comparisons, ladder_specs, load_rung, rung_names
from ml.thumbnails.models.rung import Role, RungSpec
from ml.thumbnails.models.thumbnail import predict_all
from services.learning.results import in_order
from tests.support.learning import TINY, draw


@dataclass(frozen=True)
class Medians:
    share: float
    typical: float


class MedianRung(CrossFittedRung[Medians]):
    """The median of the training rows: one class, and one line in the registry."""

    spec: ClassVar[RungSpec] = RungSpec(
        name="median", knows="nothing but the median", baseline="constant"
    )
    part_type: ClassVar[type[Any]] = Medians

    @classmethod
    def fit_part(cls, known, picture, targets, *, seed):
        return Medians(targets.is_over.mean(), np.median(targets.log10_views_per_day))

    @classmethod
    def predict_part(cls, part, known, picture):
        return Predictions(np.full(len(known), part.share), np.full(len(known), part.typical))


def test_a_rung_in_the_registry_is_trained_stored_asked_and_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "LADDER", (*registry.LADDER, MedianRung))
    dataset = draw(seed=5, channels=24, videos=6).write(tmp_path / "dataset")
    images = dataset_images(dataset)
    config = replace(TINY, cnn=CnnConfig(widths=(8, 8), epochs=1, batch_size=16))
    ladder = train_ladder(dataset, images, config)

    folders = ladder.with_metrics({"median": {"auc": 0.5}}).save(tmp_path / "models")
    rung = load_rung(folders["median"])
    assert isinstance(rung, MedianRung)
    assert rung.card.metrics == {"auc": 0.5}
    features = Features.of_table(dataset.table, images)
    [found] = predict_all([rung], features)
    table = ladder.out_of_fold.to_pylist()
    expected = [row["log10_views_per_day"] for row in table if row["rung"] == "median"]
    np.testing.assert_array_equal(found.log10_views_per_day, expected)

    evaluation = evaluate(dataset, ladder.out_of_fold, resamples=50)
    assert evaluation.difference("median", "constant").delta_r2.value < 0.1
    assert evaluation.forward is None or "median" in evaluation.forward.rungs
    predictions = predict_all(list(ladder.rungs.values()), features)
    choice = choose_rung(dataset, dict(zip(ladder.rungs, predictions, strict=True)), seed=0)
    assert "median" in [candidate.rung for candidate in choice.candidates]
    assert in_order(["median", "constant"]) == ["constant", "median"]


def test_what_a_rung_declares_holds_together():
    names = rung_names()
    assert len(set(names)) == len(names)
    for spec in ladder_specs():
        assert spec.knows
        assert spec.beyond is None or spec.baseline is not None
    for rung, baseline in comparisons():
        assert names.index(baseline) < names.index(rung)
    assert [spec.name for spec in ladder_specs() if spec.role is Role.FLOOR] == [names[0]]


def test_the_registry_is_read_without_torch():
    program = (
        "import sys; from ml.thumbnails.models.registry import rung_names; rung_names();"
        "assert not {'torch', 'safetensors', 'simplejpeg'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
