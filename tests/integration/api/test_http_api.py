"""``/api/v1``: pages that join without a gap, problems in words, and who may ask."""

import base64
import contextlib
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from services.api.guards import LARGEST_BODY
from services.api.permissions import declared
from services.api.v1.sql import MOST_BYTES, MOST_ROWS
from services.context import Context
from services.errors import UsageError
from services.paging import position
from tests.support.api import api_process
from tests.support.catalogue import Catalogue, scored_catalogue

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)


@pytest.fixture
def scored(context: Context) -> Catalogue:
    # Some are as far off as others.
    return scored_catalogue(context, NOW, 11, log10=lambda place: place % 4 / 3)


def listed(client: TestClient, address: str, key: str, limit: int) -> list[str]:
    found, after, n_pages = [], None, 0
    while True:
        page = client.get(address, params={"limit": limit, **({"after": after} if after else {})})
        assert page.status_code == 200
        found += [item[key] for item in page.json()["items"]]
        assert len(page.json()["items"]) <= limit
        after, n_pages = page.json()["next"], n_pages + 1
        if after is None:
            return found


@pytest.mark.parametrize("order", ["newest", "underestimated", "overestimated"])
@pytest.mark.parametrize("limit", [1, 3, 11])
def test_pages_of_videos_hold_each_once_in_order(
    client: TestClient, scored: Catalogue, order: str, limit: int
) -> None:
    whole = listed(client, f"/api/v1/videos?order={order}", "video_id", 500)
    assert len(set(whole)) == 11
    assert listed(client, f"/api/v1/videos?order={order}", "video_id", limit) == whole


def test_pages_of_channels_hold_those_without_a_title_too(
    client: TestClient, scored: Catalogue
) -> None:
    scored.sql("UPDATE channels SET title = 'Zebra' WHERE channel_id LIKE 'UCa%'")
    assert listed(client, "/api/v1/channels", "title", 1) == [None, "Zebra"]


def test_videos_are_found_by_words_of_their_title(client: TestClient, scored: Catalogue) -> None:
    scored.sql("UPDATE videos SET title = 'A small Garden' WHERE video_id = 'video_00004'")
    found = client.get("/api/v1/videos", params={"title": "garden small"}).json()["items"]
    assert [video["video_id"] for video in found] == ["video_00004"]


@settings(max_examples=60)
@given(st.text(max_size=40))
def test_a_cursor_of_somebody_else_is_refused_in_words(cursor: str) -> None:
    with contextlib.suppress(UsageError):  # anything else would be a defect
        position(cursor, datetime.fromisoformat, str)


@pytest.mark.parametrize(
    ("address", "status", "reason"),
    [
        ("/api/v1/jobs/00000000", 404, "usage"),
        ("/api/v1/videos/aaaaaaaaaaa", 404, "noVideo"),
        ("/api/v1/channels/@nobody", 404, "notWatched"),
        ("/api/v1/models/champion", 404, "noChampion"),
        ("/api/v1/comparisons/thumbnails/newest", 409, "noComparison"),
        ("/api/v1/thumbnails/" + "0" * 64, 404, "noPicture"),
        ("/api/v1/videos?after=zzz", 400, "badCursor"),
        ("/api/v1/videos?limit=0", 422, "malformed"),
        ("/api/v1/videos?channel=x%01", 400, "badChannelReference"),
        ("/api/v1/videos?title=x%00", 400, "nulByte"),
        ("/api/v1/jobs?kind=%00", 400, "nulByte"),
        ("/api/v1/schedules/a%00b/next", 400, "nulByte"),
        ("/api/v1/schedules/nothing/next", 404, "usage"),
        ("/api/v1/nothing", 404, "http"),
    ],
)
def test_a_failure_is_a_problem_with_a_reason(
    client: TestClient, address: str, status: int, reason: str
) -> None:
    answer = client.get(address)
    assert (answer.status_code, answer.headers["content-type"]) == (
        status,
        "application/problem+json",
    )
    assert answer.json()["reason"] == reason
    assert answer.json()["detail"]


def test_text_that_the_database_cannot_hold_is_refused(client: TestClient) -> None:
    for body in ({"channels": ["@a\0b"]}, {"channels": ["@ab"], "tags": ["a\0"]}):
        answer = client.post("/api/v1/channels", json=body)
        assert answer.status_code < 500, answer.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example:8765"}, 421),
        ({"Host": "["}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:9999"}, 403),
        ({"Origin": "http://["}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Content-Length": str(LARGEST_BODY + 1)}, 413),
        ({"Origin": "http://127.0.0.1:8765", "Sec-Fetch-Site": "same-origin"}, 201),
        ({}, 201),
    ],
)
def test_only_our_own_pages_and_programs_change_anything(
    client: TestClient, headers: dict[str, str], status: int
) -> None:
    assert (
        client.post("/api/v1/jobs", json={"kind": "train"}, headers=headers).status_code == status
    )


