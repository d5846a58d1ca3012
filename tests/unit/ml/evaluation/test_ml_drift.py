"""Drift: alarms are as rare as promised where nothing changed, and planted changes are found."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from ml.errors import LearningError
from ml.evaluation.drift import (
    BIAS,
    LOG_LOSS,
    MEASURES,
    R2,
    Categories,
    Evaluated,
    Numbers,
    Performance,
    detect,
)

SIMULATIONS = 150


class World:
    """Channels of one size each, videos that go with their channel, a model that knows the size."""

    def __init__(self, seed: int) -> None:
        self.generator = np.random.default_rng(seed)

    def rows(self, channels, each, *, prefix, shift=0.0, hidden=0.1, shorts=0.3, worse=1.0):
        """Return the columns of a sample; its channels are nobody else's."""
        g = self.generator
        sizes = g.integers(1, 2 * each, size=channels)
        channel = np.repeat(np.arange(channels), sizes)
        size = g.normal(4, 1, size=channels)[channel]
        unknown = (g.random(channels) < hidden)[channel]
        taste = g.random(channels)[channel] < shorts
        views = size * 0.8 + shift + g.normal(0, 0.5 * worse, size=len(size))
        p = 1 / (1 + np.exp(-4 * (size * 0.8 - 3)))
        return {
            "channels": [f"{prefix}{c}" for c in channel],
            "subscribers": np.where(unknown, np.nan, size),
            "format": ["short" if t else "long" for t in taste],
            "judged": Evaluated(p, size * 0.8, views > 3, views),
        }


def columns(reference, window):
    return [
        Numbers("subscribers", reference["subscribers"], window["subscribers"]),
        Categories("format", reference["format"], window["format"]),
        Numbers("views", reference["judged"].truth, window["judged"].truth),
        *(Performance(name, reference["judged"], window["judged"]) for name in MEASURES),
    ]


def drifted(reference, window, **options):
    found = detect(
        columns(reference, window), reference["channels"], window["channels"],
        **{"resamples": 400, **options},
    )  # fmt: skip
    return {each.name for each in found if each.is_drifted}


@pytest.mark.parametrize(("channels", "each"), [(25, 3), (60, 2)])
def test_without_drift_alarms_are_as_rare_as_promised(channels, each):
    alarms = 0
    for seed in range(SIMULATIONS):
        world = World(seed)
        reference = world.rows(80, 5, prefix="r")
        window = world.rows(channels, each, prefix="w")
        alarms += bool(drifted(reference, window, seed=seed))
    # 5 % of 150 are 7.5; more than 15 or fewer than 1 would happen once in a few hundred times.
    assert 1 <= alarms <= 15


def test_of_the_same_channels_alarms_are_no_more_frequent():
    alarms = 0
    for seed in range(SIMULATIONS // 2):
        whole = World(seed).rows(60, 8, prefix="c")
        chosen = np.random.default_rng(seed).random(len(whole["channels"])) < 0.25
        window, reference = (take(whole, np.flatnonzero(rows)) for rows in (chosen, ~chosen))
        alarms += bool(drifted(reference, window, seed=seed))
    assert alarms <= 6


def take(rows, chosen):
    evaluated = rows["judged"]
    parts = (
        evaluated.probability_over,
        evaluated.log10_views_per_day,
        evaluated.is_over,
        evaluated.truth,
    )
    return {
        "channels": [rows["channels"][i] for i in chosen],
        "subscribers": rows["subscribers"][chosen],
        "format": [rows["format"][i] for i in chosen],
        "judged": Evaluated(*(part[chosen] for part in parts)),
    }


@pytest.mark.parametrize(
    ("planted", "expected"),
    [
        ({"shift": 0.8}, {"views", LOG_LOSS, BIAS}),
        ({"hidden": 0.6}, {"subscribers"}),
        ({"shorts": 0.9}, {"format"}),
        ({"worse": 2.5}, {R2}),
    ],
)
def test_planted_drift_is_found(planted, expected):
    found = []
    for seed in range(10):
        world = World(seed)
        reference = world.rows(80, 5, prefix="r")
        found.append(drifted(reference, world.rows(60, 4, prefix="w", **planted), seed=seed))
    share = {name: sum(name in each for each in found) / 10 for name in expected}
    assert all(value >= 0.7 for value in share.values()), share


def test_the_same_seed_gives_the_same_thresholds():
    world = World(0)
    reference, window = world.rows(40, 4, prefix="r"), world.rows(30, 4, prefix="w")
    one, other, another = (
        detect(columns(reference, window), reference["channels"], window["channels"], seed=seed)
        for seed in (1, 1, 2)
    )
    assert one == other != another


@given(
    st.lists(st.integers(-5, 5), min_size=2, max_size=30),
    st.lists(st.integers(-5, 5), min_size=2, max_size=30),
)
def test_the_distance_of_numbers_is_scipys(one, other):
    column = Numbers("x", np.array(one, dtype=float), np.array(other, dtype=float))
    expected = ks_2samp(one, other, method="asymp").statistic
    assert column.distance() == pytest.approx(expected)


def test_unknown_is_less_than_any_number():
    one, other = np.array([1.0, 2, np.nan, np.nan]), np.array([1.0, 2, 2, 1])
    assert Numbers("x", one, other).distance() == pytest.approx(0.5)
    assert Categories("x", ["a", None], ["a", "a"]).distance() == pytest.approx(0.5)


def test_one_channel_alone_is_no_drift():
    """A category that nobody had, in one channel of twenty, is no alarm; in ten it is one."""
    reference = ["a"] * 200
    channels = [f"r{n % 50}" for n in range(200)]
    window_channels = [f"w{n % 20}" for n in range(100)]
    for many, alarm in ((1, False), (10, True)):
        window = ["b" if n % 20 < many else "a" for n in range(100)]
        [found] = detect([Categories("x", reference, window)], channels, window_channels)
        assert found.is_drifted is alarm


@pytest.mark.parametrize(
    ("videos", "channels", "reason"), [(30, 20, "tooFewVideos"), (60, 5, "tooFewChannels")]
)
def test_too_little_is_said(videos, channels, reason):
    values = np.zeros(100)
    many = [f"c{n % 30}" for n in range(100)]
    few = [f"c{n % channels}" for n in range(videos)]
    with pytest.raises(LearningError) as caught:
        detect([Numbers("x", values, values[:videos])], many, few)
    assert caught.value.reason == reason
