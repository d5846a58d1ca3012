import json
import threading
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.errors import PermanentError, QuotaError, TransientError
from services.youtube.failures import ApiKeyError
from services.youtube.gateway import YouTubeGateway
from services.youtube.identifiers import is_video_id
from services.youtube.quota import reset_at
from tests.support.youtube import (
    HANG_UP,
    NOW,
    MemoryLedger,
    Reply,
    as_json,
    error_body,
    gateway_to,
    recorded,
    scripted_server,
    silent_server,
)

CHANNEL = "UC_x5XG1OV2P6uZZ5FSM9Ttw"
GOOGLE = "UCK8sQmJBp8GCxrOtXWBpyEA"
VIDEO = "D-lhorsDlUQ"


def video_ids(n):
    return [f"video{i:06d}" for i in range(n)]


def channel_ids(n):
    return [f"UC{i:022d}" for i in range(n)]


def every_item(asked):
    """Answer as YouTube would if all asked for existed."""
    return as_json(
        {"items": [{"id": i, "snippet": {"channelId": CHANNEL}} for i in asked.ids]}
    )  # fmt: skip


@pytest.mark.shared_data
def test_a_recorded_channel_becomes_facts():
    body = recorded("api/channels/homeassistant__get_channel.json")
    with scripted_server(lambda asked: Reply(body=body)) as server:
        answer = gateway_to(server.url).channels([CHANNEL, GOOGLE])
    facts = answer.items[CHANNEL]
    assert (facts.title, facts.handle, facts.country) == (
        "Google for Developers",
        "@googledevelopers",
        "US",
    )
    assert facts.uploads_playlist_id == "UU_x5XG1OV2P6uZZ5FSM9Ttw"
    assert facts.published_at == datetime(2007, 8, 23, 0, 34, 43, tzinfo=UTC)
    counts = (facts.subscriber_count, facts.view_count, facts.video_count)
    assert counts == (2_290_000, 214_141_263, 5_798)
    assert answer.missing == (GOOGLE,)
    assert not answer.refused


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["videos_info_multi", "videos_chart_paged_1"])
def test_recorded_videos_become_facts(name):
    body = recorded(f"api/videos/pyyoutube__{name}.json")
    items = {item["id"]: item for item in json.loads(body)["items"]}
    with scripted_server(lambda asked: Reply(body=body)) as server:
        answer = gateway_to(server.url).videos(items)
    assert list(answer.items) == list(items)
    for video_id, facts in answer.items.items():
        sent = items[video_id]
        assert facts.title == sent["snippet"]["title"]
        assert facts.category_id == sent["snippet"]["categoryId"]
        views = sent.get("statistics", {}).get("viewCount")
        assert facts.statistics.view_count == (None if views is None else int(views))


@pytest.mark.shared_data
def test_a_recorded_uploads_page_becomes_facts():
    body = recorded("api/playlistItems/homeassistant__get_playlist_items_items0and2of5.json")
    with scripted_server(lambda asked: Reply(body=body)) as server:
        page = gateway_to(server.url).uploads_page("UU_x5XG1OV2P6uZZ5FSM9Ttw", "CAUQAA")
    assert page.video_ids == ("wysukDrMdqU", "lMKjtSFujcw")
    assert page.uploads[0].published_at == datetime(2023, 5, 11, 0, 20, 46, tzinfo=UTC)
    assert (page.next_page_token, page.total) == ("EAAaBlBUOkNBVQ", 5798)
    [asked] = server.requests
    assert asked.path == "/youtube/v3/playlistItems"
    assert (asked.query["pageToken"], asked.query["maxResults"]) == ("CAUQAA", "50")


@pytest.mark.parametrize(
    ("method", "ids", "path"),
    [
        ("channels", channel_ids(101), "/youtube/v3/channels"),
        ("videos", video_ids(101), "/youtube/v3/videos"),
        ("statistics", video_ids(101), "/youtube/v3/videos:batchGetStats"),
    ],
)
def test_ids_go_fifty_a_call_as_plain_gets_and_each_call_is_booked(method, ids, path):
    ledger = MemoryLedger()
    with scripted_server(every_item) as server:
        answer = getattr(gateway_to(server.url, ledger), method)([*ids, *ids])
    assert [len(asked.ids) for asked in server.requests] == [50, 50, 1]
    assert {(asked.method, asked.path) for asked in server.requests} == {("GET", path)}
    assert list(answer.items) == ids
    assert sum(ledger.booked.values()) == 3


def test_a_thousand_videos_are_refreshed_for_twenty_units():
    ledger = MemoryLedger()
    with scripted_server(every_item) as server:
        gateway_to(server.url, ledger).statistics(video_ids(1000))
    assert ledger.booked == {"batchGetStats": 20}


