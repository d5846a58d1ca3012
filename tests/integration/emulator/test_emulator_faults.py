"""Faults on demand, seen through sockets and through Google's client."""

import http.client
import json
import urllib.request
from datetime import UTC, datetime, timedelta
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from services.emulator.catalog import Catalog
from services.emulator.clock import WorldClock
from services.emulator.faults import BY_NAME, CALLS, KINDS, FaultPlan, Faults
from services.emulator.synthetic import synthetic_catalog
from services.errors import UsageError
from tests.support.emulator import Answer, fetch, running_emulator

EPOCH = datetime(2026, 11, 1, tzinfo=UTC)
VIDEOS = "/youtube/v3/videos?part=id,statistics&key=k&id="


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return synthetic_catalog(seed=4, epoch=EPOCH, channels=2, videos=60, hidden_share=0)


def always(kind: str, endpoint: str = "videos.list") -> FaultPlan:
    return FaultPlan(rates={endpoint: {kind: 1.0}})


def struck(catalog: Catalog, kind: str) -> tuple[Answer, list[dict[str, object]]]:
    """The answer to one call that is struck, and the quota afterwards."""
    with running_emulator(catalog, clock=lambda: EPOCH, faults=always(kind)) as emulator:
        answer = fetch(emulator.url + VIDEOS + next(iter(catalog.videos)))
        return answer, json.loads(fetch(f"{emulator.url}/emulator/quota").body)["quota"]


def post(url: str, body: object) -> Answer:
    data = json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=data)) as reply:
            return Answer(reply.status, reply.headers, reply.read())
    except urllib.error.HTTPError as refusal:
        with refusal:
            return Answer(refusal.code, refusal.headers, refusal.read())


@pytest.mark.parametrize(
    ("kind", "status", "reason"),
    [
        ("rate_limited", 429, "rateLimitExceeded"),
        ("server_error", 500, "backendError"),
        ("unavailable", 503, "backendError"),
    ],
)
def test_a_failure_after_the_quota_check_is_charged(catalog, kind, status, reason):
    answer, quota = struck(catalog, kind)
    assert answer.status == status
    assert json.loads(answer.body)["error"]["errors"][0]["reason"] == reason
    assert (quota[0]["charged"], quota[0]["unbilled"]) == (1, 0)
    assert answer.headers["Retry-After"] == ("1" if status == 429 else None)


def test_a_refusal_for_want_of_quota_is_counted_and_not_charged(catalog):
    answer, quota = struck(catalog, "quota")
    assert json.loads(answer.body)["error"]["errors"][0]["reason"] == "quotaExceeded"
    assert (quota[0]["charged"], quota[0]["unbilled"]) == (0, 1)


@pytest.mark.parametrize(("kind", "charged"), [("reset", 0), ("lost", 1)])
def test_a_reset_connection_is_charged_when_it_broke_after_the_check(catalog, kind, charged):
    with running_emulator(catalog, clock=lambda: EPOCH, faults=always(kind)) as emulator:
        with pytest.raises(ConnectionError):
            fetch(emulator.url + VIDEOS + "x")
        [row] = json.loads(fetch(f"{emulator.url}/emulator/quota").body)["quota"]
        assert (row["charged"], row["unbilled"]) == (charged, 1 - charged)
        assert json.loads(fetch(f"{emulator.url}/emulator/requests").body) == {
            "requests": {"videos.list": {"0": 1}},
            "faults": {"videos.list": {kind: 1}},
        }


def test_a_truncated_body_announces_more_than_comes(catalog):
    with running_emulator(catalog, faults=always("truncated")) as emulator:
        with pytest.raises(http.client.IncompleteRead) as caught:
            fetch(emulator.url + VIDEOS + next(iter(catalog.videos)))
        assert caught.value.partial
        assert caught.value.expected


def test_lies_are_lies(catalog):
    assert struck(catalog, "html")[0].headers["Content-Type"].startswith("text/html")
    wanted = next(iter(catalog.videos))
    assert json.loads(struck(catalog, "wrong_ids")[0].body)["items"][0]["id"] != wanted
    views = json.loads(struck(catalog, "garbage_counts")[0].body)["items"][0]["statistics"]
    assert not any(
        isinstance(v, str) and v.isascii() and v.isdigit() and int(v) < 2**64
        for v in views.values()
    )
    other = json.loads(struck(catalog, "other_json")[0].body)
    assert not (isinstance(other, dict) and isinstance(other.get("items"), list))


def test_pictures_that_are_none(catalog):
    def picture(kind: str) -> bytes:
        with running_emulator(catalog, faults=always(kind, "thumbnails")) as emulator:
            return fetch(f"{emulator.url}/vi/{next(iter(catalog.videos))}/mqdefault.jpg").body

    assert picture("html").startswith(b"<!DOCTYPE html>")
    assert Image.open(BytesIO(picture("pixel"))).size == (1, 1)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(BytesIO(picture("huge")))


def test_only_a_request_with_a_page_token_can_find_it_expired(catalog):
    channel = max(catalog.channels, key=lambda name: len(catalog.uploads(name, EPOCH)))
    plan = always("expired_token", "playlistItems.list")
    with running_emulator(catalog, clock=lambda: EPOCH, faults=plan) as emulator:
        address = (
            f"{emulator.url}/youtube/v3/playlistItems?part=id&key=k&playlistId=UU{channel[2:]}"
        )
        first = fetch(address)
        assert first.status == 200
        second = fetch(f"{address}&pageToken={json.loads(first.body)['nextPageToken']}")
        assert json.loads(second.body)["error"]["errors"][0]["reason"] == "invalidPageToken"
        [row] = json.loads(fetch(f"{emulator.url}/emulator/quota").body)["quota"]
        assert row["charged"] == 2