@pytest.mark.parametrize(
    ("address", "mode", "status"),
    [
        ("/ask?q=SELECT+1", "no-cors", 403),
        ("/ask?q=SELECT+1", "navigate", 403),
        ("/ask", "navigate", 200),
        ("/videos?order=underestimated", "navigate", 200),
        ("/api/v1/jobs", "no-cors", 403),
    ],
)
def test_another_sites_page_may_link_here_and_ask_nothing(
    client: TestClient, address: str, mode: str, status: int
) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": mode}
    assert client.get(address, headers=headers).status_code == status


@pytest.mark.parametrize(
    "cursor", ['["\\ud800", "x"]', "[1" + "0" * 320 + ', "x"]', "[" * 300, "[NaN, 1]", '["x"]']
)
def test_a_cursor_that_was_made_up_is_refused(client: TestClient, cursor: str) -> None:
    after = base64.urlsafe_b64encode(cursor.encode()).decode()
    for order in ("newest", "underestimated"):
        answer = client.get("/api/v1/videos", params={"order": order, "after": after})
        assert answer.status_code in (200, 400), answer.text  # 200: there is no model yet
    assert client.get("/api/v1/channels", params={"after": after}).status_code in (200, 400)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT '\"\\ud800\"'::json",
        "SELECT ARRAY['\\xff'::bytea]",
        "SELECT repeat('1', 5000)::json",
        "SELECT '\\xff'::bytea, 'infinity'::timestamptz",
    ],
)
def test_an_odd_answer_is_shown_or_refused(client: TestClient, query: str) -> None:
    assert client.post("/api/v1/sql", json={"query": query}).status_code in (200, 400)
    assert client.get("/ask", params={"q": query}).status_code in (200, 400)


def test_an_answer_of_large_cells_is_cut(client: TestClient) -> None:
    query = "SELECT repeat('x', 1000000) FROM generate_series(1, 5000)"
    answer = client.post("/api/v1/sql", json={"query": query}).json()
    assert answer["cut"]
    assert len(answer["rows"]) == MOST_BYTES // 1_000_000 + 1


@pytest.mark.parametrize(
    "query",
    [
        "SELECT repeat('x', 150000000)",
        "TABLE wide",
        "WITH w AS (SELECT repeat('x', 9000000) AS a) SELECT 1, a, a FROM w -- all of it",
        "SELECT 1) SELECT repeat('x', 150000000) WHERE EXISTS (SELECT 2",
        "SELECT 1) SELECT repeat('x', 150000000) -- ",
        "SELECT 1) SELECT repeat('x', 150000000) /*",
        "EXPLAIN (VERBOSE) SELECT repeat('x', 150000000)",
        "SHOW x; SELECT repeat('x', 150000000)",
    ],
)
def test_no_row_is_larger_than_an_answer(client: TestClient, query: str) -> None:
    said = query.replace("TABLE wide", "VALUES (1, ''), (2, repeat('x', 20000000))")
    for asked in (said, f"\n{said} ; "):
        refused = client.post("/api/v1/sql", json={"query": asked})
        assert refused.status_code == 400, refused.text[:200]
        assert refused.json()["reason"] in ("rowTooLarge", "badQuery")
    assert client.get("/ask", params={"q": said}).status_code == 400


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("SELECT 1 AS a, 2 AS a;", [[1, 2]]),
        (" VALUES (2), (1), (3) ORDER BY 1 DESC; ;\n", [[3], [2], [1]]),
        ("-- first\nSELECT '%s -- ;' -- last", [["%s -- ;"]]),
        ("WITH RECURSIVE n AS (SELECT 1 AS i UNION SELECT i + 1 FROM n WHERE i < 3) TABLE n",
         [[1], [2], [3]]),
        ("(SELECT 1 UNION ALL SELECT NULL) ORDER BY 1", [[1], [None]]),
        ("SHOW server_encoding", [["UTF8"]]),
        ("SELECT NULL, NULL", [[None, None]]),
        ("SELECT pg_sleep(0)", [[""]]),
    ],
)  # fmt: skip
def test_queries_of_each_form_are_answered(
    client: TestClient, query: str, rows: list[list[Any]]
) -> None:
    assert client.post("/api/v1/sql", json={"query": query}).json()["rows"] == rows


