"""What swaps did, told from what would have come anyway; on drawn courses of views."""

import json
from dataclasses import replace

import numpy as np
import pytest

from ml.thumbnails.evaluation.swaps import DAYS, MIN_SWAPS, SwapStudy, study
from tests.support.swaps import SwapWorld, draw_swaps

WORLDS = 8


def studies(world: SwapWorld) -> list[SwapStudy]:
    return [study(draw_swaps(world, seed), resamples=300, seed=seed) for seed in range(WORLDS)]


def beside_the_channel(world: SwapWorld) -> float:
    """What one finds who holds swapped videos against all others of their channels."""
    effects = [
        swap.trajectory.after
        - swap.trajectory.before
        - np.mean(
            [c.after - c.before for c in swap.candidates if c.channel == swap.trajectory.channel]
        )
        for seed in range(WORLDS)
        for swap in draw_swaps(world, seed)
    ]
    return float(np.mean(effects))


@pytest.mark.parametrize("effect", [0.0, 0.1])
def test_what_was_planted_is_found_and_no_more(effect):
    found = studies(SwapWorld(effect=effect))
    assert np.mean([each.effect.value for each in found]) == pytest.approx(effect, abs=0.02)
    covered = [each.effect.low <= effect <= each.effect.high for each in found]
    assert sum(covered) >= WORLDS - 2  # fewer come in 1 of 170 at 95 %


def test_swaps_after_a_bad_week_fake_no_effect_though_those_videos_recover():
    world = SwapWorld(selected=True)
    assert beside_the_channel(world) > 0.07
    found = studies(world)
    assert abs(np.mean([each.effect.value for each in found])) < 0.02
    assert sum(each.effect.low <= 0 <= each.effect.high for each in found) >= WORLDS - 2
    # That they had fallen behind their like before is told.
    assert all(each.placebo.high < 0 for each in found)


def test_an_effect_after_a_bad_week_is_not_mixed_up_with_the_recovery():
    found = studies(SwapWorld(effect=0.1, selected=True))
    assert np.mean([each.effect.value for each in found]) == pytest.approx(0.1, abs=0.02)


def test_each_day_is_held_against_the_week_before():
    found = study(draw_swaps(SwapWorld(effect=0.2, share=0.1), 0), resamples=300)
    assert [day for day, _ in found.daily] == [*range(-DAYS, 0), *range(1, DAYS + 1)]
    for day, interval in found.daily:
        assert interval.low <= interval.value <= interval.high
        assert interval.value == pytest.approx(0.2 if day > 0 else 0.0, abs=0.06)


def test_gains_that_follow_the_score_are_told_from_those_that_do_not():
    follows = study(draw_swaps(SwapWorld(follows_score=1.0, share=0.1), 1), resamples=300)
    assert follows.by_score.slope.low > 0
    assert follows.by_score.slope.value == pytest.approx(1, abs=0.35)
    assert follows.by_score.difference.low > 0
    does_not = study(draw_swaps(SwapWorld(share=0.1), 1), resamples=300)
    assert does_not.by_score.slope.low <= 0 <= does_not.by_score.slope.high


def test_no_video_is_a_control_twice_nor_one_that_is_not_like_it():
    swaps = draw_swaps(SwapWorld(), 2)
    [first, *_] = swaps
    alone = [replace(swap, candidates=[first.candidates[0]]) for swap in swaps]
    assert study(alone, resamples=10).n_swaps <= 1
    far = [replace(c, before=c.before + 1) for c in first.candidates]
    found = study([replace(first, candidates=far)], resamples=10)
    assert (found.n_swaps, found.unmatched) == (0, 1)


def test_a_video_whose_earlier_views_are_not_known_has_no_placebo():
    swaps = [
        replace(swap, trajectory=replace(swap.trajectory, earlier=float("nan")))
        for swap in draw_swaps(SwapWorld(), 3)
    ]
    found = study(swaps, resamples=100)
    assert found.effect is not None
    assert found.placebo is None


def test_too_few_swaps_say_how_many_there_are_and_nothing_else():
    found = study(draw_swaps(SwapWorld(), 4)[: MIN_SWAPS - 1])
    assert found.effect is None
    assert found.daily == ()
    assert 0 < found.n_swaps < MIN_SWAPS
    assert json.loads(json.dumps(found.as_json(), allow_nan=False))["by_score"] is None
