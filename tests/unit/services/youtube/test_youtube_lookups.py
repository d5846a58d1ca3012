import pytest

from services.errors import PermanentError, UsageError
from tests.support.youtube import (
    MemoryLedger,
    Reply,
    as_json,
    error_body,
    gateway_to,
    scripted_server,
)

CHANNEL = "UC_x5XG1OV2P6uZZ5FSM9Ttw"
GOOGLE = "UCK8sQmJBp8GCxrOtXWBpyEA"
VIDEO = "D-lhorsDlUQ"


def test_a_handle_is_asked_for_with_its_sign():
    body = {"items": [{"id": CHANNEL}]}
    with scripted_server(lambda asked: as_json(body)) as server:
        gateway = gateway_to(server.url)
        for typed in ("떵개떵", "@떵개떵"):
            assert gateway.channel_by_handle(typed).channel_id == CHANNEL
    assert [asked.query["forHandle"] for asked in server.requests] == ["@떵개떵"] * 2


@pytest.mark.parametrize(
    ("typed", "selector", "value"),
    [
        (CHANNEL, "id", CHANNEL),
        (f"https://youtube.com/channel/{CHANNEL}", "id", CHANNEL),
        ("@google", "forHandle", "@google"),
        ("youtube.com/user/Google", "forUsername", "Google"),
        ("youtube.com/c/Google", "forHandle", "@Google"),
    ],
)
def test_what_is_typed_decides_how_the_channel_is_looked_up(typed, selector, value):
    body = {"items": [{"id": CHANNEL, "snippet": {"title": "G"}}]}
    with scripted_server(lambda asked: as_json(body)) as server:
        assert gateway_to(server.url).resolve(typed).title == "G"
    assert server.requests[0].query[selector] == value


@pytest.mark.parametrize("body", [{"kind": "youtube#channelListResponse"}, {"items": []}])
def test_an_unknown_channel_is_one_clear_line(body):
    with (
        scripted_server(lambda asked: as_json(body)) as server,
        pytest.raises(PermanentError) as caught,
    ):
        gateway_to(server.url).resolve("@nobody")
    assert caught.value.reason == "channelNotFound"
    assert "@nobody" in str(caught.value)


def test_a_channel_whose_answer_is_odd_is_refused_with_the_reason():
    body = {"items": [{"id": CHANNEL, "statistics": {"viewCount": "many"}}]}
    with (
        scripted_server(lambda asked: as_json(body)) as server,
        pytest.raises(PermanentError) as caught,
    ):
        gateway_to(server.url).resolve(CHANNEL)
    assert caught.value.reason == "malformedCount"


def test_what_is_typed_wrongly_costs_nothing():
    ledger = MemoryLedger()
    with pytest.raises(UsageError):
        gateway_to("http://127.0.0.1:9", ledger).resolve("what is this")
    assert not ledger.booked


def test_a_channel_without_uploads_is_an_empty_page_and_not_a_failure():
    reply = Reply(404, error_body("playlistNotFound", code=404))
    with scripted_server(lambda asked: reply) as server:
        gateway = gateway_to(server.url)
        page = gateway.uploads_page("UU_x5XG1OV2P6uZZ5FSM9Ttw")
        with pytest.raises(PermanentError):
            gateway.uploads_page("UU_x5XG1OV2P6uZZ5FSM9Ttw", "NEXT")
    assert (page.video_ids, page.next_page_token, page.total) == ((), None, 0)


def test_an_odd_entry_does_not_disturb_an_uploads_page():
    body = {
        "items": [
            {"contentDetails": {"videoId": VIDEO}},
            {"contentDetails": {"videoId": "short"}},
            {},
            None,
            {"contentDetails": {"videoId": VIDEO}},
        ],
        "nextPageToken": 7,
        "pageInfo": {"totalResults": "many"},
    }
    with scripted_server(lambda asked: as_json(body)) as server:
        page = gateway_to(server.url).uploads_page("UU_x5XG1OV2P6uZZ5FSM9Ttw")
    assert page.video_ids == (VIDEO,)
    assert [refusal.reason for refusal in page.refused] == ["malformedId"] * 3
    assert (page.next_page_token, page.total) == (None, None)
