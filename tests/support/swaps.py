"""Invented videos around invented swaps: what a picture does, and what would have come anyway."""

from dataclasses import dataclass

import numpy as np

from ml.thumbnails.evaluation.swaps import DAYS, Swap, Trajectory

LENGTH = 4 * DAYS
"""Days drawn a video: two weeks before the last moment of a swap, and two after it."""


@dataclass(frozen=True)
class SwapWorld:
    """How swaps come about, and what they do.

    Attributes:
        effect: log10 of views a day, from the swap on.
        selected: Whether owners swap the picture of a video in a bad week, or of any.
        follows_score: Effect per unit of what a model predicts, on top.
        channels: How many.
        videos: Each.
        share: Of the videos that are swapped.
    """

    effect: float = 0.0
    selected: bool = False
    follows_score: float = 0.0
    channels: int = 40
    videos: int = 40
    share: float = 0.05


def draw_swaps(world: SwapWorld, seed: int) -> list[Swap]:
    """Draw daily views with a channel's level, a video's, fading by age, and bad spells that pass.

    All channels live in the same weeks, in which everything goes up by a quarter.
    """
    generator = np.random.default_rng(seed)
    rows = world.channels * world.videos
    channel = np.repeat(np.arange(world.channels), world.videos)
    level = 2.5 + generator.normal(0, 0.5, world.channels)[channel]
    video = generator.normal(0, 0.3, rows)
    age = 10 ** generator.uniform(1.3, 2.2, rows)
    ages = age[:, None] + np.arange(LENGTH) - 2 * DAYS
    daily = level[:, None] + video[:, None] - 0.8 * np.log10(ages / 30)
    daily += 0.1 * (np.arange(LENGTH) >= 2 * DAYS) + _spells(generator, rows)
    daily += generator.normal(0, 0.05, daily.shape)
    week = daily[:, DAYS : 2 * DAYS].mean(axis=1)
    if world.selected:
        # Badly for the channel and the age, as an owner sees it; some only.
        beyond = week - level + 0.8 * np.log10(age / 30)
        bad = np.flatnonzero(beyond < np.quantile(beyond, 4 * world.share))
        chosen = generator.choice(bad, len(bad) // 4, replace=False)
    else:
        chosen = generator.choice(rows, round(world.share * rows), replace=False)
    swapped = np.zeros(rows, dtype=bool)
    swapped[chosen] = True
    predicted = generator.normal(0, 0.1, rows)
    daily[swapped, 2 * DAYS :] += world.effect + world.follows_score * predicted[swapped, None]
    counted = np.log10(10**daily + 1)
    usual = [float(np.median(week[channel == c])) for c in range(world.channels)]
    trajectories = [
        _course(f"v{row:05d}", f"UC{channel[row]}", float(age[row]), usual[channel[row]], one)
        for row, one in enumerate(counted)
    ]
    return [
        Swap(
            trajectories[row],
            [
                trajectories[other]
                for other in np.flatnonzero(~swapped & _alike(channel, level, row))
            ],
            float(predicted[row]),
        )
        for row in np.flatnonzero(swapped)
    ]


def _alike(channel: np.ndarray, level: np.ndarray, row: int) -> np.ndarray:
    return (channel == channel[row]) | (np.abs(level - level[row]) < 0.4)


def _spells(generator: np.random.Generator, rows: int) -> np.ndarray:
    """Return what comes and goes: each day three quarters of it are left."""
    spell = np.empty((rows, LENGTH))
    spell[:, 0] = generator.normal(0, 0.25, rows)
    for day in range(1, LENGTH):
        fresh = generator.normal(0, 0.25 * np.sqrt(1 - 0.75**2), rows)
        spell[:, day] = 0.75 * spell[:, day - 1] + fresh
    return spell


def _course(video: str, channel: str, age: float, usual: float, daily: np.ndarray) -> Trajectory:
    before = daily[DAYS : 2 * DAYS]
    return Trajectory(
        video=video,
        channel=channel,
        log_age=float(np.log10(age)),
        usual=usual,
        earlier=_level(daily[:DAYS]),
        before=_level(before),
        recent=_level(before[DAYS // 2 :]),
        after=_level(daily[2 * DAYS : 3 * DAYS]),
        daily=daily[DAYS : 3 * DAYS],
    )


def _level(logs: np.ndarray) -> float:
    return float(np.log10(np.mean(10**logs - 1) + 1))
