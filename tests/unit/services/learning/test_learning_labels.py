from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.learning.thumbnails.labels import LABELS, Label, interpolated, label
from services.youtube.view_counts import crosses_break

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)
AGES = st.floats(0.01, 1_000)
VIEWS = st.integers(0, 10**10)


@given(st.lists(AGES, min_size=3, max_size=3), VIEWS, VIEWS)
def test_between_two_counts_views_stay_between_them(ages, views0, views1):
    age0, age, age1 = sorted(ages)
    views = interpolated(age, (age0, views0), (age1, views1))
    slack = 1e-6 * max(views0, views1, 1)
    assert min(views0, views1) - slack <= views <= max(views0, views1) + slack


@given(st.floats(0.2, 1.5), st.floats(1_000, 1e8), st.floats(3.5, 7), st.floats(7, 14))
def test_growth_by_a_power_of_age_is_met_exactly(power, scale, age0, age1):
    views = interpolated(7, (age0, scale * age0**power - 1), (age1, scale * age1**power - 1))
    assert views == pytest.approx(scale * 7**power - 1, rel=1e-9)


@pytest.mark.parametrize("age", [2.9, 9.1])
def test_nothing_is_extrapolated(age):
    with pytest.raises(ValueError, match="not between"):
        interpolated(age, (3, 10), (9, 20))


def video(**changes):
    known = {
        "began_at": BEGAN,
        "predicted_at": BEGAN + timedelta(hours=1),
        "format": "long",
        "older_at": BEGAN + timedelta(days=6),
        "older_views": 600,
        "older_definition": "watched",
        "newer_at": BEGAN + timedelta(days=8),
        "newer_views": 800,
        "newer_definition": "watched",
    }
    return known | changes


def test_a_fixed_age_lies_between_two_counts():
    found = label(LABELS["day7"], video())
    assert isinstance(found, Label)
    assert found.views_per_day == pytest.approx(100, rel=1e-3)
    assert (found.label_to, found.age_days) == (BEGAN + timedelta(days=7), 7)


def test_growth_is_what_came_between_two_counts_and_never_negative():
    week = video(older_at=BEGAN + timedelta(days=1), older_views=100)
    grown = label(LABELS["week"], week | {"predicted_at": BEGAN + timedelta(days=1)})
    assert isinstance(grown, Label)
    assert grown.views_per_day == pytest.approx(100)
    taken_back = label(LABELS["week"], week | {"older_views": 900})
    assert isinstance(taken_back, Label)
    assert taken_back.views_per_day == 0


LATE_AUGUST = datetime(2026, 8, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "changes", "reason"),
    [
        ("day7", {"newer_at": None}, "noCountAtAge"),
        ("day7", {"older_at": None}, "noCountAtAge"),
        ("day7", {"predicted_at": BEGAN + timedelta(days=7)}, "seenTooLate"),
        ("day7", {"newer_definition": "started"}, "metricBreak"),
        ("day7", {"began_at": LATE_AUGUST, "predicted_at": LATE_AUGUST,
                  "older_at": LATE_AUGUST + timedelta(days=6),
                  "newer_at": LATE_AUGUST + timedelta(days=8)}, "metricBreak"),
        ("week", {"newer_at": None}, "noViewCount"),
        ("week", {"older_at": None}, "noCountBefore"),
        ("week", {"older_at": BEGAN - timedelta(hours=1)}, "tooYoung"),
        ("week", {"predicted_at": BEGAN + timedelta(days=8)}, "seenTooLate"),
        ("week", {"newer_definition": "started"}, "metricBreak"),
        ("lifetime", {"newer_at": None}, "noViewCount"),
        ("lifetime", {"newer_at": BEGAN + timedelta(hours=23)}, "tooYoung"),
    ],
)  # fmt: skip
def test_what_has_no_label_says_why(kind, changes, reason):
    assert label(LABELS[kind], video(**changes)) == reason


def test_a_lifetime_average_over_a_change_is_marked():
    old = video(
        began_at=datetime(2026, 8, 1, tzinfo=UTC), newer_at=datetime(2026, 9, 1, tzinfo=UTC)
    )
    found = label(LABELS["lifetime"], old)
    assert isinstance(found, Label)
    assert found.mixed_definitions
    plain = label(LABELS["lifetime"], video())
    assert isinstance(plain, Label)
    assert not plain.mixed_definitions


@pytest.mark.parametrize(
    ("start", "end", "video_format", "crosses"),
    [
        ((2025, 3, 1), (2025, 4, 1), "short", True),
        ((2025, 3, 1), (2025, 4, 1), "long", False),
        ((2025, 3, 1), (2025, 4, 1), None, True),
        ((2025, 4, 1), (2026, 8, 1), None, False),
        ((2026, 8, 25), (2026, 8, 26), "long", True),  # nobody can tell which it was
        ((2026, 8, 25), (2026, 8, 26), "short", False),
        ((2026, 9, 1), (2026, 10, 1), None, False),
    ],
)
def test_a_change_between_two_moments(start, end, video_format, crosses):
    moments = (datetime(*day, tzinfo=UTC) for day in (start, end))
    assert crosses_break(*moments, video_format) == crosses
