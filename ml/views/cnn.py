"""A small convolutional network from scratch for thumbnails of 160 by 90 pixels, and its training.

It has three outputs for each thumbnail: standardised log views per day, the logit of reaching the
threshold, and the standardised *residual* of log views per day after the subscriber regression.
The last is what "beyond subscribers" asks for: most of the variance of views is the channel's
size, which a thumbnail can only guess, and a network trained on raw views spends its few hundred
rows on guessing it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from ml.arrays import FloatArray, ImageArray, IntArray
from ml.errors import LearningCancelledError, LearningError
from ml.runtime.device import Device, seeded
from ml.views.rung import Targets

OUTPUTS = 3
PREDICTION_BATCH = 256

Progress = Callable[[int, int, str], None]
"""Called with (steps done, steps in all, what is being done)."""
Cancelled = Callable[[], bool]


@dataclass(frozen=True)
class CnnConfig:
    """Hyperparameters of the network and its training.

    Attributes:
        widths: Channels of the stages; each but the first halves the resolution.
        epochs: Passes over a member's training rows.
        batch_size: Thumbnails a step.
        learning_rate: Peak of the one-cycle schedule (Smith & Topin 2017).
        weight_decay: Of AdamW, on convolution and head weights.
        dropout: On the pooled features.
        shift: Largest random shift in pixels.
        jitter: Largest relative change of brightness and contrast. Mild, because colour and
            contrast may be the very effect to find.
    """

    widths: tuple[int, ...] = (24, 32, 64, 96)
    epochs: int = 16
    batch_size: int = 64
    learning_rate: float = 4e-3
    weight_decay: float = 0.05
    dropout: float = 0.2
    shift: int = 8
    jitter: float = 0.05


class ThumbnailNet(nn.Module):
    """Stages of convolutions; the head sees every stage's mean and spread over the image.

    Pooling each stage, not just the last, hands colour and texture straight to the head, so that
    simple effects need few rows. Input (N, 3, 90, 160) in [-1, 1], output (N, 3).
    """

    def __init__(self, config: CnnConfig) -> None:
        super().__init__()
        first, *others = config.widths
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 8, stride=4, padding=2, bias=False),
            nn.BatchNorm2d(first),
            nn.ReLU(inplace=True),
        )
        self.stages = nn.ModuleList(
            _Stage(before, after) for before, after in zip(config.widths, others, strict=False)
        )
        pooled = sum(config.widths)
        self.head = nn.Sequential(
            nn.BatchNorm1d(pooled), nn.Dropout(config.dropout), nn.Linear(pooled, OUTPUTS)
        )
        nn.init.zeros_(cast("nn.Linear", self.head[-1]).weight)

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, 3): log views, over-threshold logit, residual."""
        hidden = self.stem(images)
        pooled = [_pool(hidden)]
        for stage in self.stages:
            hidden = stage(hidden)
            pooled.append(_pool(hidden))
        # The head is tiny and its batch statistics delicate: always in float32.
        with torch.autocast(images.device.type, enabled=False):
            return cast("Tensor", self.head(torch.cat(pooled, dim=1)))


