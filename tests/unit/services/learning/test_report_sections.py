"""The report's sections on slices, swapped thumbnails and weekly growth."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from ml.evaluation.bootstrap import Interval
from ml.thumbnails.evaluation.swaps import ByScore, SwapStudy
from services.learning.report.page import render
from services.learning.thumbnails.growth import Growth, Labelled, TooLittle
from services.learning.thumbnails.swaps import SwapsFound
from tests.support.report_contents import UNDEFINED, Page, report_of
from tests.support.report_sections import FORWARD, SLICES, growth_of, swaps_of


def page(**sections) -> Page:
    report = (
        report_of(slices=SLICES, forward=FORWARD) if sections.pop("parts", None) else report_of()
    )
    return Page(render(report, **sections))


def test_sections_of_which_nothing_is_given_are_left_out() -> None:
    ids = {e.attributes.get("id") for e in page().all("h2")}
    assert not ids & {"slices", "swaps", "growth"}


def test_swaps_are_told_in_a_sentence_a_table_and_day_by_day() -> None:
    shown = page(swaps=swaps_of())
    assert swaps_of().sentence in shown.text
    assert "Videos got more views after their thumbnail was swapped" in shown.text
    assert "+26 % [+12 %, +41 %]" in shown.text.replace("\N{NO-BREAK SPACE}", " ")
    assert "to a higher score" in shown.text
    assert "0.90 [0.40, 1.40] came about" in shown.text
    assert "they were not swapped at random" in shown.text
    assert "a week too early" in shown.text
    assert "3 with no video like it" in shown.text
    description = next(e for e in shown.all("desc") if e.attributes["id"] == "swaps-days-desc")
    assert "day 1: +26 % [+12, +41]" in description.text
    assert shown.repeated_ids == []


def test_few_swaps_say_what_is_missing_and_draw_nothing() -> None:
    few = SwapsFound(4, {"noControl": 1}, SwapStudy(3, 2, 9, 1))
    shown = page(swaps=few)
    assert "Not enough data: 3 swapped thumbnails of 2 channels" in shown.text
    assert "4 swaps were seen so far" in shown.text
    assert not [e for e in shown.all("svg") if "swaps" in e.attributes["aria-labelledby"]]
    assert "No swap was seen so far" in page(swaps=SwapsFound(0, {}, SwapStudy(0, 0, 0, 0))).text


def test_no_effect_is_said_to_be_none_that_can_be_shown() -> None:
    found = swaps_of(effect=Interval(0.01, -0.03, 0.05), by_score=None, placebo=None)
    shown = page(swaps=found)
    assert "No effect of swapping a thumbnail can be shown" in shown.text
    assert "to a higher score" not in shown.text
    assert "A week too early" not in shown.text


def test_growth_sets_both_labels_beside_each_other() -> None:
    shown = page(growth=growth_of())
    assert growth_of().sentence in shown.text
    assert "0.940 [0.930, 0.950]" in shown.text
    assert "\N{MINUS SIGN}0.160 [\N{MINUS SIGN}0.200, \N{MINUS SIGN}0.120]" in shown.text
    assert any(e.attributes["id"] == "growth-labels-title" for e in shown.all("title")[1:])
    undefined = replace(growth_of(), week=Labelled(0.0, 1.0, UNDEFINED, UNDEFINED))
    assert page(growth=undefined).repeated_ids == []


def test_too_few_counts_a_week_apart_are_said_to_be_too_few() -> None:
    shown = page(growth=TooLittle(12, 3))
    assert "12 videos of 3 channels have two counts a week apart" in shown.text


def test_slices_stand_with_their_base_rate_and_number() -> None:
    shown = page(parts=True)
    assert "1,234" in shown.text
    assert "by subscribers, from" in shown.text
    assert "77" in shown.text
    rows = [" ".join(e.text.split()) for e in shown.all("tr")]
    assert any("undefined part" in row and "\N{EN DASH}" in row for row in rows)


def test_forward_in_time_is_a_table_also_as_an_earlier_release_stored_it() -> None:
    assert "what the thumbnail adds" in page(parts=True).text
    earlier = {k: v for k, v in FORWARD.items() if k not in {"intervals", "differences", "looked"}}
    shown = Page(render(report_of(forward=earlier)))
    assert "Forward in time" in shown.text
    assert "0.912" in shown.text


def test_what_is_shown_can_be_printed_as_json() -> None:
    for found in (
        swaps_of(),
        growth_of(),
        TooLittle(1, 1),
        SwapsFound(0, {}, SwapStudy(0, 0, 0, 0)),
    ):
        assert json.loads(json.dumps(found.as_json(), allow_nan=False))["sentence"]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_undefined_limits_break_no_figure(value: float) -> None:
    days = [(1, Interval(0.0, value, value))]
    assert page(swaps=swaps_of(daily=days)).all("svg")


def test_an_effect_that_harms_is_said_to_harm() -> None:
    found = swaps_of(effect=Interval(-0.1, -0.15, -0.05))
    assert "fewer views" in found.sentence
    assert isinstance(found.found.by_score, ByScore)
    assert isinstance(growth_of(), Growth)
    assert np.isfinite(growth_of().log_week).all()
