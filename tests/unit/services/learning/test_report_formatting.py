import math
import unicodedata
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml.evaluation.bootstrap import Interval
from services.learning.report import formatting

SPACE = "\N{NO-BREAK SPACE}"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (0.004, "0"),
        (0.314, "0.31"),
        (1, "1"),
        (4.24, "4.2"),
        (9.99, "10"),
        (57.3, "57"),
        (99.6, "100"),
        (123.4, "123"),
        (12_345, "12,300"),
        (999_600, f"1{SPACE}million"),
        (1_240_000, f"1.2{SPACE}million"),
        (345_600_000, f"346{SPACE}million"),
        (2_000_000_000, f"2{SPACE}billion"),
    ],
)
def test_amounts_have_the_figures_that_people_need(number: float, text: str) -> None:
    assert formatting.amount(number) == text


@given(st.floats(min_value=0.05, max_value=1e12))
def test_an_amount_is_within_its_rounding_of_the_number(number: float) -> None:
    text = formatting.amount(number)
    units = {"million": 1e6, "billion": 1e9}
    figures, _, unit = text.partition(SPACE)
    shown = float(figures.replace(",", "")) * units.get(unit, 1.0)
    assert shown == pytest.approx(number, rel=0.051, abs=0.0051)


@pytest.mark.parametrize(
    ("fraction", "text"), [(0, "0"), (0.004, "0.4"), (0.48, "48"), (0.996, "99.6"), (1, "100")]
)
def test_shares_have_decimals_only_near_the_ends(fraction: float, text: str) -> None:
    assert formatting.share(fraction) == f"{text}{SPACE}%"


def test_figures_have_a_real_minus_and_no_signed_nothing() -> None:
    assert formatting.decimal(-0.0123) == "−0.012"
    assert formatting.decimal(0.0123, signed=True) == "+0.012"
    assert formatting.decimal(-0.0001, signed=True) == "0.000"
    assert formatting.decimal(math.nan) == "–"


def test_limits_of_an_interval_that_is_undefined_are_not_invented() -> None:
    assert formatting.limits(Interval(0.5, -0.1, 0.7)) == "[−0.100, 0.700]"
    assert formatting.limits(Interval(0.5, math.nan, math.nan)) == ""


def test_times_speaks_of_the_larger_number() -> None:
    assert formatting.times(2.0) == formatting.times(-2.0) == f"100{SPACE}×"


def test_dates_do_not_depend_on_the_machines_language() -> None:
    moment = datetime(2026, 3, 1, 9, 5, tzinfo=UTC)
    assert formatting.day(moment).replace(SPACE, " ") == "1 Mar 2026"
    assert formatting.minute(moment).endswith(", 09:05 UTC")


@given(st.text())
def test_a_title_becomes_one_bounded_line_without_control_characters(title: str) -> None:
    line = formatting.one_line(title, "untitled")
    assert 0 < len(line) <= 160
    assert not any(unicodedata.category(c) in {"Cc", "Zl", "Zp", "Cs"} for c in line)
    assert not any("\u202a" <= c <= "\u202e" or "\u2066" <= c <= "\u2069" for c in line)
    assert formatting.one_line(line, "untitled") == line


def test_titles_of_people_stay_as_they_are() -> None:
    for title in ("What I eat 🍜 in a day", "מה שלומך", "五分钟学会画猫", "x < y & z > 'q' \"r\""):
        assert formatting.one_line(title, "untitled") == title
    assert (
        formatting.one_line(None, "untitled")
        == formatting.one_line(" \u202e\n", "untitled")
        == "untitled"
    )
