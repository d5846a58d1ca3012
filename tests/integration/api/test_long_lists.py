"""Lists that grow with all there is come in pages that join without a gap, and add up."""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from services.api.v1 import completeness as route
from services.context import Context
from services.crawl import completeness
from services.media.audio import labels
from services.work import retries
from tests.support.api import client_of
from tests.support.crawl import NOW
from tests.support.operations import Operations, operations
from tests.support.speech_jobs import channel, collect

__all__ = ["operations"]


def pages(client: TestClient, path: str, **asked: Any) -> Iterator[list[dict[str, Any]]]:
    after = None
    while True:
        params = {k: v for k, v in {**asked, "after": after}.items() if v is not None}
        answer = client.get(f"/api/v1/{path}", params=params)
        assert answer.status_code == 200, answer.text
        yield answer.json()["items"]
        after = answer.json()["next"]
        if after is None:
            return


def test_completeness_is_told_channels_after_channels_and_added_up(operations: Operations) -> None:
    operations.make_work("channel.snapshot", 5)
    operations.sql("UPDATE channels SET paused_at = :now WHERE channel_id LIKE '%3'", now=NOW)
    operations.turn(days=2)
    today = operations.clock().astimezone(UTC).date()
    since = today - timedelta(days=route.WHOLE_DAYS - 1)
    at = datetime.combine(since, time(), UTC)
    whole = completeness.report(operations.context, since=at)
    with client_of(operations.context) as client:
        found = list(pages(client, "completeness", limit=2))
        total = client.get("/api/v1/completeness/total").json()
        [one] = pages(client, "completeness", channel=found[0][0]["channel_id"])
        of_one = client.get("/api/v1/completeness/total", params={"channel": one[0]["channel_id"]})
        over = list(pages(client, "completeness", since=str(today - timedelta(days=399))))
    assert [len({day["channel_id"] for day in page}) for page in found] == [2, 2, 1]
    key = ("channel_id", "day", "kind")
    as_told = [{**day, "day": str(day["day"])} for day in whole.days]
    assert [day for page in found for day in page] == sorted(
        as_told, key=lambda day: (day["channel_id"], _reversed(day["day"]), day["kind"])
    )
    assert {tuple(day[k] for k in key) for day in one} <= {
        tuple(day[k] for k in key) for day in as_told
    }
    assert total == {
        "since": str(since),
        "expected": whole.expected,
        "collected": whole.collected,
        "late": whole.late,
        "share": whole.share,
        "reasons": whole.reasons,
        "channels_not_listed": whole.not_listed,
        "overdue_at": _told(whole.overdue_at),
        "asked_at": _told(whole.asked_at),
    }
    assert set(whole.reasons) == {"overdue", "paused"}
    assert of_one.json()["expected"] == sum(day["expected"] for day in one)
    assert len(over) == -(-5 // (route.CELLS // route.LONGEST))


def _told(moment: datetime | None) -> str | None:
    return moment and moment.isoformat().replace("+00:00", "Z")


def _reversed(day: str) -> int:
    return -int(day.replace("-", ""))


def test_items_are_counted_block_by_block(
    operations: Operations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "BLOCKS", 1)
    operations.make_work("channel.snapshot", 300)
    operations.sql(
        "UPDATE work_items SET state = 'failed', ready_at = NULL, error_reason = 'odd', "
        "error_kind = 'permanent' WHERE entity_id LIKE '%7'"
    )
    operations.turn(hours=1)
    with client_of(operations.context) as client:
        found = list(pages(client, "work-items"))
        beyond = client.get("/api/v1/work-items", params={"after": "WyJpdGVtIiwgLTFd"})
    assert len(found) > 1
    told = [
        {**each, "oldest": each["oldest"] and datetime.fromisoformat(each["oldest"])}
        for page in found
        for each in page
    ]
    assert retries.added_up(told) == retries.item_counts(operations.context)
    assert beyond.json()["reason"] == "badCursor"


def test_contradictions_are_looked_for_clips_after_clips(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labels, "LOOKED_AT", 2)
    videos = [collect(context, f"en{n}", language="none", segments=1) for n in range(1, 6)]
    with context.engine.begin() as connection:
        for place in (0, 1, 4):
            connection.exec_driver_sql(
                "UPDATE videos SET default_audio_language = 'en' WHERE video_id = %s",
                (videos[place],),
            )
            connection.exec_driver_sql(
                "UPDATE channels SET language = 'zh', language_source = 'hand' "
                "WHERE channel_id = %s",
                (channel(f"en{place + 1}"),),
            )
    with client_of(context) as client:
        found = list(pages(client, "languages/conflicts"))
        one_each = list(pages(client, "languages/conflicts", limit=1))
    assert [[row["video_id"] for row in page] for page in found] == [
        [videos[4]],
        [videos[1]],
        [videos[0]],
    ]
    assert [row["video_id"] for page in one_each for row in page] == [
        videos[place] for place in (4, 1, 0)
    ]
    of_all = {row["video_id"]: row for row in labels.conflicts(context)}
    for page in found:
        for row in page:
            assert of_all[row["video_id"]].items() <= row.items()
