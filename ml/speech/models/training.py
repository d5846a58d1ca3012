"""Train one network on windows of speech."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ml.arrays import FloatArray
from ml.runtime.device import Device, seeded
from ml.runtime.prefetch import prefetch
from ml.speech.data.manifest import LANGUAGES, Manifest, check_trainable
from ml.speech.frontend.cache import CachedFeatures
from ml.speech.frontend.features import COLUMNS, AnyFeatures, Features
from ml.speech.frontend.windows import WindowConfig, cut_windows
from ml.speech.models.network import SpeechNet
from ml.speech.models.sampling import Batch, Sampler, SamplingConfig
from ml.training.callbacks import Cancelled
from ml.training.trainer import InOrder, Trainer

PREDICTION_BATCH = 64


@dataclass(frozen=True)
class SpeechConfig:
    """Hyperparameters of one network and its training.

    Attributes:
        network: What artefacts call the architecture; checkpoints are named by it.
        windows: How clips become windows.
        sampling: How batches are drawn.
        epochs: Passes; one pass draws as many windows as there are clips.
        batch_size: Windows a step.
        learning_rate: Peak of the one-cycle schedule.
        weight_decay: Of AdamW.
        dropout: On the embedding.
        smoothing: Of the labels.
        adversary: Weight of the reversed gradient of a head that tells the source within each
            language (Ganin et al. 2016); 0 leaves it out.
        averaged: Share of the steps at the end whose weights are averaged; 0 takes the last.
        members: Networks of different seeds whose logits are averaged.
        calibrated: Whether one more network is trained, with a pair of sources left out, to find
            the temperature on them.
    """

    network: str = "cnn"
    windows: WindowConfig = field(default_factory=WindowConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    epochs: int = 12
    batch_size: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    dropout: float = 0.3
    smoothing: float = 0.0
    adversary: float = 0.0
    averaged: float = 0.0
    members: int = 1
    calibrated: bool = True


def training_steps(clips: int, config: SpeechConfig) -> int:
    """Return how many steps training takes."""
    return config.epochs * max(1, clips // config.batch_size)


def train_network(
    architecture: type[SpeechNet],
    manifest: Manifest,
    clips: Sequence[Sequence[CachedFeatures]],
    config: SpeechConfig,
    *,
    seed: int,
    device: Device,
    step: Callable[[], None],
    cancelled: Cancelled,
) -> SpeechNet:
    """Train; the same arguments give the same bits on one machine.

    Args:
        architecture: Builds the network for a number of input columns.
        manifest: The training clips.
        clips: Their features by variant.
        config: Hyperparameters.
        seed: Decides weights, batches, masks and dropout.
        device: Where to train.
        step: Called after every step, from the thread that trains.
        cancelled: Asked before every step, likewise.

    Raises:
        LearningError: ``oneLanguage``, ``tooFewClips`` or ``diverged``.
        LearningCancelledError: ``cancelled`` said so.
    """
    check_trainable(manifest)
    generator = np.random.default_rng(seed)
    sampler = Sampler(manifest, clips, config.windows, config.sampling, generator)
    with seeded(seed):
        network = architecture(COLUMNS)
        adversary = _Adversary(network.embedding, len(set(manifest.sources)))
    network = network.to(device.torch_device).train()
    adversary = adversary.to(device.torch_device).train()
    parameters = [*network.parameters(), *(adversary.parameters() if config.adversary else [])]
    steps = training_steps(len(manifest), config)
    trainer = Trainer(
        network,
        [(parameters, config.learning_rate)],
        weight_decay=config.weight_decay,
        steps=steps,
    )
    average = _Average(network, start=round(steps * (1 - config.averaged)))
    dropout = np.random.default_rng([seed, 1])

    def loss_of(batch: Batch) -> Tensor:
        labels = torch.from_numpy(batch.labels).to(device.torch_device)
        kept = _kept(dropout, (len(labels), network.embedding), config.dropout)
        with device.autocast():
            windows = torch.from_numpy(batch.windows).to(device.torch_device)
            logits, embedding = network(windows, kept.to(device.torch_device))
        loss = functional.cross_entropy(logits, labels, label_smoothing=config.smoothing)
        if config.adversary:
            strength = config.adversary * min(1.0, 2 * trainer.done / steps)
            sources = torch.from_numpy(batch.sources).to(device.torch_device)
            loss = loss + adversary(embedding, labels, sources, strength)
        return loss

    def after_step() -> None:
        average.update(trainer.done - 1)
        step()

    drawn = (sampler.draw(config.batch_size) for _ in range(steps))
    with closing(prefetch(drawn)) as batches:
        trainer.run(
            InOrder(batches), loss_of, what="a speech network", step=after_step, cancelled=cancelled
        )
    average.apply()
    return network.eval()


def predict_windows(
    network: SpeechNet, windows: Features, device: Device
) -> tuple[FloatArray, FloatArray]:
    """Run a network in float32; return logits (W, 2) and embeddings (W, E)."""
    logits = np.empty((len(windows), len(LANGUAGES)))
    embeddings = np.empty((len(windows), network.embedding))
    network.eval().to(device.torch_device)
    with torch.inference_mode():
        for start in range(0, len(windows), PREDICTION_BATCH):
            rows = slice(start, start + PREDICTION_BATCH)
            part = torch.from_numpy(windows[rows]).to(device.torch_device)
            found, embedding = network(part)
            logits[rows], embeddings[rows] = found.cpu(), embedding.cpu()
    return logits, embeddings


def clip_logits(
    network: SpeechNet, clips: Sequence[AnyFeatures], config: WindowConfig, device: Device
) -> tuple[FloatArray, FloatArray]:
    """Average logits (N, 2) and embeddings (N, E) over each clip's windows."""
    windows, owners = cut_windows(clips, config)
    logits, embeddings = predict_windows(network, windows, device)
    count = np.bincount(owners, minlength=len(clips))[:, None]
    return _summed(logits, owners, len(clips)) / count, _summed(
        embeddings, owners, len(clips)
    ) / count


