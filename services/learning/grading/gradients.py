"""Grad-CAM of the networks behind a rung, shown only if it depends on what they learned."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ml.arrays import FloatArray, ImageArray
from ml.images.decoding import decode_thumbnails
from ml.thumbnails.backbones.cnn import Member, ThumbnailNet
from ml.thumbnails.evaluation.explanation import grad_cam, passes_randomisation
from ml.thumbnails.models.thumbnail import ThumbnailRung
from services.learning.grading.grader import Grader
from services.learning.grading.pictures import as_shown

CHECKED_ON = 12
"""Comparable pictures on which maps of the model and of random ones are compared."""
RESIDUAL = 2
"""The output that is about what the channel's size does not explain."""


@dataclass(frozen=True)
class GradientMaps:
    """Grad-CAM's maps, if they may be shown.

    Attributes:
        state: ``passed``, ``failed`` (maps of networks with random weights look alike) or
            ``notApplicable`` (the model is no network, or there is nothing to check on).
        similarity: Of the maps to those of random networks, -1 to 1; None if not applicable.
        maps: A picture each, from 0 to 1; empty unless passed.
    """

    state: str
    similarity: float | None
    maps: list[FloatArray]


def gradient_maps(
    grader: Grader, channel_id: str | None, frames: Sequence[ImageArray], others: Sequence[bytes]
) -> GradientMaps:
    """Explain frames by the gradients of a network that never saw their channel.

    Args:
        grader: The models.
        channel_id: Whose pictures they are.
        frames: The pictures, (180, 320, 3) each.
        others: Encoded pictures to check on, together with the frames.
    """
    member = _member(grader, channel_id)
    if member is None or not others:
        return GradientMaps("notApplicable", None, [])
    shown = [as_shown(frame) for frame in frames]
    inputs = _inputs([*shown, *others[:CHECKED_ON]])

    def explain(model: nn.Module) -> FloatArray:
        assert isinstance(model, ThumbnailNet)
        return grad_cam(inputs, model, model.stages[-1], RESIDUAL)

    network = member.network.eval().to("cpu")
    check = passes_randomisation(network, explain, seed=grader.rung.card.seed)
    if not check.passed:
        return GradientMaps("failed", check.similarity, [])
    return GradientMaps("passed", check.similarity, list(explain(network)[: len(frames)]))


def _member(grader: Grader, channel_id: str | None) -> Member | None:
    """Return the first network that left out the channel's fold."""
    if not isinstance(grader.rung, ThumbnailRung):
        return None
    fold = int(np.argmax(grader.never_saw(channel_id)))
    members = grader.rung.pictures.ensemble.members
    return next(member for pair, member in members.items() if fold in pair)


def _inputs(contents: Sequence[bytes]) -> Tensor:
    numbered = {str(number): content for number, content in enumerate(contents)}
    images = torch.from_numpy(decode_thumbnails(list(numbered), numbered.__getitem__))
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1
