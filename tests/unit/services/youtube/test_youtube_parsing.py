import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.youtube.parsing import (
    MalformedItemError,
    clean_text,
    count,
    duration,
    parse_channel,
    parse_statistics,
    parse_upload,
    parse_video,
)

CHANNEL = "UC_x5XG1OV2P6uZZ5FSM9Ttw"
VIDEO = "D-lhorsDlUQ"


@pytest.mark.parametrize(
    ("sent", "number"), [("0", 0), ("214141263", 214141263), (str(2**63 - 1), 2**63 - 1)]
)
def test_counts_are_strings_of_digits(sent, number):
    assert count({"viewCount": sent}, "viewCount", []) == number


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ("-1", "malformedCount"),
        ("", "malformedCount"),
        ("1e3", "malformedCount"),
        ("12,000", "malformedCount"),
        ("٣", "malformedCount"),
        ("1" * 30, "malformedCount"),
        ("NaN", "malformedCount"),
        (12, "malformedCount"),
        (True, "malformedCount"),
        ([], "malformedCount"),
        (str(2**64), "malformedCount"),
    ],
)
def test_other_counts_are_refused_with_a_reason(sent, reason):
    with pytest.raises(MalformedItemError) as caught:
        count({"viewCount": sent}, "viewCount", [])
    assert caught.value.reason == reason


def test_absent_fields_are_none_and_never_zero():
    facts = parse_statistics({"id": VIDEO})
    assert (facts.view_count, facts.like_count, facts.comment_count) == (None, None, None)
    channel = parse_channel({"id": CHANNEL})
    assert channel.subscriber_count is channel.view_count is channel.uploads_playlist_id is None


@pytest.mark.parametrize("extra", [{}, {"subscriberCount": "0"}, {"subscriberCount": "1200"}])
def test_hidden_subscribers_are_none(extra):
    item = {"id": CHANNEL, "statistics": {"hiddenSubscriberCount": True, **extra}}
    assert parse_channel(item).subscriber_count is None


def test_an_old_custom_url_is_no_handle():
    assert parse_channel({"id": CHANNEL, "snippet": {"customUrl": "google"}}).handle is None
    assert parse_channel({"id": CHANNEL, "snippet": {"customUrl": "@google"}}).handle == "@google"


@pytest.mark.parametrize(
    ("sent", "seconds"),
    [
        ("PT0S", 0),
        ("P0D", 0),
        ("PT21M7S", 1267),
        ("PT1H", 3600),
        ("P1DT2H3M4S", 93784),
        ("P1W", 604800),
    ],
)
def test_durations_are_seconds(sent, seconds):
    assert duration({"duration": sent}, "duration", []) == seconds


@pytest.mark.parametrize(
    "sent", ["", "P", "PT", "P1DT", "1:30", "-PT1S", "PT1S\n", "P1X", "P" + "9" * 99 + "D", 5]
)
def test_other_durations_are_refused(sent):
    with pytest.raises(MalformedItemError, match="duration"):
        duration({"duration": sent}, "duration", [])


def test_times_come_with_and_without_milliseconds_and_end_up_in_utc():
    for sent in ("2019-03-21T20:37:49.000Z", "2019-03-21T20:37:49Z", "2019-03-21T13:37:49-07:00"):
        upload = parse_upload({"contentDetails": {"videoId": VIDEO, "videoPublishedAt": sent}})
        assert upload.published_at == datetime(2019, 3, 21, 20, 37, 49, tzinfo=UTC)
        assert upload.published_at.tzinfo is UTC


@pytest.mark.parametrize("sent", ["2016-12-31T23:59:60Z", "2016-12-31t23:59:59z"])
def test_times_are_those_of_rfc_3339(sent):
    upload = parse_upload({"contentDetails": {"videoId": VIDEO, "videoPublishedAt": sent}})
    assert upload.published_at == datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    "sent", ["", "yesterday", "2019-03-21T20:37:49", "0001-01-01T00:00:00+23:00", 5, "9" * 99]
)
def test_other_times_are_refused(sent):
    with pytest.raises(MalformedItemError) as caught:
        parse_upload({"contentDetails": {"videoId": VIDEO, "videoPublishedAt": sent}})
    assert caught.value.reason == "malformedTime"


