"""Which of several graded pictures is worth a test."""

from types import SimpleNamespace
from typing import Any

import pytest

from ml.evaluation.bootstrap import Interval
from services.learning.grading.formatting import which_to_test


def graded(name: str, percentile: float) -> Any:
    found = Interval(percentile, percentile - 5, percentile + 5)
    return SimpleNamespace(
        candidate=SimpleNamespace(name=name), percentiles={"likeSized": found, "own": None}
    )


def pair(first: str, second: str, ratio: float, *, shown: bool) -> Any:
    return SimpleNamespace(
        first=first, second=second, ratio=Interval(ratio, ratio / 2, ratio * 2), shown=shown
    )


def grading(pictures: list[Any], pairs: list[Any], state: str = "shown") -> Any:
    return SimpleNamespace(evidence=SimpleNamespace(state=state), graded=pictures, pairs=pairs)


THREE = [graded("a.jpg", 40), graded("b.jpg", 80), graded("c.jpg", 70)]


@pytest.mark.parametrize(
    ("ratio", "shown", "said"),
    [
        (0.5, True, "Test b.jpg: it is ahead of c.jpg, the next best, beyond doubt."),
        (0.9, False, "Test b.jpg against c.jpg: they lead, and no difference is shown"),
    ],
)
def test_the_two_that_lead_are_named(ratio: float, shown: bool, said: str) -> None:
    found = which_to_test(grading(THREE, [pair("c.jpg", "b.jpg", ratio, shown=shown)]))
    assert found is not None
    assert found.startswith(said)


def test_nothing_is_advised_where_nothing_was_shown_or_is_to_be_chosen() -> None:
    assert which_to_test(grading(THREE, [], state="notShown")) is None
    assert which_to_test(grading(THREE[:1], [])) is None
    assert which_to_test(grading(THREE, [])) is None
