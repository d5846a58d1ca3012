"""The columns of the regressions: rounding intervals, what is unknown, formats."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ml.thumbnails.data.rows import Features
from ml.thumbnails.data.schema import ROW_SCHEMA
from ml.thumbnails.stacking.regression import (
    AGE_FORMAT,
    HISTORY,
    SUBSCRIBERS,
    Design,
    fit_linear,
    log_subscribers,
)
from tests.support.learning import draw


def of_counts(counts, high=None):
    numbers = {} if high is None else {"subscriber_count_high": np.array(high)}
    return Features(["UC1"] * len(counts), np.array(counts), numbers=numbers)


def test_hidden_counts_take_the_median_and_are_marked():
    features = of_counts([9.0, 99.0, 999.0, np.nan])
    design = Design.fit(SUBSCRIBERS, features)
    assert design.medians.tolist() == [2]
    np.testing.assert_allclose(design.matrix(features), [[1, 0], [2, 0], [3, 0], [2, 1]])


def test_all_hidden_is_a_constant():
    features = of_counts([np.nan] * 5)
    matrix = Design.fit(SUBSCRIBERS, features).matrix(features)
    np.testing.assert_allclose(fit_linear(matrix, np.arange(5.0)), [2, 0, 0], atol=1e-12)


@given(st.integers(0, 10**9), st.integers(0, 10**6))
def test_a_rounded_count_stands_for_the_middle_of_its_interval(count, width):
    middle = log_subscribers(of_counts([count], [count + width]))[0]
    low, high = np.log10(count + 1), np.log10(count + width + 1)
    assert low <= middle <= high
    np.testing.assert_allclose(middle - low, high - middle, atol=1e-12)


def test_what_is_unknown_of_all_is_no_reason_to_leave_any_out():
    features = of_counts([10.0, 20.0])
    matrix = Design.fit((*SUBSCRIBERS, *AGE_FORMAT, *HISTORY), features).matrix(features)
    assert np.isfinite(matrix).all()


def test_a_table_gives_formats_and_ages():
    drawn = draw(channels=4, videos=1).replace("format", ["short", "long", "premiere", None])
    groups = drawn.rows["channel_id"].to_pylist()
    features = Features.of_table(drawn.rows.select(ROW_SCHEMA.names), split_groups=groups)
    np.testing.assert_array_equal(features.number("is_short"), [1, 0, 0, np.nan])
    np.testing.assert_array_equal(features.number("is_live"), [0, 0, 1, np.nan])
    assert np.isfinite(features.number("age_days")).all()
    few = features.take(np.array([2]))
    assert few.number("is_live").tolist() == [1]