def video(**snippet):
    return {"id": VIDEO, "snippet": {"channelId": CHANNEL, **snippet}}


@pytest.mark.parametrize(
    ("sent", "kept"),
    [(None, None), ("none", "none"), ("live", "live"), ("completed", "none")],
)
def test_a_completed_stream_is_an_ordinary_video(sent, kept):
    assert parse_video(video(liveBroadcastContent=sent)).live_broadcast_content == kept


@pytest.mark.parametrize("sent", [2**63, 2**64 - 1])
def test_a_count_beyond_what_can_be_kept_is_none_and_noted(sent):
    item = {"id": VIDEO, "statistics": {"viewCount": str(sent), "likeCount": "7"}}
    facts = parse_statistics(item)
    assert (facts.view_count, facts.like_count) == (None, 7)
    assert [odd.reason for odd in facts.odd] == ["countTooLarge"]
    channel = parse_channel({"id": CHANNEL, "statistics": {"videoCount": str(sent)}})
    assert (channel.video_count, channel.odd[0].reason) == (None, "countTooLarge")


@pytest.mark.parametrize(
    "sent",
    ["P1M", "P1Y2M3DT4H", "PT1.5S", "PT0,5S", "P9999999W", "PT10000000000S", "P" + "9" * 40 + "D"],
)
def test_a_duration_that_is_no_number_of_seconds_is_none_and_noted(sent):
    facts = parse_video(video(title="kept") | {"contentDetails": {"duration": sent}})
    assert (facts.duration_s, facts.title) == (None, "kept")
    assert [odd.reason for odd in facts.odd] == ["oddDuration"]


def test_an_unknown_live_state_is_none_and_noted():
    facts = parse_video(video(liveBroadcastContent="soon", title="kept"))
    assert (facts.live_broadcast_content, facts.title) == (None, "kept")
    assert [(odd.reason, odd.message) for odd in facts.odd] == [
        ("unknownLiveState", "liveBroadcastContent is unknown: 'soon'")
    ]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("a\x00b", "ab"), ("a\ud800b", "a\ufffdb"), ("\ud83d\ude00", "😀"), ("떵개떵", "떵개떵")],
)
def test_text_is_kept_as_postgresql_can_store_it(sent, kept):
    assert parse_video(video(title=sent)).title == kept


@given(st.text(st.characters(exclude_categories=[])))
def test_clean_text_is_valid_utf8_without_nul_and_clean_already(value):
    cleaned = clean_text(value)
    assert b"\x00" not in cleaned.encode()
    assert clean_text(cleaned) == cleaned


@given(st.text())
def test_text_without_nul_is_not_changed(value):
    assert clean_text(value) == value.replace("\x00", "")


scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text()
    | st.sampled_from([CHANNEL, VIDEO, "0", "-1", str(2**64), "PT1S", "2019-03-21T20:37:49Z"])
)  # fmt: skip
keys = st.sampled_from(
    [
        "id",
        "snippet",
        "statistics",
        "contentDetails",
        "status",
        "relatedPlaylists",
        "uploads",
        "videoId",
        "channelId",
        "title",
        "viewCount",
        "subscriberCount",
        "duration",
        "publishedAt",
        "videoPublishedAt",
        "madeForKids",
    ]
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=6),
    max_leaves=20,
)


@given(st.dictionaries(keys, anything, max_size=8))
def test_whatever_comes_parsing_ends_in_facts_or_a_reason(item):
    for parse in (parse_channel, parse_upload, parse_video, parse_statistics):
        try:
            facts = parse(item)
        except MalformedItemError as error:
            assert error.reason and str(error).isprintable()  # noqa: PT017, PT018 - a good end
        else:
            json.dumps(repr(facts)).encode()
