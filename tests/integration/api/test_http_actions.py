"""What pages do, programs do: jobs by key, schedules changed, labels, views in bulk, ETags."""

import csv
import io
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fastapi.testclient import TestClient

from services import exporting
from services.context import Context
from services.errors import BusyError
from tests.support.catalogue import Catalogue, scored_catalogue

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
TRAIN = {"kind": "train"}


def exports_ended() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("export"):
            thread.join(30)


@pytest.fixture(autouse=True)
def _end_exports(context: Context) -> Iterator[None]:
    yield
    exports_ended()  # before their database goes


@pytest.fixture
def scored(context: Context) -> Catalogue:
    made = scored_catalogue(context, NOW, 23)
    made.sql("UPDATE videos SET title = '=1+1' WHERE video_id = 'video_00000'")
    return made


def test_a_job_asked_for_twice_by_one_key_is_one(client: TestClient) -> None:
    headers = {"Idempotency-Key": "a-key"}
    first = client.post("/api/v1/jobs", json=TRAIN, headers=headers)
    again = client.post("/api/v1/jobs", json=TRAIN | {"task": "thumbnails"}, headers=headers)
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    other = client.post("/api/v1/jobs", json=TRAIN | {"task": "speech"}, headers=headers)
    assert (other.status_code, other.json()["reason"]) == (409, "keyUsedOtherwise")
    without = [client.post("/api/v1/jobs", json=TRAIN).json()["job_id"] for _ in range(2)]
    assert len({first.json()["job_id"], *without}) == 3
    bad = client.post("/api/v1/jobs", json=TRAIN, headers={"Idempotency-Key": "a b"})
    assert bad.status_code == 422

    def ask(_: int) -> str:
        key = {"Idempotency-Key": "at once"[:2] + "1"}
        return str(client.post("/api/v1/jobs", json=TRAIN, headers=key).json()["job_id"])

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(ask, range(16)))) == 1

    # Pages of jobs join without a gap.
    whole = [job["job_id"] for job in client.get("/api/v1/jobs").json()["items"]]
    assert len(whole) == 4
    found, after = [], None
    while True:
        page = client.get("/api/v1/jobs", params={"limit": 1} | ({"after": after} if after else {}))
        found += [job["job_id"] for job in page.json()["items"]]
        after = page.json()["next"]
        if after is None:
            break
    assert found == whole
    assert client.get("/api/v1/jobs?after=WzEsMl0").status_code == 400


def test_jobs_are_paused_and_retried_by_reason(client: TestClient, context: Context) -> None:
    score = client.post("/api/v1/jobs", json={"kind": "score"}).json()["job_id"]
    assert client.post(f"/api/v1/jobs/{score}/pause").json()["paused_at"]
    assert client.post(f"/api/v1/jobs/{score}/resume").json()["paused_at"] is None
    train = client.post("/api/v1/jobs", json=TRAIN).json()["job_id"]
    assert client.post(f"/api/v1/jobs/{train}/pause").status_code == 400
    with context.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE jobs SET state = 'failed', ready_at = NULL, finished_at = now(), "
            f"error_kind = 'permanent', error_reason = 'tooFew' WHERE job_id = '{train}'"
        )
    retry = "/api/v1/failed-jobs/retry"
    assert client.post(retry, json={"reason": "other"}).json() == {"jobs": []}
    assert client.post(retry, json={"kind": "nothing"}).status_code == 400
    assert client.post(retry, json={"reason": "tooFew"}).json() == {"jobs": [train]}
    assert client.post("/api/v1/work-items/retry", json={}).json() == {"items": 0}
    assert client.get("/api/v1/work-items").json() == {"items": [], "next": None}


def test_a_schedule_is_changed_in_its_place(client: TestClient) -> None:
    plan = {"kind": "train", "cron": "30 3 * * *"}
    address = "/api/v1/schedules/nightly"
    assert client.put(address, json=plan).status_code == 404
    client.post("/api/v1/schedules", json=plan | {"name": "nightly"})
    client.post(f"{address}/pause")
    changed = client.put(address, json=plan | {"cron": "0 5 * * *"})
    assert changed.json()["changed"] is True
    assert all("T05:00" in moment for moment in changed.json()["next"])
    assert client.put(address, json=plan | {"cron": "0 5 * * *"}).json()["changed"] is False
    shown = client.get(address).json()
    assert (shown["cron"], shown["state"]) == ("0 5 * * *", "paused")
    assert client.put(address, json=plan | {"cron": "0 25 * * *"}).status_code == 400
    assert client.put(address, json=plan | {"name": "other"}).status_code == 422


def test_languages_are_listed_and_said_by_hand(client: TestClient, scored: Catalogue) -> None:
    assert client.get("/api/v1/languages").json() == {"items": [], "next": None}
    assert client.get("/api/v1/languages?after=WzEsMl0").json()["items"] == []
    label = {"labels": [{"video": "video_00001", "language": "zh"}]}
    assert client.post("/api/v1/language-labels", json=label).json() == {
        "named": 1,
        "changed": ["video_00001"],
    }
    claims = client.get("/api/v1/languages/video_00001").json()
    assert claims["claims"][0]["language"] == "zh"
    assert client.get("/api/v1/languages/conflicts").json() == {"items": [], "next": None}
    unknown = {"labels": [{"video": "aaaaaaaaaaa", "language": "zh"}]}
    assert client.post("/api/v1/language-labels", json=unknown).json()["reason"] == "videoUnknown"
    assert client.get("/api/v1/drift/newest").json()["reason"] == "noDrift"
    counts = client.get("/api/v1/channels/UC" + "a" * 22 + "/counts")
    assert counts.json() == []


