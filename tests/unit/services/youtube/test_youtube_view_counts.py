from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.youtube.view_counts import DEFINITIONS, comparable, view_definition

formats = st.sampled_from(["short", "long", "live", "premiere", None])
START = datetime(2015, 1, 1, tzinfo=UTC)
moments = st.integers(0, 600_000).map(lambda n: START + timedelta(minutes=17 * n))


@pytest.mark.parametrize(
    ("day", "video_format", "definition"),
    [
        ("2025-03-30", "short", "watched"),
        ("2025-03-31", "short", "started"),
        ("2025-03-30", None, "watched"),
        ("2025-03-31", None, None),
        ("2026-08-23", "long", "watched"),
        ("2026-08-23", "live", "watched"),
        ("2026-08-23", None, None),
        ("2026-08-25", "long", None),
        ("2026-08-25", "short", "started"),
        ("2026-08-28", "long", "started"),
        ("2026-08-28", "premiere", "started"),
        ("2026-08-28", None, "started"),
    ],
)
def test_what_a_view_was_on_a_day(day, video_format, definition):
    moment = datetime.fromisoformat(day).replace(hour=12, tzinfo=UTC)
    assert view_definition(moment, video_format) == definition


@given(moments, moments, formats)
def test_counts_across_a_break_are_never_compared(one, other, video_format):
    earlier, later = sorted((one, other))
    counting = "short" if video_format == "short" else "other"
    breaks = [row.since for row in DEFINITIONS if row.format == counting]
    if any(earlier < since <= later for since in breaks):
        assert not comparable(
            view_definition(earlier, video_format), view_definition(later, video_format)
        )


@given(moments, formats)
def test_a_definition_known_without_the_format_holds_for_every_format(moment, video_format):
    known = view_definition(moment, None)
    assert known is None or view_definition(moment, video_format) == known


def test_what_is_not_known_compares_with_nothing():
    assert not comparable(None, None)
    assert not comparable("started", None)
    assert comparable("started", "started")
