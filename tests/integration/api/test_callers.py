"""Who asks is counted and noted fairly: wrong tokens lock nobody else out, changes have a name."""

import base64
import json
import uuid
from datetime import datetime

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update
from sqlalchemy.orm import Session
from structlog.testing import capture_logs

from db.models import ApiToken
from db.queries import tokens as rows
from services import tokens
from services.api.access import SIGN_INS_PER_MINUTE, WRONG_PER_MINUTE
from services.api.v1 import completeness, events
from services.context import Context
from services.media.audio import labels
from services.work import jobs
from services.work.job_views import JobView
from tests.integration.api.test_http_api import NOW
from tests.support.api import HOST, bearer, client_of
from tests.support.catalogue import Catalogue

JOBS = "/api/v1/jobs"
HTML = {"Accept": "text/html"}
OURS = {"Origin": HOST, "Sec-Fetch-Site": "same-origin"}


def test_wrong_tokens_typed_at_an_address_lock_no_right_one_out(
    client: TestClient, admin: str
) -> None:
    for _ in range(SIGN_INS_PER_MINUTE + 1):
        wrong = client.post("/sign-in", data={"token": "x"}, headers=OURS)
    assert wrong.status_code == 429
    assert client.post("/sign-in", data={"token": admin}, headers=OURS).status_code == 303


def test_wrong_tokens_of_pages_are_counted_and_asked_for_no_longer(
    client: TestClient, admin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.get(JOBS, headers=bearer(admin)).status_code == 200
    for n in range(WRONG_PER_MINUTE):
        assert client.get("/jobs", headers=bearer(f"x{n}") | HTML).status_code == 303
    asked: list[str] = []
    by_hash = rows.by_hash

    def noted(session: Session, sha256: str, *, now: datetime) -> ApiToken | None:
        asked.append(sha256)
        return by_hash(session, sha256, now=now)

    monkeypatch.setattr(rows, "by_hash", noted)
    assert client.get("/jobs", headers=bearer("y") | HTML).status_code == 429
    assert asked == []
    # Behind a proxy all have one address.
    assert client.get(JOBS, headers=bearer(admin)).status_code == 200
    assert asked == [tokens.digest(admin)]


def test_sessions_outlive_a_restart_and_ended_ones_do_not(context: Context, admin: str) -> None:
    with client_of(context) as one:
        one.post("/sign-in", data={"token": admin}, headers=OURS)
        with client_of(context) as again:
            again.cookies = one.cookies
            assert again.get(JOBS).status_code == 200
        headers = {"Cookie": "; ".join(f"{n}={v}" for n, v in one.cookies.items())}
        one.post("/sign-out", headers=OURS)
    with client_of(context) as again:
        assert again.get(JOBS, headers=headers).status_code == 401
    assert (context.settings.home / "sessions.json").stat().st_mode & 0o777 == 0o600


def test_a_session_is_of_its_token_and_no_other_of_its_number(
    context: Context, client: TestClient, admin: str
) -> None:
    client.post("/sign-in", data={"token": admin}, headers=OURS)
    with context.transaction() as session:
        session.execute(update(ApiToken).values(sha256="0" * 64, name="somebody else"))
    assert client.get(JOBS).status_code == 401


def test_what_changes_something_is_noted_with_its_caller(client: TestClient, admin: str) -> None:
    with capture_logs() as logs:
        client.get(JOBS, headers=bearer(admin))
        client.post(JOBS, json={"kind": "train"}, headers=bearer(admin))
        client.delete("/api/v1/schedules/none", headers=bearer(admin))
        client.post(JOBS, json={"kind": "train"})
    noted = [each for each in logs if each["event"] in ("api.changed", "api.unchanged")]
    assert [(each["caller"], each["method"], each["path"], each["status"]) for each in noted] == [
        ("admin", "POST", JOBS, 201),
        ("admin", "DELETE", "/api/v1/schedules/none", 404),
        (None, "POST", JOBS, 401),
    ]


def test_labels_are_of_whose_token_it_is(context: Context, client: TestClient) -> None:
    [one, other] = Catalogue(context, NOW).add(2)
    anna = tokens.create(context, "anna", scope="operate")
    wanted = {"labels": [{"video": one, "language": "en"}], "by": "somebody else"}
    assert client.post("/api/v1/language-labels", json=wanted, headers=bearer(anna)).is_success
    client.post("/sign-in", data={"token": anna}, headers=OURS)
    client.post("/speech/labels", data={"video": other, "language": "en"}, headers=OURS)
    for shown in labels.show(context, [one, other]):
        assert [said["labelled_by"] for said in shown["by_hand"]] == ["anna"]


def test_completeness_is_bounded_in_days_and_at_a_time(client: TestClient) -> None:
    path = "/api/v1/completeness"
    for each in (path, f"{path}/total"):
        refused = client.get(each, params={"since": "0001-01-01"})
        assert (refused.status_code, refused.json()["reason"]) == (400, "tooLongAgo")
        assert client.get(each).status_code == 200
    path = f"{path}/total"
    for _ in range(2):
        assert completeness._PLACES.acquire(blocking=False)
    try:
        assert client.get(path).json()["reason"] == "busy"
    finally:
        completeness._PLACES.release(2)
    assert client.get(path).status_code == 200


def test_a_job_is_followed_while_its_token_is_in_force(
    context: Context, client: TestClient, admin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = client.post(JOBS, json={"kind": "train"}, headers=bearer(admin)).json()["job_id"]
    views: list[str] = []
    view = jobs.view

    def seen(context: Context, job_id: uuid.UUID) -> JobView:
        views.append("x")
        assert len(views) < 10, "nobody ends it"
        if len(views) == 2:
            tokens.revoke(context, "admin")
        return view(context, job_id)

    monkeypatch.setattr(jobs, "view", seen)
    monkeypatch.setattr(events, "_SILENT_S", 0.0)
    monkeypatch.setattr(events, "_POLL_S", 0.01)
    followed = client.get(f"{JOBS}/{job_id}/events", headers=bearer(admin))
    assert "event: end" not in followed.text
    assert len(views) == 2
    assert client.app.state.doorkeeper.streams.total() == 0  # type: ignore[attr-defined]


def test_of_jobs_some_are_followed_at_a_time_and_for_an_hour(
    client: TestClient, admin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = client.post(JOBS, json={"kind": "train"}, headers=bearer(admin)).json()["job_id"]
    path = f"{JOBS}/{job_id}/events"
    token_id = next(view.api_token_id for view in tokens.listed(client.app.state.context))  # type: ignore[attr-defined]
    streams = client.app.state.doorkeeper.streams  # type: ignore[attr-defined]
    streams[token_id] = 20
    refused = client.get(path, headers=bearer(admin))
    assert (refused.status_code, refused.json()["reason"]) == (429, "tooManyRequests")
    streams[token_id] = 19
    monkeypatch.setattr(events, "_LONGEST_S", 0.0)
    assert client.get(path, headers=bearer(admin)).status_code == 200
    assert streams[token_id] == 19


@pytest.mark.parametrize("last", [True, False, 1.5, None, -1])
def test_a_cursor_of_clips_ends_with_an_id(client: TestClient, last: object) -> None:
    after = base64.urlsafe_b64encode(json.dumps(["clip", last]).encode()).decode()
    refused = client.get("/api/v1/languages", params={"after": after})
    assert (refused.status_code, refused.json()["reason"]) == (400, "badCursor")