def test_odd_items_are_refused_alone_and_malformed_ids_are_never_asked():
    good, huge, negative, gone = video_ids(4)
    items = [
        {"id": huge, "statistics": {"viewCount": str(2**63)}},
        {"id": good, "statistics": {"viewCount": "7"}},
        {"id": negative, "statistics": {"likeCount": "-7"}},
        {"id": good, "statistics": {"viewCount": "8"}},
        {"id": "notaskedfor", "statistics": {"viewCount": "9"}},
        {"id": None},
        "text",
        None,
    ]
    with scripted_server(lambda asked: as_json({"items": items})) as server:
        asked_for = [good, huge, "a,b", negative, "\x00" * 11, gone]
        answer = gateway_to(server.url).statistics(asked_for)
    # A count that cannot be kept takes nothing else of its item along.
    assert [facts.view_count for facts in answer.items.values()] == [7, None]
    assert [odd.reason for odd in answer.items[huge].odd] == ["countTooLarge"]
    # One of the items that say no id may be this one: that it is gone does not follow.
    assert answer.missing == ()
    assert [(refusal.item_id, refusal.reason) for refusal in answer.refused] == [
        ("a,b", "malformedId"),
        ("", "malformedId"),
        (negative, "malformedCount"),
        (gone, "malformedItem"),
    ]
    assert [asked.ids for asked in server.requests] == [
        [good, huge, negative, gone],
        [negative, gone],  # at once, to see whether it was chance
    ]
    assert answer.lasting == {negative, gone}


def test_nothing_is_asked_for_no_ids():
    ledger = MemoryLedger()
    answer = gateway_to("http://127.0.0.1:9", ledger).videos(["bad"])
    assert answer.items == {}
    assert not ledger.booked


def test_what_was_paid_for_is_kept_when_the_quota_ends_half_way():
    ids = video_ids(120)
    with scripted_server(every_item) as server:
        answer = gateway_to(server.url, MemoryLedger(units=2)).videos(ids)
    assert list(answer.items) == ids[:100]
    assert answer.unasked == tuple(ids[100:])
    assert isinstance(answer.failure, QuotaError)
    assert not answer.missing


def test_a_full_quota_is_an_error_before_any_request():
    with scripted_server(every_item) as server, pytest.raises(QuotaError) as caught:
        gateway_to(server.url, MemoryLedger(units=0)).videos(video_ids(1))
    assert caught.value.reset_at == reset_at(NOW)
    assert not server.requests


def test_when_youtube_says_the_quota_is_exceeded_the_ledger_learns_it():
    ledger = MemoryLedger()
    reply = Reply(403, error_body("quotaExceeded", 'Over your <a href="/x">quota</a>.'))
    with scripted_server(lambda asked: reply) as server:
        gateway = gateway_to(server.url, ledger)
        for _ in range(2):
            with pytest.raises(QuotaError):
                gateway.videos(video_ids(1))
    assert ledger.closed == {"units": reset_at(NOW)}
    assert len(server.requests) == 1


def test_statistics_fall_back_to_the_shared_bucket_when_their_own_is_empty():
    ledger = MemoryLedger(batchGetStats=1)
    with scripted_server(every_item) as server:
        answer = gateway_to(server.url, ledger).statistics(video_ids(100))
    assert len(answer.items) == 100
    assert [asked.path for asked in server.requests] == [
        "/youtube/v3/videos:batchGetStats",
        "/youtube/v3/videos",
    ]
    assert ledger.booked == {"batchGetStats": 1, "units": 1}


def test_statistics_fall_back_when_youtube_says_their_bucket_is_empty():
    def respond(asked):
        if asked.path.endswith(":batchGetStats"):
            return Reply(403, error_body("quotaExceeded"))
        return every_item(asked)

    ledger = MemoryLedger()
    with scripted_server(respond) as server:
        answer = gateway_to(server.url, ledger).statistics(video_ids(100))
    assert len(answer.items) == 100
    assert list(ledger.closed) == ["batchGetStats"]
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [404, 405, 501])
def test_statistics_remember_an_endpoint_without_the_method(status):
    def respond(asked):
        if asked.path.endswith(":batchGetStats"):
            return Reply(status, b"<html>Not found</html>")
        return every_item(asked)

    with scripted_server(respond) as server:
        answer = gateway_to(server.url).statistics(video_ids(100))
    assert len(answer.items) == 100
    assert len(server.requests) == 3