def test_a_view_is_exported_in_each_format_with_the_same_rows(
    client: TestClient, scored: Catalogue
) -> None:
    def export(form: str, view: str = "scored_videos") -> bytes:
        answer = client.get(f"/api/v1/export/{view}", params={"format": form})
        assert answer.status_code == 200, answer.text
        assert f'filename="{view}.{form}"' in answer.headers["content-disposition"]
        return answer.content

    lines = [json.loads(line) for line in export("ndjson").splitlines()]
    rows = list(csv.DictReader(io.StringIO(export("csv").decode(), newline="")))
    of_arrow = pa.ipc.open_stream(export("arrow")).read_all().to_pylist()
    of_parquet = pq.read_table(io.BytesIO(export("parquet"))).to_pylist()
    assert len(lines) == len(rows) == len(of_arrow) == 23
    ids = sorted(line["video_id"] for line in lines)
    for others in (rows, of_arrow, of_parquet):
        assert sorted(str(row["video_id"]) for row in others) == ids
        assert list(others[0]) == list(lines[0])
    assert {row["title"] for row in rows} >= {"'=1+1"}  # harmless in a spreadsheet
    assert of_arrow[0]["published_at"].tzinfo is not None
    for view in client.get("/api/v1/export").json():
        for form in ("ndjson", "csv", "arrow", "parquet"):
            export(form, view)
    assert client.get("/api/v1/export/videos").json()["reason"] == "noView"
    assert client.get("/api/v1/export/scored_videos?format=xml").status_code == 422


def test_as_many_export_as_may_and_a_reader_who_leaves_makes_room(
    context: Context, client: TestClient, scored: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "ROWS", 1)
    open_now: list[Iterator[bytes]] = [
        exporting.stream(context, "scored_videos", "ndjson")[1] for _ in range(exporting.AT_A_TIME)
    ]
    with pytest.raises(BusyError):
        exporting.stream(context, "scored_videos", "ndjson")
    for pieces in open_now:
        next(pieces)
        pieces.close()  # type: ignore[attr-defined]
    exports_ended()
    assert client.head("/api/v1/export/scored_videos").status_code == 200


def test_what_is_known_is_not_sent_again(client: TestClient, scored: Catalogue) -> None:
    for address in ("/api/v1/videos", "/api/v1/openapi.json", "/static/app.css"):
        first = client.get(address)
        etag = first.headers["etag"]
        again = client.get(address, headers={"If-None-Match": f'"x", W/{etag}'})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == etag
        head = client.head(address)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == first.headers["content-length"]
    etag = client.get("/api/v1/videos").headers["etag"]
    scored.sql("UPDATE videos SET title = 'other' WHERE video_id = 'video_00002'")
    changed = client.get("/api/v1/videos", headers={"If-None-Match": etag})
    assert changed.status_code == 200
    assert client.head("/api/v1/nothing").status_code == 404
    job = client.post("/api/v1/jobs", json=TRAIN).json()["job_id"]
    assert client.head(f"/api/v1/jobs/{job}/events").status_code == 200


@pytest.mark.parametrize(
    ("method", "address", "status"),
    [
        ("GET", "/api/v1/nothing", 404),
        ("PATCH", "/api/v1/jobs", 405),
        ("DELETE", "/api/v1/videos", 405),
        ("OPTIONS", "/api/v1/jobs", 405),
        ("POST", "/api/v1/jobs", 422),
    ],
)
def test_what_the_framework_refuses_is_a_problem_too(
    client: TestClient, method: str, address: str, status: int
) -> None:
    answer = client.request(method, address, content=b"{")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "reason"} <= answer.json().keys()
    assert "allow" in answer.headers or status != 405


def test_figures_are_told_as_prometheus_reads_them(client: TestClient) -> None:
    client.post("/api/v1/jobs", json=TRAIN)
    client.get("/api/v1/nothing")
    text = client.get("/metrics").text
    assert 'tubegrader_api_requests_total{method="GET",status="404"} 1' in text
    assert 'tubegrader_jobs{state="queued"} 1' in text
    for line in text.splitlines():
        assert line.startswith("# ") or len(line.rsplit(" ", 1)) == 2
        assert line.startswith("# ") or float(line.rsplit(" ", 1)[1]) >= 0


def test_each_operation_says_its_scope_and_shows_an_example(client: TestClient) -> None:
    document = client.get("/api/v1/openapi.json").json()
    for address, methods in document["paths"].items():
        for method, operation in methods.items():
            where = (method, address)
            assert operation["x-scope"] in ("none", "read", "operate", "admin"), where
            wrong = operation["responses"]["default"]["content"]["application/problem+json"]
            assert wrong["example"]["reason"], where
            for content in operation.get("requestBody", {}).get("content", {}).values():
                assert content["example"], where
            for answer in operation["responses"].values():
                for media_type, content in answer.get("content", {}).items():
                    if media_type == "application/json":
                        assert "example" in content, where
