"""The last stages of the pretrained network, trained on, in place of a head on what is frozen.

What the first stages make of a picture is computed once; a member of the ensemble starts from the
published weights of the rest and learns on those maps. So a step costs a third of what it would
cost through the whole network, and the stages that are the same for all photographs, light, edges
and textures, cannot be unlearned on a few hundred rows (Yosinski et al. 2014, "How transferable are
features in deep neural networks?"). Cross-fitted in pairs as the networks from scratch are.
"""

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from ml.arrays import FloatArray, IntArray
from ml.evaluation.splits import Pair
from ml.runtime.device import Device
from ml.thumbnails.backbones.cnn import OUTPUTS, TrainedNetwork
from ml.thumbnails.backbones.efficientnet_lite import HEAD_CHANNELS, EfficientNetLite0, Flavour
from ml.thumbnails.backbones.embeddings import FROZEN_STAGES, MAP_SHAPE
from ml.thumbnails.data.rows import Features, Targets
from ml.thumbnails.stacking.ensemble import outputs_of, tensors_by_pair, tensors_of
from ml.thumbnails.stacking.members import MemberTraining, train_members
from ml.training.callbacks import Cancelled, Progress
from ml.training.checkpoints import Checkpoints


@dataclass(frozen=True)
class TuningConfig:
    """Hyperparameters.

    Attributes:
        epochs: Passes over a member's training rows.
        batch_size: Pictures a step.
        learning_rate: Peak of the one-cycle schedule for the pretrained weights; the new layer on
            top, which starts at nothing, gets ten times as much.
        weight_decay: Of AdamW.
        dropout: On the pooled features.
    """

    epochs: int = 6
    batch_size: int = 32
    learning_rate: float = 3e-4
    weight_decay: float = 0.05
    dropout: float = 0.3


class TunedNet(nn.Module):
    """The last stages and a new layer on top: (N, 112, 12, 20) maps to (N, 3) as ThumbnailNet.

    Batch normalisation keeps ImageNet's statistics: those of a few hundred rows are noise.
    """

    def __init__(self, network: EfficientNetLite0) -> None:
        super().__init__()
        self.stages = nn.Sequential(*copy.deepcopy(list(network.blocks)[FROZEN_STAGES:]))
        self.conv_head = copy.deepcopy(network.conv_head)
        self.bn2 = copy.deepcopy(network.bn2)
        self.head = nn.Linear(HEAD_CHANNELS, OUTPUTS)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, maps: Tensor, kept: Tensor | None = None) -> Tensor:
        """Return (N, 3): log views, over-threshold logit, residual.

        Args:
            maps: (N, 112, 12, 20).
            kept: Dropout's factors for the pooled features, (N, 1280); None keeps all.
        """
        hidden = functional.relu6(self.bn2(self.conv_head(self.stages(maps))))
        pooled = hidden.mean(dim=(2, 3)).float()
        with torch.autocast(maps.device.type, enabled=False):
            return cast("Tensor", self.head(pooled if kept is None else pooled * kept))


class TunedMember(TrainedNetwork[TunedNet]):
    """A network that was trained on; its inputs are maps, (N, :data:`MAP_WIDTH`)."""

    at_once = 64

    @staticmethod
    def network_input(part: npt.NDArray[Any], device: Device) -> Tensor:
        """Turn maps into what the network takes."""
        return _input(part, device)

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, npt.NDArray[Any]], flavour: Flavour) -> Self:
        """Build a member from :meth:`tensors`."""
        return cls.filled(TunedNet(EfficientNetLite0(flavour)), tensors)


