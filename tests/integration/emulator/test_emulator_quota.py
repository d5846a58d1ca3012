"""Keys and quota of the offline YouTube."""

import json
from datetime import UTC, datetime

import pytest

from services.emulator.quota import Quotas
from tests.support.emulator import fetch, get, reason, running_emulator

EPOCH = datetime(2026, 11, 1, 12, tzinfo=UTC)


def test_keys_are_checked_before_anything_is_charged(world):
    with running_emulator(world, keys=frozenset({"good"})) as emulator:
        address = f"{emulator.url}/youtube/v3/channels?part=id&id=x"
        assert reason(fetch(address)) == (403, "forbidden")
        refused = fetch(f"{address}&key=bad")
        assert reason(refused) == (400, "badRequest")
        details = json.loads(refused.body)["error"]["details"]
        assert details[0]["reason"] == "API_KEY_INVALID"
        assert fetch(address, {"X-Goog-Api-Key": "good"}).status == 200
        (booked,) = json.loads(fetch(f"{emulator.url}/emulator/quota").body)["quota"]
        assert (booked["key"], booked["bucket"], booked["charged"]) == ("good", "units", 1)


def test_buckets_are_separate_and_bad_calls_cost_too(world):
    quotas = Quotas(units=2, searches=1, stats=1)
    with running_emulator(world, clock=lambda: EPOCH, quotas=quotas) as emulator:
        at = emulator.url
        assert get(at, "videos", part="id", id="x").status == 200
        assert get(at, "playlistItems", part="nonsense", playlistId="x").status == 400
        assert reason(get(at, "channels", part="id", id="x")) == (403, "quotaExceeded")
        assert get(at, "videos:batchGetStats", part="id", id="x").status == 200
        assert reason(get(at, "videos:batchGetStats", part="id", id="x"))[1] == "quotaExceeded"
        assert get(at, "search", part="id").status == 200
        assert reason(get(at, "search", part="id"))[1] == "quotaExceeded"
        assert get(at, "channels", part="id", id="x", key="another").status == 200
        rows = json.loads(fetch(f"{at}/emulator/quota").body)["quota"]
        assert {(row["key"], row["bucket"]): row["charged"] for row in rows} == {
            ("another", "units"): 1,
            ("k", "searches"): 1,
            ("k", "stats"): 1,
            ("k", "units"): 2,
        }
        served = json.loads(fetch(f"{at}/emulator/requests").body)["requests"]
        assert served["playlistItems.list"] == {"400": 1}
        assert served["channels.list"] == {"200": 1, "403": 1}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (datetime(2026, 7, 1, 6, 59, 59, tzinfo=UTC), datetime(2026, 7, 1, 7, tzinfo=UTC)),
        (datetime(2026, 12, 1, 7, 59, 59, tzinfo=UTC), datetime(2026, 12, 1, 8, tzinfo=UTC)),
    ],
    ids=["summer", "winter"],
)
def test_the_quota_is_back_at_pacific_midnight(world, before, after):
    now = [before]
    quotas = Quotas(units=1)
    with running_emulator(world, clock=lambda: now[0], quotas=quotas) as emulator:
        assert get(emulator.url, "videos", part="id", id="x").status == 200
        assert get(emulator.url, "videos", part="id", id="x").status == 403
        now[0] = after
        assert get(emulator.url, "videos", part="id", id="x").status == 200