def test_faults_are_switched_on_and_off_while_it_runs(catalog):
    with running_emulator(catalog) as emulator:
        address = emulator.url + VIDEOS + "x"
        assert fetch(address).status == 200
        plan = {"rates": {"*": {"unavailable": 1}}}
        assert post(f"{emulator.url}/emulator/faults", plan).status == 200
        assert fetch(address).status == 503
        assert fetch(f"{emulator.url}/feeds/videos.xml?channel_id=x").status == 503
        assert post(f"{emulator.url}/emulator/faults", {"share": 0}).status == 200
        assert fetch(address).status == 200
        refused = post(f"{emulator.url}/emulator/faults", {"share": 2})
        assert (refused.status, b"That is no fault plan: share" in refused.body) == (400, True)
        assert fetch(address).status == 200


def test_the_clock_is_read_and_turned_over_http(catalog):
    with running_emulator(catalog, clock=WorldClock(EPOCH)) as emulator:
        address = f"{emulator.url}/emulator/clock"

        def turned(body: object) -> object:
            return json.loads(post(address, body).body)

        assert json.loads(fetch(address).body) == {"now": "2026-11-01T00:00:00+00:00", "speed": 0}
        assert turned({"advance_s": 90.5})["now"] == "2026-11-01T00:01:30.500000+00:00"
        assert turned({"now": "2026-11-02T00:00:00Z"})["now"] == "2026-11-02T00:00:00+00:00"
        assert "cannot be turned back" in turned({"now": "2026-11-01T00:00:00Z"})["error"]
        assert "Send" in turned({})["error"]
        assert "Send" in turned([1])["error"]
        assert "cannot be turned back" in turned({"advance_s": -1})["error"]
        assert "ends with the year" in turned({"advance_s": 1e12})["error"]
        assert json.loads(fetch(address).body)["now"] == "2026-11-02T00:00:00+00:00"
    with running_emulator(catalog) as emulator:
        refused = post(f"{emulator.url}/emulator/clock", {"advance_s": 1})
        assert (refused.status, b"--clock manual" in refused.body) == (400, True)


def test_the_truth_is_told_for_any_moment(catalog):
    with running_emulator(catalog, clock=WorldClock(EPOCH)) as emulator:

        def truth(at: str) -> dict[str, object]:
            return json.loads(fetch(f"{emulator.url}/emulator/truth?at={at}").body)

        then, later = truth("2026-10-01T00:00:00Z"), truth("2026-12-01T00:00:00+00:00")
        assert (then["at"], later["at"]) == ("2026-10-01T00:00:00Z", "2026-12-01T00:00:00Z")
        assert len(then["videos"]) < len(later["videos"]) == 60
        assert "is not a moment" in truth("yesterday")["error"]


def test_a_clock_runs_as_many_times_faster_as_asked():
    real = [0.0]
    clock = WorldClock(EPOCH, speed=3600, real=lambda: real[0])
    real[0] = 2.0
    assert clock() == EPOCH + timedelta(hours=2)
    clock.advance(timedelta(hours=1))
    real[0] = 2.5
    assert clock() == EPOCH + timedelta(hours=3.5)
    with pytest.raises(UsageError, match="speed"):
        WorldClock(EPOCH, speed=-1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1.5", "share"),
        ("nan", "share"),
        ("x", "no fault plan"),
        ('{"rates": {"videos": {"html": 1}}}', "no endpoint videos"),
        ('{"rates": {"videos.list": {"pixel": 1}}}', "has no fault pixel"),
        ('{"rates": {"videos.list": {"html": 0.6, "lost": 0.6}}}', "more than 1"),
        ('{"colour": 1}', "colour"),
    ],
)
def test_a_bad_plan_is_refused_with_a_reason(text, says):
    with pytest.raises(UsageError, match=says):
        FaultPlan.read(text)


@given(st.floats(0, 1), st.integers(0, 2**40), st.sampled_from(sorted(KINDS)))
def test_a_share_is_spread_over_all_kinds_but_those_asked_for_by_name(share, seed, endpoint):
    plan = FaultPlan(share=share, seed=seed)
    assert sum(plan.of(endpoint).values()) == pytest.approx(share)
    assert BY_NAME.isdisjoint(plan.of(endpoint))


def test_the_same_seed_strikes_the_same_requests_of_each_endpoint():
    def strikes(seed: int, order: list[str]) -> dict[str, list[object]]:
        faults = Faults(FaultPlan(share=0.2, seed=seed))
        seen: dict[str, list[object]] = {name: [] for name in order}
        for name in order * 400:
            strike = faults.draw(name, has_token=True)
            seen[name].append(strike and (strike.kind, strike.point))
        return seen

    forth, back = strikes(1, list(CALLS)), strikes(1, list(CALLS)[::-1])
    assert forth == back != strikes(2, list(CALLS))
    for found in forth.values():
        assert 0.12 < sum(strike is not None for strike in found) / 400 < 0.28