class _Stage(nn.Module):
    """Halve the resolution, then one residual block."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.down = nn.Sequential(
            nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(inplace=True),
        )
        self.block = nn.Sequential(
            nn.Conv2d(after, after, 3, padding=1, bias=False), nn.BatchNorm2d(after)
        )

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = self.down(hidden)
        return functional.relu(hidden + self.block(hidden))


def _pool(hidden: Tensor) -> Tensor:
    """Return the mean over the image, (N, C), in float32."""
    return functional.adaptive_avg_pool2d(hidden, 1).flatten(1).float()


@dataclass(frozen=True)
class Member:
    """One trained network of the ensemble.

    Attributes:
        left_out: The two folds whose channels it never saw.
        network: In evaluation mode, on the CPU or the GPU.
        centre: Mean of log views per day and of the residual over its training rows, shape (2,).
        scale: Their standard deviations, shape (2,).
    """

    left_out: tuple[int, int]
    network: ThumbnailNet
    centre: FloatArray
    scale: FloatArray

    def predict(self, images: ImageArray, device: Device) -> FloatArray:
        """Return (N, 3): log10 views per day, over-threshold logit, residual in log10 units.

        Computed in float32 also where training was not: a score should not depend on which other
        thumbnails shared its batch.
        """
        outputs = np.empty((len(images), OUTPUTS))
        self.network.eval().to(device.torch_device)
        with torch.inference_mode():
            for start in range(0, len(images), PREDICTION_BATCH):
                batch = torch.from_numpy(images[start : start + PREDICTION_BATCH])
                rows = slice(start, start + len(batch))
                outputs[rows] = self.network(_normalised(batch.to(device.torch_device))).cpu()
        outputs[:, [0, 2]] = outputs[:, [0, 2]] * self.scale + self.centre
        return outputs

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Return everything learned as arrays by name."""
        weights = {key: value.cpu().numpy() for key, value in self.network.state_dict().items()}
        return weights | {"centre": self.centre, "scale": self.scale}

    @classmethod
    def from_tensors(
        cls, left_out: tuple[int, int], tensors: Mapping[str, npt.NDArray[Any]], config: CnnConfig
    ) -> "Member":
        """Build a member from :meth:`tensors`."""
        network = ThumbnailNet(config)
        network.load_state_dict(
            {
                # A copy: arrays out of a file may be read-only, and 0-d ones lose their shape.
                key: torch.tensor(value)
                for key, value in tensors.items()
                if key not in {"centre", "scale"}
            }
        )
        return cls(left_out, network.eval(), tensors["centre"], tensors["scale"])


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
) -> Member:
    """Train one network on some rows; the same arguments give the same bits on one machine.

    Args:
        left_out: The two folds that ``rows`` leave out.
        images: All thumbnails, shape (N, 90, 160, 3).
        rows: Indices of the R training rows.
        targets: Of the training rows, length R.
        residual: Log views per day beyond subscribers, of the training rows, length R.
        config: Hyperparameters.
        seed: Decides the first weights, the order and the augmentation.
        device: Where to train.
        step: Called after every step.
        cancelled: Asked before every step.

    Raises:
        LearningError: The loss is no longer finite.
        LearningCancelledError: ``cancelled`` said so.
    """
    truth, centre, scale = _standardised(targets, residual)
    pixels = torch.from_numpy(images)
    generator = torch.Generator().manual_seed(seed)
    with seeded(seed):
        network = ThumbnailNet(config).to(device.torch_device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        steps = training_steps(len(rows), config)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=config.learning_rate, total_steps=steps
        )
        network.train()
        for batch in _batches(len(rows), steps, config, generator):
            if cancelled():
                raise LearningCancelledError
            augmented = _augmented(pixels, torch.from_numpy(rows)[batch], config, generator)
            inputs = _normalised(augmented.to(device.torch_device))
            inputs = _jittered(inputs, config, generator)
            with device.autocast():
                outputs = network(inputs)
            loss = _loss(outputs, truth[batch].to(device.torch_device))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            if not torch.isfinite(loss.detach()):
                raise LearningError(
                    f"training of member {left_out} diverged: the loss is {loss.item()};"
                    " lower the learning rate or look for broken labels",
                    reason="diverged",
                )
            optimizer.step()
            schedule.step()
            step()
    return Member(left_out, network.eval(), centre, scale)


def _standardised(targets: Targets, residual: FloatArray) -> tuple[Tensor, FloatArray, FloatArray]:
    """Return (R, 3) targets in the order of the outputs, and the centre and scale of two."""
    both = np.column_stack([targets.log_views_per_day, residual])
    centre, spread = both.mean(axis=0), both.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    views, beyond = ((both - centre) / scale).T
    stacked = np.column_stack([views, targets.is_over.astype(np.float64), beyond])
    return torch.from_numpy(stacked.astype(np.float32)), centre, scale


def _loss(outputs: Tensor, truth: Tensor) -> Tensor:
    views, over, residual = outputs.unbind(dim=1)
    return (
        functional.mse_loss(views, truth[:, 0])
        + functional.binary_cross_entropy_with_logits(over, truth[:, 1])
        + functional.mse_loss(residual, truth[:, 2])
    )


def _batches(rows: int, steps: int, config: CnnConfig, generator: torch.Generator) -> Any:
    """Yield ``steps`` batches of row numbers; every pass is a fresh shuffle."""
    size = min(config.batch_size, rows)
    per_epoch = max(1, rows // config.batch_size)
    for step in range(steps):
        if step % per_epoch == 0:
            order = torch.randperm(rows, generator=generator)
        start = step % per_epoch * size
        yield order[start : start + size]


def _augmented(
    pixels: Tensor, rows: Tensor, config: CnnConfig, generator: torch.Generator
) -> Tensor:
    """Gather rows (B, 90, 160, 3), each flipped at random and shifted with its edge repeated."""
    _, height, width, _ = pixels.shape
    count = len(rows)

    def shifts() -> Tensor:
        return torch.randint(-config.shift, config.shift + 1, (count, 1), generator=generator)

    down = (torch.arange(height) + shifts()).clamp(0, height - 1)
    across = (torch.arange(width) + shifts()).clamp(0, width - 1)
    flip = torch.rand(count, 1, generator=generator) < 0.5  # noqa: PLR2004 - a fair coin
    across = torch.where(flip, across.flip(1), across)
    return pixels[rows[:, None, None], down[:, :, None], across[:, None, :]]


def _jittered(inputs: Tensor, config: CnnConfig, generator: torch.Generator) -> Tensor:
    """Change contrast and brightness a little, by image."""
    change = (torch.rand(2, len(inputs), 1, 1, 1, generator=generator) * 2 - 1) * config.jitter
    contrast, brightness = change.to(inputs.device)
    jittered: Tensor = inputs * (1 + contrast) + brightness
    return jittered


def _normalised(images: Tensor) -> Tensor:
    """Turn uint8 (N, H, W, 3) into float (N, 3, H, W) in [-1, 1], channels last in memory."""
    return images.permute(0, 3, 1, 2).float().div(127.5).sub(1.0)