def test_what_is_wrong_is_said_of_the_query_as_it_was_typed(client: TestClient) -> None:
    def said(query: str) -> str:
        return str(client.post("/api/v1/sql", json={"query": query}).json()["detail"])

    assert said("SELECT 1 FRO videos v") == 'syntax error at or near "videos"'
    assert said("SELECT 1 +") == "syntax error at end of input"
    assert "multiple commands" in said("SELECT 1; SELECT 2")
    assert said("SELECT nothing") == 'column "nothing" does not exist'
    assert "only SELECT" in said("DELETE FROM videos")


def test_a_job_is_found_by_its_id_or_its_start(client: TestClient) -> None:
    job_id = client.post("/api/v1/jobs", json={"kind": "train"}).json()["job_id"]
    for name in (job_id, job_id[:8], job_id.upper(), job_id[:23]):
        assert client.get(f"/api/v1/jobs/{name}").json()["job_id"] == job_id


def test_a_schedule_of_a_program_is_checked_as_a_typed_one(client: TestClient) -> None:
    plan = {"name": "x", "kind": "crawl", "interval_s": 60}
    assert client.post("/api/v1/schedules", json=plan | {"task": "speech"}).status_code == 400
    assert client.post("/api/v1/schedules", json=plan | {"tags": 5}).status_code == 422
    assert client.post("/api/v1/schedules", json=plan | {"params": {"tags": 5}}).status_code == 422
    assert client.post("/api/v1/schedules", json=plan).json()["new"]


def test_a_body_that_tells_no_length_ends_at_the_limit(client: TestClient) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(LARGEST_BODY // 1_000_000 + 2):
            yield b" " * 1_000_000

    assert client.post("/api/v1/jobs", content=endless()).status_code >= 400


def test_questions_are_read_only_and_their_answers_bounded(
    client: TestClient, scored: Catalogue
) -> None:
    def ask(query: str) -> Any:
        return client.post("/api/v1/sql", json={"query": query})

    answer = ask("SELECT i, 'NaN'::float8 AS x FROM generate_series(1, 100000) AS i").json()
    assert answer["columns"] == ["i", "x"]
    assert (len(answer["rows"]), answer["cut"]) == (MOST_ROWS, True)
    assert answer["rows"][0] == [1, "nan"]
    for query in (
        "DELETE FROM videos",
        "COMMIT; DELETE FROM videos",
        "SELECT pg_read_file('/etc/passwd')",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "SELECT",
    ):
        refused = ask(query)
        assert refused.status_code in (200, 400), query
        assert query == "SELECT" or refused.json()["reason"] == "badQuery"
    assert ask("SELECT count(*) FROM videos").json()["rows"] == [[11]]


def test_a_job_is_followed_to_its_end(client: TestClient) -> None:
    job = client.post("/api/v1/jobs", json={"kind": "train"}).json()
    client.post(f"/api/v1/jobs/{job['job_id']}/cancel")
    with client.stream("GET", f"/api/v1/jobs/{job['job_id']}/events") as events:
        lines = [line for line in events.iter_lines() if line.startswith(("data", "event"))]
    assert json.loads(lines[0].removeprefix("data: "))["state"] == "cancelled"
    assert lines[-2:] == ["event: end", "data: {}"]


def test_every_answer_is_described(client: TestClient) -> None:
    document = client.get("/api/v1/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for address, methods in document["paths"].items():
        for method, described in methods.items():
            assert described["summary"], (method, address)
            assert "default" in described["responses"], (method, address)


def test_it_runs_as_a_process_without_torch_and_ends_when_told(
    context: Context, scored: Catalogue, tmp_path: Path
) -> None:
    """In the process whoever imports torch fails; nothing that is asked for does."""
    parts = {
        "channel": "UC" + "a" * 22,
        "video_id": "video_00001",
        "model": "champion",
        "task": "thumbnails",
        "job_id": "00000000",
        "sha256": "0" * 64,
        "name": "nightly-crawl",
        "view": "scored_videos",
        "action": "pause",
        "clip_id": "1",
        "segment_id": "1",
        "scope": "crawl",
    }
    with api_process(context, tmp_path) as (url, _):
        statuses = {
            route: status_of(f"{url}{path.format(**parts)}", method)
            for route, _ in declared()
            for method, _, path in [route.partition(" ")]
        }
        assert {route: status for route, status in statuses.items() if status >= 500} == {}
        assert statuses["GET /readyz"] == statuses["GET /"] == 200


def status_of(url: str, method: str) -> int:
    request = urllib.request.Request(url, method=method)
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code