class _Reversed(torch.autograd.Function):
    """The identity whose gradient is turned round."""

    @staticmethod
    def forward(context: object, values: Tensor, strength: float) -> Tensor:
        context.strength = strength  # type: ignore[attr-defined]
        return values.view_as(values)

    @staticmethod
    def backward(context: object, *gradients: Tensor) -> tuple[Tensor, None]:
        return -context.strength * gradients[0], None  # type: ignore[attr-defined]


class _Adversary(nn.Module):
    """Tells the source within a language: over both, the source would give the language away."""

    def __init__(self, embedding: int, sources: int) -> None:
        super().__init__()
        self.sources = sources
        self.layers = nn.Sequential(
            nn.Linear(embedding, 64), nn.ReLU(), nn.Linear(64, len(LANGUAGES) * sources)
        )

    def forward(
        self, embedding: Tensor, labels: Tensor, sources: Tensor, strength: float
    ) -> Tensor:
        turned = _Reversed.apply(embedding, strength)  # type: ignore[no-untyped-call]
        found = self.layers(turned).view(len(labels), len(LANGUAGES), self.sources)
        mine = found[torch.arange(len(labels), device=labels.device), labels]
        return functional.cross_entropy(mine, sources)


class _Average:
    """The mean of the weights over the last steps (Izmailov et al. 2018)."""

    def __init__(self, network: nn.Module, start: int) -> None:
        self._network = network
        self._start = start
        self._count = 0
        self._sums: dict[str, Tensor] = {}

    def update(self, number: int) -> None:
        """Take in the weights after a step."""
        if number < self._start:
            return
        self._count += 1
        for name, value in self._network.state_dict().items():
            if value.is_floating_point():
                before = self._sums.get(name)
                self._sums[name] = value.clone() if before is None else before.add_(value)

    def apply(self) -> None:
        """Put the mean into the network."""
        if self._count:
            state = self._network.state_dict()
            means = {name: total / self._count for name, total in self._sums.items()}
            self._network.load_state_dict(state | means)


def _kept(generator: np.random.Generator, shape: tuple[int, int], dropout: float) -> Tensor:
    """Draw dropout's factors; from our own generator, as torch's is shared between threads."""
    kept = generator.random(shape) >= dropout
    return torch.from_numpy((kept / (1 - dropout)).astype(np.float32))


def _summed(values: FloatArray, owners: np.typing.NDArray[np.int64], clips: int) -> FloatArray:
    total = np.zeros((clips, values.shape[1]))
    np.add.at(total, owners, values)
    return total
