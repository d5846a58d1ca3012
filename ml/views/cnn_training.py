"""Training of one thumbnail network; interrupted at any step, it goes on from there."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ml.arrays import FloatArray, ImageArray, IntArray
from ml.checkpoints import Checkpoints, State, digest_of
from ml.errors import LearningCancelledError, LearningError
from ml.runtime.device import Device, seeded
from ml.views.cnn import Cancelled, CnnConfig, Member, ThumbnailNet, network_input
from ml.views.rung import Targets


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
    training = _Training(len(rows), config, seed, device)
    facts = {"config": asdict(config), "seed": seed, "device": device.description}
    name = "member-{}-{}-".format(*left_out) + digest_of(
        {**facts, "torch": torch.__version__}, rows, truth.numpy()
    )
    if checkpoints is not None and (state := checkpoints.read(name)) is not None:
        training.go_on_from(state)
        for _ in range(training.done):
            step()
    written = time.monotonic()
    while training.done < training.steps:
        if cancelled():
            raise LearningCancelledError
        loss = training.step(images, rows, truth)
        if not np.isfinite(loss):
            raise LearningError(
                f"training of member {left_out} diverged: the loss is {loss};"
                " lower the learning rate or look for broken labels",
                reason="diverged",
            )
        step()
        is_last = training.done == training.steps
        if checkpoints is not None and (
            is_last or time.monotonic() - written >= checkpoints.every_s
        ):
            checkpoints.write(name, training.state())
            written = time.monotonic()
    return Member(left_out, training.network.eval(), centre, scale)


class _Training:
    """A network and all that its next step depends on."""

    def __init__(self, rows: int, config: CnnConfig, seed: int, device: Device) -> None:
        self.steps = training_steps(rows, config)
        self.done = 0
        self._rows = rows
        self._config = config
        self._device = device
        # Our own generator: torch's is shared between threads.
        self._generator = np.random.default_rng(seed)
        self._order: IntArray = np.arange(rows)
        with seeded(seed):
            network = ThumbnailNet(config)
        self.network: ThumbnailNet = network.to(  # type: ignore[call-overload]
            device.torch_device, memory_format=torch.channels_last
        ).train()
        self._optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer, max_lr=config.learning_rate, total_steps=self.steps
        )

    def step(self, images: ImageArray, rows: IntArray, truth: Tensor) -> float:
        """Learn from the next batch and return its loss; if that is not finite nothing changes."""
        batch = self._next_batch()
        target = self._device.torch_device
        inputs = _augmented(images, rows[batch], self._config, self._generator).to(target)
        kept = _kept(len(batch), self.network.pooled, self._config, self._generator).to(target)
        with self._device.autocast():
            outputs = self.network(inputs, kept)
        loss = multi_head_loss(outputs, truth[batch].to(target))
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        value = loss.item()
        if np.isfinite(value):
            self._optimizer.step()
            self._schedule.step()
            self.done += 1
        return value

    def state(self) -> State:
        """Return everything that the steps left change or draw from."""
        optimizer = self._optimizer.state_dict()
        moments = {
            f"optimizer.{number}.{key}": value
            for number, values in optimizer["state"].items()
            for key, value in values.items()
        }
        weights = {f"network.{key}": value for key, value in self.network.state_dict().items()}
        return State(
            {**weights, **moments, "order": torch.from_numpy(self._order)},
            {
                "done": self.done,
                "groups": optimizer["param_groups"],
                "schedule": self._schedule.state_dict(),
                "generator": self._generator.bit_generator.state,
            },
        )

    def go_on_from(self, state: State) -> None:
        """Take over what :meth:`state` returned in another process."""
        self.network.load_state_dict(_below("network.", state.tensors))
        parameters = list(self.network.parameters())
        moments: dict[int, dict[str, Tensor]] = {number: {} for number in range(len(parameters))}
        for name, value in _below("optimizer.", state.tensors).items():
            number, key = name.split(".")
            like = parameters[int(number)]
            # In the layout of the weights, as they would be: another one may round differently.
            own = value if value.dim() == 0 else torch.empty_like(like).copy_(value)
            moments[int(number)][key] = own.detach()
        groups = [{**group, "betas": tuple(group["betas"])} for group in state.facts["groups"]]
        self._optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self._schedule.load_state_dict(dict(state.facts["schedule"]))
        self._generator.bit_generator.state = state.facts["generator"]
        self._order = state.tensors["order"].numpy()
        self.done = int(state.facts["done"])

    def _next_batch(self) -> IntArray:
        """Return the next batch of row numbers; every pass is a fresh shuffle."""
        size = min(self._config.batch_size, self._rows)
        place = self.done % max(1, self._rows // self._config.batch_size)
        if place == 0:
            self._order = self._generator.permutation(self._rows)
        return self._order[place * size : (place + 1) * size]


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def standardised(targets: Targets, residual: FloatArray) -> tuple[Tensor, FloatArray, FloatArray]:
    """Return (R, 3) targets in the order of the outputs, and the centre and scale of two."""
    both = np.column_stack([targets.log_views_per_day, residual])
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
    for slot, (row, top, left, step) in enumerate(zip(rows, tops, lefts, steps, strict=True)):
        batch[slot] = images[row, top : top + rows_kept, left : left + columns_kept][:, ::step]
    change = generator.uniform(-config.jitter, config.jitter, size=(2, count, 1, 1, 1))
    contrast, brightness = torch.from_numpy(change.astype(np.float32))
    return network_input(torch.from_numpy(batch), 1 + contrast, brightness)


def _kept(rows: int, features: int, config: CnnConfig, generator: np.random.Generator) -> Tensor:
    """Draw dropout's factors."""
    kept = generator.random((rows, features)) >= config.dropout
    return torch.from_numpy(kept / np.float32(1 - config.dropout))