def test_transient_failures_are_retried_and_every_attempt_is_booked():
    replies = [Reply(503, b"<html/>"), HANG_UP, None]
    waits = []
    ledger = MemoryLedger()
    with scripted_server(lambda asked: replies.pop(0) or every_item(asked)) as server:
        answer = gateway_to(server.url, ledger, wait=waits.append).videos(video_ids(1))
    assert len(answer.items) == 1
    assert ledger.booked == {"units": 3} == {"units": len(server.requests)}
    assert waits == [1.0, 2.0]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(500, b""), "http500"),
        (Reply(503, error_body("backendError", code=503)), "backendError"),
        (HANG_UP, "connectionLost"),
        (Reply(200, b'{"items": [', cut=5), "connectionLost"),
        (Reply(200, b'{"items": ['), "malformedAnswer"),
        (Reply(200, b"<html>Welcome to our wireless network</html>"), "malformedAnswer"),
        (Reply(200, b"[]"), "malformedAnswer"),
        (Reply(200, b"{}"), "malformedAnswer"),
        (Reply(200, b"null"), "malformedAnswer"),
        (Reply(200, b'{"items": {}}'), "malformedAnswer"),
        (Reply(200, b'{"items": null}'), "malformedAnswer"),
        (Reply(200, b"\xff\xfe"), "malformedAnswer"),
        (Reply(200, b"[" * 100_000), "malformedAnswer"),
        (Reply(200, b"{}", {"Content-Encoding": "gzip"}), "malformedAnswer"),
        (Reply(204, b""), "malformedAnswer"),
    ],
)
def test_what_stays_transient_ends_after_three_booked_attempts(reply, reason):
    ledger = MemoryLedger()
    with scripted_server(lambda asked: reply) as server, pytest.raises(TransientError) as caught:
        gateway_to(server.url, ledger).videos(video_ids(1))
    assert caught.value.reason == reason
    assert ledger.booked["units"] == len(server.requests) == 3


def test_without_network_no_unit_is_spent():
    with scripted_server(every_item) as server:
        pass
    ledger = MemoryLedger()
    with pytest.raises(TransientError) as caught:
        gateway_to(server.url, ledger).videos(video_ids(1))
    assert caught.value.reason == "connectionRefused"
    assert caught.value.hint
    assert not ledger.booked


def test_an_unknown_host_is_no_network():
    with pytest.raises(TransientError) as caught:
        gateway_to("http://nowhere.invalid").videos(video_ids(1))
    assert caught.value.reason == "noNetwork"


def test_a_server_that_never_answers_is_given_up():
    with silent_server() as server, pytest.raises(TransientError) as caught:
        gateway_to(server.url, timeout_s=0.05, attempts=1).videos(video_ids(1))
    assert caught.value.reason == "timeout"


def test_a_redirect_is_not_followed_since_the_address_carries_the_key():
    with scripted_server(every_item) as elsewhere:
        reply = Reply(302, b"", {"Location": elsewhere.url})
        with scripted_server(lambda asked: reply) as server, pytest.raises(TransientError):
            gateway_to(server.url).videos(video_ids(1))
    assert not elsewhere.requests


def test_a_connection_the_server_closed_while_idle_costs_no_unit():
    ledger = MemoryLedger()
    with scripted_server(every_item) as server:
        gateway = gateway_to(server.url, ledger)
        for _ in range(3):
            server.respond = lambda asked: Reply(
                body=every_item(asked).body, headers={"Connection": "close"}
            )
            gateway.videos(video_ids(1))
    assert ledger.booked["units"] == len(server.requests) == 3


def test_a_gateway_is_shared_by_threads():
    ledger = MemoryLedger()
    with scripted_server(every_item) as server:
        gateway = gateway_to(server.url, ledger)
        found = {}

        def ask(n):
            found[n] = list(gateway.videos([f"thread{n:05d}"]).items)

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == {n: [f"thread{n:05d}"] for n in range(8)}


@pytest.mark.parametrize("key", ["", "  \n"])
def test_a_missing_key_is_said_at_once(key):
    with pytest.raises(ApiKeyError) as caught:
        YouTubeGateway(key, MemoryLedger(), lambda: NOW)
    assert "TUBEGRADER_YOUTUBE_API_KEY" in (caught.value.hint or "")


def test_the_key_is_sent_and_shown_to_nobody_else():
    reply = Reply(403, error_body("forbidden", "Consumer 'api_key:hush-hush' has no right."))
    with scripted_server(lambda asked: reply) as server, pytest.raises(PermanentError) as caught:
        gateway_to(server.url, api_key="hush-hush").videos(video_ids(1))
    assert server.requests[0].query["key"] == "hush-hush"
    assert "hush" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


ids = st.sampled_from([*video_ids(6), "bad", ""])
items = st.fixed_dictionaries(
    {"id": ids},
    optional={"statistics": st.dictionaries(
        st.sampled_from(["viewCount", "likeCount"]), st.sampled_from(["1", "-1", "x", None])
    )},
)  # fmt: skip


@pytest.fixture(scope="module")
def scripted():
    with scripted_server(every_item) as server:
        yield server


@settings(deadline=timedelta(seconds=2))
@given(asked_for=st.lists(ids), answered=st.lists(items))
def test_each_id_asked_for_is_accounted_for_exactly_once(scripted, asked_for, answered):
    scripted.respond = lambda asked: as_json({"items": answered})
    asked = {name for name in asked_for if is_video_id(name)}
    if asked and answered and asked.isdisjoint(item["id"] for item in answered):
        with pytest.raises(TransientError):
            gateway_to(scripted.url).statistics(asked_for)
        return
    answer = gateway_to(scripted.url).statistics(asked_for)
    accounted = [*answer.items, *answer.missing, *(r.item_id for r in answer.refused)]
    assert sorted(accounted) == sorted(set(asked_for))
    assert not answer.unasked
