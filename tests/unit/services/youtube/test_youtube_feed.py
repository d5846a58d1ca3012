from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.errors import PermanentError, UsageError
from services.youtube.feed import LARGEST_FEED, Feed, NoHint, fetch_feed, parse_feed
from tests.support.youtube import HANG_UP, Reply, recorded, scripted_server

CHANNEL = "UCwsUEImuhcqjgOuHAIJKL_g"
HEAD = (
    '<feed xmlns:yt="http://www.youtube.com/xml/schemas/2015" xmlns="http://www.w3.org/2005/Atom">'
)


def feed(top: str = CHANNEL[2:], entry: str = CHANNEL, video: str = "-gmGalwAe5A") -> bytes:
    return (
        f"{HEAD}<yt:channelId>{top}</yt:channelId><title>T</title><entry>"
        f"<yt:videoId>{video}</yt:videoId><yt:channelId>{entry}</yt:channelId>"
        "<title>Sonata</title><published>2016-01-24T02:07:38+00:00</published>"
        "<updated>soon</updated></entry></feed>"
    ).encode()


@pytest.mark.parametrize("top", [CHANNEL, CHANNEL[2:]])
def test_both_forms_of_the_channel_id_are_read(top):
    read = parse_feed(feed(top=top))
    assert read.channel_id == CHANNEL
    [entry] = read.entries
    assert (entry.video_id, entry.title) == ("-gmGalwAe5A", "Sonata")
    assert entry.published_at == datetime(2016, 1, 24, 2, 7, 38, tzinfo=UTC)
    assert entry.updated_at is None


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "channel_id", "first"),
    [
        ("classicalmusicchannel_2026_first2of9.xml", CHANNEL, "-gmGalwAe5A"),
        ("feedjira__google_2015.xml", "UCK8sQmJBp8GCxrOtXWBpyEA", "5shykyfmb28"),
        ("rss-parser__l2inc_2017.xml", "UCBcRF18a7Qf58cCRy5xuWwQ", "lR-w1h5ONOY"),
    ],
)
def test_recorded_feeds_are_read(name, channel_id, first):
    read = parse_feed(recorded(f"feeds/{name}"))
    assert read.channel_id == channel_id
    assert read.entries[0].video_id == first
    assert all(entry.published_at for entry in read.entries)


def test_entries_of_others_or_without_a_valid_id_are_left_out():
    assert parse_feed(feed(entry="UC_x5XG1OV2P6uZZ5FSM9Ttw")).entries == ()
    assert parse_feed(feed(video="../../etc")).entries == ()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html><body>Not found</body></html>",
        b"<feed>",
        f"{HEAD}</feed>".encode(),
        feed(top="short"),
        b'<?xml version="1.0" encoding="no-such"?><feed/>',
        b"\xff\xfe\x00",
        b'<!DOCTYPE f [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><feed>&b;</feed>',
        b'<!DOCTYPE f [<!ENTITY x SYSTEM "file:///etc/passwd">]><feed>&x;</feed>',
    ],
)
def test_anything_else_is_a_malformed_feed(content):
    with pytest.raises(PermanentError) as caught:
        parse_feed(content)
    assert caught.value.reason == "malformedFeed"


@given(st.binary() | st.text().map(str.encode))
def test_parsing_never_fails_otherwise(content):
    with pytest.raises(PermanentError):
        parse_feed(content)


def test_a_feed_is_fetched_and_read():
    with scripted_server(lambda asked: Reply(body=feed())) as server:
        read = fetch_feed(CHANNEL, base_url=server.url)
    assert isinstance(read, Feed)
    assert [entry.video_id for entry in read.entries] == ["-gmGalwAe5A"]
    assert server.requests[0].path == "/feeds/videos.xml"
    assert server.requests[0].query == {"channel_id": CHANNEL}


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(404), "feedMissing"),
        (Reply(500), "http500"),
        (Reply(302, headers={"Location": "/elsewhere"}), "redirectRefused"),
        (Reply(body=b"<html/>"), "malformedFeed"),
        (Reply(body=feed(top="UC_x5XG1OV2P6uZZ5FSM9Ttw")), "feedOfAnother"),
        (Reply(body=b"x" * (LARGEST_FEED + 1)), "feedTooLarge"),
        (Reply(body=feed(), cut=50), "connectionLost"),
        (HANG_UP, "connectionLost"),
    ],
)
def test_a_failing_feed_is_no_hint_and_no_error(reply, reason):
    with scripted_server(lambda asked: reply) as server:
        assert fetch_feed(CHANNEL, base_url=server.url) == NoHint(CHANNEL, reason)


def test_only_channel_ids_are_asked_for():
    with pytest.raises(UsageError):
        fetch_feed("UC1&channel_id=x")
