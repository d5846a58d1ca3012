"""The cadence: invariants of slots and policies, and files that describe one."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services import cadence
from services.cadence import DEFAULT, Policy, Step
from services.errors import UsageError

HOUR = timedelta(hours=1)
START = datetime(2020, 1, 1, tzinfo=UTC)
moments = st.integers(0, 600_000).map(lambda n: START + timedelta(minutes=17 * n))
intervals = st.integers(1, 24 * 400).map(lambda hours: hours * HOUR)
STEPS_OUT_OF_ORDER = """
[[videos]]
younger_than = "2d"
every = "1d"
[[videos]]
younger_than = "1d"
every = "2d"
[[videos]]
every = "3d"
"""
ages = st.timedeltas(timedelta(days=-1), timedelta(days=4000))


@st.composite
def step_lists(draw: st.DrawFn) -> tuple[Step, ...]:
    limits = sorted(draw(st.sets(st.integers(1, 5000), max_size=5)))
    every = sorted(draw(st.lists(st.integers(1, 5000), min_size=len(limits) + 1, max_size=6)))
    young = [Step(limit * HOUR, n * HOUR) for limit, n in zip(limits, every, strict=False)]
    return (*young, Step(None, every[-1] * HOUR))


policies = st.builds(
    Policy, intervals, intervals, intervals, step_lists(), st.none() | step_lists()
)


@given(moments, intervals, moments)
def test_the_next_slot_is_in_the_future_on_its_grid_and_no_later_than_it_must(slot, interval, now):
    found = cadence.next_slot(slot, interval, now=now)
    assert found > max(slot, now)
    assert found.replace(minute=0, second=0, microsecond=0) == found
    assert found <= max(slot, now) + interval + HOUR


@given(moments, intervals, st.integers(1, 50))
def test_slots_read_in_time_are_one_interval_apart(slot, interval, n):
    slot = cadence.next_slot(slot, interval, now=slot)
    for _ in range(n):
        after = cadence.next_slot(slot, interval, now=slot + timedelta(minutes=1))
        assert after - slot == interval
        slot = after


@given(policies, ages, ages, st.sampled_from([None, "short", "long", "live"]))
def test_the_older_a_video_the_longer_its_interval(policy, one, other, video_format):
    younger, older = sorted((one, other))
    assert policy.video_interval(younger, video_format) <= policy.video_interval(
        older, video_format
    )


@given(policies)
def test_a_policy_survives_being_written_and_read(policy):
    assert cadence.parse(cadence.as_toml(policy)) == policy


@pytest.mark.parametrize(
    ("age", "every"),
    [(-1, 6), (0, 6), (47, 6), (48, 24), (335, 24), (336, 168), (2159, 168), (2160, 720)],
)
def test_the_default_reads_young_videos_often(age, every):
    assert DEFAULT.video_interval(age * HOUR) == every * HOUR


def test_shorts_go_their_own_way_only_where_the_policy_says_so():
    own = cadence.parse('[[shorts]]\nevery = "2d"\n')
    assert own.video_interval(HOUR, "short") == 48 * HOUR
    assert own.video_interval(HOUR, "long") == own.video_interval(HOUR) == 6 * HOUR
    assert DEFAULT.video_interval(HOUR, "short") == 6 * HOUR


def test_what_a_file_leaves_out_is_as_in_the_default(tmp_path):
    file = tmp_path / "cadence.toml"
    file.write_text('discovery_every = "12h"\n')
    found = cadence.load(file)
    assert found.discovery_every == 12 * HOUR
    assert (found.channel_every, found.videos) == (DEFAULT.channel_every, DEFAULT.videos)
    assert cadence.load(None) is DEFAULT


@pytest.mark.parametrize(
    ("toml", "said"),
    [
        ("every = 3", "knows no 'every'"),
        ("channel_every = 3", "channel_every is 3"),
        ('channel_every = "90m"', "'90m'"),
        ('channel_every = "0h"', "'0h'"),
        ('channel_every = "9999d"', "ten years"),
        ("videos = 3", "videos is not a list"),
        ("videos = []", "videos is not a list"),
        ('[[videos]]\nyounger_than = "1d"\nevery = "1d"', "last step of videos"),
        ('[[videos]]\nevery = "1d"\n[[videos]]\nevery = "2d"', "step 1 of videos lacks"),
        ("[[videos]]\n", "step 1 of videos lacks every"),
        ('[[videos]]\nevery = "1d"\noften = 1', "step 1 of videos has anything but"),
        (
            '[[shorts]]\nyounger_than = "1d"\nevery = "2d"\n[[shorts]]\nevery = "1d"',
            "step 2 of shorts must not be more often",
        ),
        (
            STEPS_OUT_OF_ORDER,
            "step 2 of videos must be for older",
        ),
        ("videos = [", "Invalid value"),
    ],
)
def test_a_file_that_is_no_policy_is_refused_with_the_place_and_the_reason(tmp_path, toml, said):
    file = tmp_path / "cadence.toml"
    file.write_text(toml)
    with pytest.raises(UsageError) as caught:
        cadence.load(file)
    assert said in str(caught.value)
    assert str(file) in str(caught.value)
    assert "--show-policy" in (caught.value.hint or "")


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere\.toml .*No such file"):
        cadence.load(tmp_path / "nowhere.toml")
