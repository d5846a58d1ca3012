"""Training of one thumbnail network; interrupted at any step, it goes on from there."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ml.arrays import FloatArray, ImageArray, IntArray
from ml.runtime.device import Device, seeded
from ml.thumbnails.backbones.cnn import CnnConfig, Member, ThumbnailNet, network_input
from ml.thumbnails.data.rows import Targets
from ml.training.callbacks import Cancelled
from ml.training.checkpoints import Checkpoints, digest_of
from ml.training.trainer import Trainer


def training_steps(rows: int, config: CnnConfig) -> int:
    """Return how many steps training on ``rows`` thumbnails takes."""
    return config.epochs * max(1, rows // config.batch_size)


def train_member(
    left_out: tuple[int, int],
    images: ImageArray,
    rows: IntArray,
    targets: Targets,
    residual: FloatArray,
    *,
    config: CnnConfig,
    seed: int,
    device: Device,
    step: Callable[[], None],
    cancelled: Cancelled,
    checkpoints: Checkpoints | None = None,
) -> Member:
    """Train one network on some rows; the same arguments give the same bits on one machine.

    Args:
        left_out: The two folds that ``rows`` leave out.
        images: All thumbnails, shape (N, 90, 160, 3).
        rows: Indices of the R training rows.
        targets: Of the training rows, length R.
        residual: Log views per day beyond that regression, of the training rows, length R; NaN
            where there is nothing to learn from, but not everywhere.
        config: Hyperparameters.
        seed: Decides the first weights, the order and the augmentation.
        device: Where to train.
        step: Called after every step, also of those done before, from the thread that trains.
        cancelled: Asked before every step, likewise.
        checkpoints: Where to go on from and to keep the state; None: from the start, keeping none.
            The bits are the same either way.

    Raises:
        LearningError: The loss is no longer finite.
        LearningCancelledError: ``cancelled`` said so.
        OSError: The state cannot be kept.
    """
    truth, centre, scale = standardised(targets, residual)
    target = device.torch_device
    with seeded(seed):
        network = ThumbnailNet(config)
    network = network.to(target, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    steps = training_steps(len(rows), config)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=config.learning_rate, total_steps=steps
    )
    trainer = Trainer(
        network,
        optimizer,
        schedule,
        rows=len(rows),
        batch_size=config.batch_size,
        steps=steps,
        seed=seed,
    )

    def loss_of(batch: IntArray) -> Tensor:
        inputs = _augmented(images, rows[batch], config, trainer.generator).to(target)
        kept = _kept(len(batch), network.pooled, config, trainer.generator).to(target)
        with device.autocast():
            outputs = network(inputs, kept)
        return multi_head_loss(outputs, truth[batch].to(target))

    trainer.run(
        loss_of,
        what=f"member {left_out}",
        step=step,
        cancelled=cancelled,
        checkpoints=checkpoints,
        name=state_name("member", left_out, rows, truth, asdict(config), seed, device),
    )
    return Member(left_out, network.eval(), centre, scale)


def state_name(
    kind: str,
    left_out: tuple[int, int],
    rows: IntArray,
    truth: Tensor,
    config: Mapping[str, Any],
    seed: int,
    device: Device,
) -> str:
    """Return a name for a training's state that no other training on the same pictures has."""
    facts = {
        "config": config,
        "seed": seed,
        "device": device.description,
        "torch": torch.__version__,
    }
    return f"{kind}-{left_out[0]}-{left_out[1]}-{digest_of(facts, rows, truth.numpy())}"


def standardised(targets: Targets, residual: FloatArray) -> tuple[Tensor, FloatArray, FloatArray]:
    """Return (R, 3) targets in the order of the outputs, and the centre and scale of two."""
    both = np.column_stack([targets.log10_views_per_day, residual])
    centre, spread = np.nanmean(both, axis=0), np.nanstd(both, axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    views, beyond = ((both - centre) / scale).T
    stacked = np.column_stack([views, targets.is_over.astype(np.float64), beyond])
    return torch.from_numpy(stacked.astype(np.float32)), centre, scale


def multi_head_loss(outputs: Tensor, truth: Tensor) -> Tensor:
    """Huber's loss, because views have heavy tails, and cross entropy for the threshold."""
    views, over, residual = outputs.unbind(dim=1)
    known = ~torch.isnan(truth[:, 2])
    beyond = functional.huber_loss(residual, truth[:, 2].nan_to_num(), reduction="none")
    return (
        functional.huber_loss(views, truth[:, 0])
        + functional.binary_cross_entropy_with_logits(over, truth[:, 1])
        + (beyond * known).mean()
    )


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
