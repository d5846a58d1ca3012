"""The interval for what the thumbnail adds keeps its word: the short version of `make calibrate`.

The bounds are wide enough that chance leaves them once in some hundred seeds; the seeds are fixed.
"""

import pytest

from benchmarks.calibration import summary, trials
from benchmarks.catalogues import World

CATALOGUES = 24


def shares(effect: float) -> dict[str, float]:
    worlds = [World(40, 6, effect)]
    found = list(trials(worlds, CATALOGUES, processes=1, population=4_000))
    return {name: value["share"] for name, value in summary(found)["intervals"].items()}


def test_without_effect_the_interval_seldom_leaves_zero():
    found = shares(0.0)
    assert found["above_zero"] <= 2 / CATALOGUES
    assert found["excludes_zero"] <= 4 / CATALOGUES
    assert found["covers_gained"] >= 20 / CATALOGUES


def test_what_was_planted_is_covered():
    found = shares(0.45)
    assert found["above_zero"] > 0.25
    assert found["covers_gained"] >= 20 / CATALOGUES
    assert found["covers_usual"] >= 19 / CATALOGUES


def test_the_same_catalogues_come_each_time_one_process_or_two():
    worlds = [World(40, 4, 0.0), World(40, 4, 0.3)]
    once, again = (
        list(trials(worlds, 2, processes=processes, population=500)) for processes in (1, 2)
    )
    assert once == again
    assert len({trial.interval.value for trial in once}) == len(once)
    assert once[0].planted == 0 < once[1].planted == pytest.approx(0.09, abs=0.03)
