"""Trainings that were stopped go on to the very bits that an uninterrupted one gives."""

import hashlib
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from ml.errors import LearningCancelledError
from ml.evaluation.splits import folds_of
from ml.thumbnails.backbones.cnn import CnnConfig
from ml.thumbnails.backbones.efficientnet_lite import EfficientNetLite0
from ml.thumbnails.backbones.embeddings import MAP_WIDTH
from ml.thumbnails.backbones.weights import TENSORFLOW
from ml.thumbnails.data.rows import Features, Targets
from ml.thumbnails.models.ladder import LadderConfig, dataset_images, train_ladder
from ml.thumbnails.stacking.fine_tuning import TuningConfig, train_tuned
from ml.training.checkpoints import Checkpoints, State
from tests.support.learning import draw

QUICK = LadderConfig(
    seed=3, folds=4, cnn=CnnConfig(widths=(4, 8), epochs=3, batch_size=32, learning_rate=1e-2)
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    dataset = draw(channels=24, videos=6).write(tmp_path_factory.mktemp("dataset"))
    return dataset, dataset_images(dataset)


@pytest.fixture(scope="module")
def uninterrupted(world, tmp_path_factory):
    return hashes(train_ladder(*world, QUICK), tmp_path_factory.mktemp("models"))


@pytest.fixture
def kept(tmp_path):
    """Checkpoints that are written after every step."""
    return Checkpoints(tmp_path / "states", every_s=0)


def hashes(ladder, folder):
    """SHA-256 of each file of all artefacts."""
    return {
        f"{rung}/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()
        for rung, artefact in ladder.save(folder).items()
        for path in artefact.iterdir()
    }


def stop(world, kept, *, after, config=QUICK):
    calls = itertools.count()
    with pytest.raises(LearningCancelledError):
        train_ladder(*world, config, cancelled=lambda: next(calls) >= after, checkpoints=kept)


def steps_made(world, kept, config=QUICK):
    """Train to the end; return the ladder, and how many steps were made rather than read back."""
    writes = []

    class Counting(Checkpoints):
        def write(self, name, state):
            writes.append(state.facts["done"])
            super().write(name, state)

    ladder = train_ladder(*world, config, checkpoints=Counting(kept.folder, every_s=0))
    return ladder, len(writes)


def test_a_training_repeats_bit_for_bit(world, uninterrupted, tmp_path):
    assert hashes(train_ladder(*world, QUICK), tmp_path) == uninterrupted


def test_a_stopped_training_goes_on_to_the_same_bits(world, uninterrupted, kept, tmp_path):
    everything = steps_made(world, Checkpoints(tmp_path / "other", every_s=0))[1]
    # Once in the midst of a pass, once with some networks finished.
    stop(world, kept, after=3)
    stop(world, kept, after=everything // 2)
    ladder, made = steps_made(world, kept)
    assert hashes(ladder, tmp_path / "models") == uninterrupted
    assert made < 0.7 * everything


def test_progress_counts_what_was_done_before(world, kept):
    stop(world, kept, after=8)
    told = []
    train_ladder(
        *world,
        QUICK,
        progress=lambda done, total, _: told.append((done, total)),
        checkpoints=kept,
    )
    assert [done for done, _ in told] == list(range(1, told[-1][1] + 1))


@pytest.mark.parametrize("damage", ["cut short", "altered", "empty"])
def test_a_damaged_state_is_none(world, uninterrupted, kept, tmp_path, damage):
    stop(world, kept, after=8)
    for path in kept.folder.iterdir():
        content = path.read_bytes()
        middle = len(content) // 2
        path.write_bytes(
            {
                "cut short": content[:middle],
                "altered": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
                "empty": b"",
            }[damage]
        )
    ladder, _ = steps_made(world, kept)
    assert hashes(ladder, tmp_path / "models") == uninterrupted


@pytest.mark.parametrize(
    "other",
    [replace(QUICK, seed=4), replace(QUICK, cnn=replace(QUICK.cnn, learning_rate=2e-2))],
    ids=["another seed", "another learning rate"],
)
def test_a_state_serves_its_own_training_only(world, kept, tmp_path, other):
    stop(world, kept, after=8)
    ladder, _ = steps_made(world, kept, other)
    fresh = train_ladder(*world, other)
    assert hashes(ladder, tmp_path / "one") == hashes(fresh, tmp_path / "other")


def test_a_state_that_cannot_be_written_leaves_the_one_before(tmp_path):
    kept = Checkpoints(tmp_path, every_s=0)
    kept.write("one", State({}, {"step": 1}))
    with pytest.raises(TypeError):
        kept.write("one", State({}, {"step": object()}))
    found = kept.read("one")
    assert found is not None
    assert found.facts == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["one.state"]
    assert kept.read("another") is None


@pytest.mark.slow
def test_fine_tuning_goes_on_to_the_same_bits(world, kept):
    """On maps that are drawn and with random weights: what it learns is not asked here."""
    dataset, images = world
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = EfficientNetLite0(TENSORFLOW).eval()
    maps = np.random.default_rng(0).normal(size=(len(dataset), MAP_WIDTH)).astype(np.float16)
    features = Features.of_table(dataset.table, images)
    calls = itertools.count()

    def tuned(checkpoints=None, stop_after=None):
        return train_tuned(
            network,
            maps,
            features,
            Targets(dataset.log10_views_per_day, dataset.is_over),
            folds_of(features.split_groups, seed=3, folds=3),
            folds=3,
            config=TuningConfig(epochs=2, batch_size=16),
            seed=3,
            progress=lambda *_: None,
            cancelled=lambda: stop_after is not None and next(calls) >= stop_after,
            checkpoints=checkpoints,
        ).tensors()

    whole = tuned()
    with pytest.raises(LearningCancelledError):
        tuned(kept, stop_after=5)
    assert len(list(kept.folder.glob("tuned-*.state"))) >= 1
    resumed = tuned(kept)
    assert whole.keys() == resumed.keys()
    for name, values in whole.items():
        np.testing.assert_array_equal(resumed[name], values, err_msg=name)