@dataclass(frozen=True)
class TunedEnsemble:
    """Members by the pair of folds they left out.

    Attributes:
        config: Hyperparameters.
        flavour: Of the network that the members began as.
        members: K (K - 1) / 2 networks.
    """

    config: TuningConfig
    flavour: Flavour
    members: Mapping[Pair, TunedMember]

    def member_outputs(
        self, maps: npt.NDArray[np.float16], folds_by_row: IntArray
    ) -> dict[Pair, tuple[IntArray, FloatArray]]:
        """Run every member on the rows that it may score, as the networks from scratch."""
        return outputs_of(self.members, maps, folds_by_row)

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Return all weights as arrays by name, such as ``tuned.0.1.head.weight``."""
        return tensors_of(self.members, "tuned")

    @classmethod
    def from_tensors(
        cls,
        tensors: Mapping[str, npt.NDArray[Any]],
        *,
        folds: int,
        content: Mapping[str, Any],
    ) -> Self:
        """Build an ensemble from :meth:`tensors` and what a card says of its config and flavour."""
        flavour = Flavour.from_json(content["flavour"])
        members = {
            pair: TunedMember.from_tensors(mine, flavour)
            for pair, mine in tensors_by_pair(tensors, "tuned", folds=folds).items()
        }
        config = TuningConfig(**{each.name: content[each.name] for each in fields(TuningConfig)})
        return cls(config, flavour, members)


def train_tuned(
    network: EfficientNetLite0,
    maps: npt.NDArray[np.float16],
    features: Features,
    targets: Targets,
    folds_by_row: IntArray,
    *,
    folds: int,
    config: TuningConfig,
    seed: int,
    progress: Progress,
    cancelled: Cancelled,
    checkpoints: Checkpoints | None = None,
) -> TunedEnsemble:
    """Train every member on the folds it does not leave out; the same arguments, the same bits.

    Args:
        network: The pretrained network, which stays as it is.
        maps: Of N pictures, (N, :data:`MAP_WIDTH`).
        features: Of the same rows.
        targets: Of the same rows.
        folds_by_row: (N,).
        folds: K.
        config: Hyperparameters.
        seed: Members get seeds derived from it.
        progress: Told after each step, over all members together, in the caller's thread.
        cancelled: Asked at each step, likewise.
        checkpoints: Where each member's state is kept, to go on from if the process dies.

    Raises:
        LearningError: Too few rows, or a diverging loss.
        LearningCancelledError: ``cancelled`` said so.
    """
    members, _ = train_members(
        lambda member: _train_member(TunedNet(network), maps, config, member),
        features,
        targets,
        folds_by_row,
        folds=folds,
        config=config,
        seed=seed,
        message="fine-tuning {} networks",
        progress=progress,
        cancelled=cancelled,
        checkpoints=checkpoints,
    )
    return TunedEnsemble(config, network.flavour, members)


def _train_member(
    network: TunedNet,
    maps: npt.NDArray[np.float16],
    config: TuningConfig,
    training: MemberTraining,
) -> TunedMember:
    device, rows = training.device, training.shuffled(config)
    target, generator = device.torch_device, rows.generator
    network = network.to(target, memory_format=torch.channels_last)  # type: ignore[call-overload]
    new = list(network.head.parameters())
    old = [p for key, p in network.named_parameters() if not key.startswith("head.")]
    network.eval()  # see TunedNet: statistics stay, gradients flow all the same

    def outputs_of_batch(batch: IntArray) -> Tensor:
        inputs = _input(maps[training.rows[batch]], device)
        # A mirrored map stands for the mirrored picture.
        mirrored = torch.from_numpy(generator.random(len(batch)) < 0.5).to(target)  # noqa: PLR2004
        inputs = torch.where(mirrored[:, None, None, None], inputs.flip(3), inputs)
        kept = generator.random((len(batch), HEAD_CHANNELS)) >= config.dropout
        factors = torch.from_numpy(kept / np.float32(1 - config.dropout)).to(target)
        with device.autocast():
            outputs: Tensor = network(inputs, factors)
        return outputs

    groups = [(old, config.learning_rate), (new, 10 * config.learning_rate)]
    centre, scale = training.run(
        "tuned", network, groups, config, asdict(config), rows, outputs_of_batch
    )
    return TunedMember(network.eval(), centre, scale)


def _input(maps: npt.NDArray[np.float16], device: Device) -> Tensor:
    shaped = torch.from_numpy(np.ascontiguousarray(maps)).reshape(-1, *MAP_SHAPE)
    return shaped.to(device.torch_device).float().contiguous(memory_format=torch.channels_last)
