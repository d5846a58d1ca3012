"""Outputs of a fixed tiny model, so that a change of arithmetic does not go unseen.

After a wanted change: ``python -m tests.learning.thumbnails.test_golden`` prints the new numbers.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from ml.runtime.device import Device
from ml.thumbnails.data.rows import Features, Targets
from ml.thumbnails.models.ladder import dataset_images
from ml.thumbnails.stacking.ensemble import train_ensemble
from tests.support.learning import TINY_CNN, draw

GOLDEN = [[1.9836, -0.1127, -0.0072], [2.0654, 0.0082, 0.0507], [1.9957, -0.0808, 0.0044]]


def outputs(directory):
    import torch

    dataset = draw(seed=4, channels=12, videos=6, effect=0.5).write(directory)
    features = Features.of_table(dataset.table, dataset_images(dataset))
    folds = np.arange(len(features)) % 3
    ensemble = train_ensemble(
        features,
        Targets(dataset.log10_views_per_day, dataset.is_over),
        folds,
        folds=3,
        config=replace(TINY_CNN, epochs=8, batch_size=16),
        seed=0,
        progress=lambda *_: None,
        cancelled=lambda: False,
        # float32 is what all machines share.
        device=Device("cpu", torch.float32),
    )
    _, predicted = ensemble.member_outputs(features.thumbnails, folds)[0, 1]
    return predicted[:3]


def test_a_fixed_tiny_model_predicts_what_it_did_before(tmp_path):
    np.testing.assert_allclose(outputs(tmp_path), GOLDEN, atol=0.05)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        print(np.round(outputs(Path(scratch)), 4).tolist())
