"""Cross-fitted pairs of networks, run and stored; and those trained on thumbnails from scratch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ml.arrays import FloatArray, ImageArray, IntArray
from ml.evaluation.splits import Pair, fold_pairs, rows_scored_without
from ml.runtime.device import Device, choose_device, seeded, side_by_side
from ml.thumbnails.backbones.cnn import CnnConfig, Member, ThumbnailNet, network_input
from ml.thumbnails.data.rows import Features, Targets
from ml.thumbnails.stacking.members import MemberTraining, train_members
from ml.training.callbacks import Cancelled, Progress
from ml.training.checkpoints import Checkpoints


class CrossFitted(Protocol):
    """A network of an ensemble, whichever kind it is of."""

    def predict(self, inputs: Any, device: Device, /) -> FloatArray:
        """Return outputs (N, 3) of N inputs."""
        ...

    def tensors(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return all weights as arrays by name."""
        ...


@dataclass(frozen=True)
class Ensemble:
    """Members by the pair of folds they left out.

    Attributes:
        folds: K.
        config: The networks' hyperparameters.
        members: K (K - 1) / 2 networks.
        training_rows: Rows of the dataset that each member was trained on; empty after loading.
    """

    folds: int
    config: CnnConfig
    members: Mapping[Pair, Member]
    training_rows: Mapping[Pair, IntArray]

    def member_outputs(
        self, images: ImageArray, folds_by_row: IntArray
    ) -> dict[Pair, tuple[IntArray, FloatArray]]:
        """Run every member on the rows of the folds it left out, and on those of no fold.

        Returns:
            By pair: row indices (R,) and outputs (R, 3) in the order of ``Member.predict``.
        """
        return outputs_of(self.members, images, folds_by_row)

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Return all weights as arrays by name, such as ``member.0.1.stem.0.weight``."""
        return tensors_of(self.members, "member")

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, npt.NDArray[Any]], *, folds: int, config: CnnConfig
    ) -> "Ensemble":
        """Build an ensemble from :meth:`tensors`."""
        members = {
            pair: Member.from_tensors(mine, config)
            for pair, mine in tensors_by_pair(tensors, "member", folds=folds).items()
        }
        return cls(folds, config, members, {})


def train_ensemble(
    features: Features,
    targets: Targets,
    folds_by_row: IntArray,
    *,
    folds: int,
    config: CnnConfig,
    seed: int,
    progress: Progress,
    cancelled: Cancelled,
    device: Device | None = None,
    checkpoints: Checkpoints | None = None,
) -> Ensemble:
    """Train every member on the folds it does not leave out.

    Args:
        features: Of N rows, with thumbnails.
        targets: Of the same rows.
        folds_by_row: Shape (N,).
        folds: K.
        config: Hyperparameters of the networks.
        seed: Members get seeds derived from it.
        progress: Told after each step, over all members together, in the caller's thread.
        cancelled: Asked at each step, likewise.
        device: None chooses the best one here.
        checkpoints: Where each member's state is kept, to go on from if the process dies.

    Raises:
        LearningError: Too few rows, no thumbnails, or a diverging loss.
        LearningCancelledError: ``cancelled`` said so.
        OSError: A state cannot be kept.
    """
    images = features.pictures()
    members, rows_of = train_members(
        lambda member: train_member(images, config, member),
        features,
        targets,
        folds_by_row,
        folds=folds,
        config=config,
        seed=seed,
        message="training {} thumbnail networks",
        progress=progress,
        cancelled=cancelled,
        device=device,
        checkpoints=checkpoints,
    )
    return Ensemble(folds, config, members, rows_of)


def train_member(images: ImageArray, config: CnnConfig, training: MemberTraining) -> Member:
    """Train one network on some rows; the same arguments give the same bits on one machine.

    Args:
        images: All thumbnails, shape (N, 90, 160, 3).
        config: Hyperparameters.
        training: Its rows, their targets, and how it is watched.

    Raises:
        LearningError: The loss is no longer finite.
        LearningCancelledError: ``training.cancelled`` said so.
        OSError: The state cannot be kept.
    """
    device, rows = training.device, training.shuffled(config)
    target, generator = device.torch_device, rows.generator
    with seeded(training.seed):
        network = ThumbnailNet(config)
    network = network.to(target, memory_format=torch.channels_last).train()  # type: ignore[call-overload]

    def outputs_of_batch(batch: IntArray) -> Tensor:
        inputs = _augmented(images, training.rows[batch], config, generator).to(target)
        kept = _kept(len(batch), network.pooled, config, generator).to(target)
        with device.autocast():
            outputs: Tensor = network(inputs, kept)
        return outputs

    groups = [(network.parameters(), config.learning_rate)]
    centre, scale = training.run(
        "member", network, groups, config, asdict(config), rows, outputs_of_batch
    )
    return Member(network.eval(), centre, scale)


def outputs_of(
    members: Mapping[Pair, CrossFitted], inputs: npt.NDArray[Any], folds_by_row: IntArray
) -> dict[Pair, tuple[IntArray, FloatArray]]:
    """Run every member on the rows that it may score; by pair rows (R,), outputs (R, 3)."""
    device = choose_device()
    rows_of = {pair: rows_scored_without(folds_by_row, pair) for pair in members}
    tasks = [
        partial(member.predict, inputs[rows_of[pair]], device) for pair, member in members.items()
    ]
    outputs = side_by_side(tasks, device)
    return {pair: (rows_of[pair], part) for pair, part in zip(rows_of, outputs, strict=True)}


def tensors_of(members: Mapping[Pair, CrossFitted], kind: str) -> dict[str, npt.NDArray[Any]]:
    """Return the weights of all members under names such as ``kind.0.1.head.weight``."""
    return {
        f"{kind}.{j}.{k}.{key}": value
        for (j, k), member in members.items()
        for key, value in member.tensors().items()
    }


def tensors_by_pair(
    tensors: Mapping[str, npt.NDArray[Any]], kind: str, *, folds: int
) -> dict[Pair, dict[str, npt.NDArray[Any]]]:
    """Take apart what :func:`tensors_of` put together; other names are left out."""
    prefixes = {(j, k): f"{kind}.{j}.{k}." for j, k in fold_pairs(folds)}
    return {
        pair: {
            key.removeprefix(prefix): value
            for key, value in tensors.items()
            if key.startswith(prefix)
        }
        for pair, prefix in prefixes.items()
    }


def _augmented(
    images: ImageArray, rows: IntArray, config: CnnConfig, generator: np.random.Generator
) -> Tensor:
    """Gather rows as network input: cropped, flipped at random, contrast and brightness changed.

    Returns:
        (B, 3, H, W) around [-1, 1], smaller than the images by the crop: the network pools over
        whatever size it is given, and a crop needs no invented margin.
    """
    _, height, width, _ = images.shape
    rows_kept, columns_kept = height - config.crop[0], width - config.crop[1]
    count = len(rows)
    tops = generator.integers(config.crop[0] + 1, size=count)
    lefts = generator.integers(config.crop[1] + 1, size=count)
    steps = generator.choice([-1, 1], size=count)
    # Slices copy whole lines; gathering pixel by pixel took a sixth of the training time.
    batch = np.empty((count, rows_kept, columns_kept, 3), dtype=np.uint8)
    mirrored = np.arange(columns_kept)[::-1]
    for slot, (row, top, left, step) in enumerate(zip(rows, tops, lefts, steps, strict=True)):
        cropped = images[row, top : top + rows_kept, left : left + columns_kept]
        if step < 0:
            # Twice as fast as a slice of step -1; clipping needs no second buffer.
            np.take(cropped, mirrored, axis=1, out=batch[slot], mode="clip")
        else:
            batch[slot] = cropped
    change = generator.uniform(-config.jitter, config.jitter, size=(2, count, 1, 1, 1))
    contrast, brightness = torch.from_numpy(change.astype(np.float32))
    return network_input(torch.from_numpy(batch), 1 + contrast, brightness)


def _kept(rows: int, features: int, config: CnnConfig, generator: np.random.Generator) -> Tensor:
    """Draw dropout's factors."""
    kept = generator.random((rows, features)) >= config.dropout
    return torch.from_numpy(kept / np.float32(1 - config.dropout))
