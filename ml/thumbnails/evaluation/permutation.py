"""What the thumbnail would seem to add if every video had another video's thumbnail.

The part of a prediction that the thumbnail is responsible for, which is the prediction with it less
the one without, is dealt out anew among the videos of one channel; among channels of one video,
across the channels of a fold. If a thumbnail says nothing of its own video, one dealing is as good
as another (Good 2005, "Permutation, Parametric and Bootstrap Tests of Hypotheses", chapter 3). What
a channel's thumbnails say of the channel survives the dealing and is no evidence here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ml.arrays import FloatArray, IntArray
from ml.evaluation import metrics


@dataclass(frozen=True)
class Permutation:
    """The ΔR² with each video's own thumbnail and with dealt ones.

    Attributes:
        delta_r2: As it is.
        null_mean: Mean over the dealings.
        null_high: 95 % of the dealings give less.
        p_value: Share of dealings, this one counted, that give as much or more.
        permutations: How many dealings.
        videos_within_channel: How many videos could swap within their channel.
    """

    delta_r2: float
    null_mean: float
    null_high: float
    p_value: float
    permutations: int
    videos_within_channel: int


def permuted_contribution(
    truth: FloatArray,
    without: FloatArray,
    with_thumbnail: FloatArray,
    channels: Sequence[str],
    folds: IntArray,
    *,
    permutations: int = 1000,
    seed: int = 0,
) -> Permutation:
    """Deal the thumbnail's part of the predictions out anew, many times.

    Args:
        truth: log10(views per day + 1), shape (N,).
        without: Predicted by a rung without the thumbnail, shape (N,).
        with_thumbnail: By the rung that has it in addition, shape (N,).
        channels: Of each row, length N.
        folds: Of each row, shape (N,): parts of different folds come from different models.
        permutations: How many dealings.
        seed: Makes them repeatable.
    """
    part = with_thumbnail - without
    base = float(metrics.r_squared(truth, without))
    observed = float(metrics.r_squared(truth, with_thumbnail)) - base
    _, channel, size = np.unique(channels, return_inverse=True, return_counts=True)
    alone = size[channel] == 1
    # Channels of one video have no other to swap with: a fold's form one group.
    group = np.where(alone, len(size) + folds, channel)
    home = np.argsort(group, kind="stable")
    generator = np.random.default_rng(seed)
    drawn = np.empty(permutations)
    for number in range(permutations):
        dealt = np.empty_like(part)
        dealt[home] = part[np.lexsort((generator.random(len(part)), group))]
        drawn[number] = metrics.r_squared(truth, without + dealt) - base
    as_much = int((drawn >= observed - 1e-12).sum())
    return Permutation(
        delta_r2=observed,
        null_mean=float(drawn.mean()),
        null_high=float(np.quantile(drawn, 0.95)),
        p_value=(1 + as_much) / (1 + permutations),
        permutations=permutations,
        videos_within_channel=int((~alone).sum()),
    )
