"""What an operator does over HTTP: pauses begun and lifted, the digest, what is to be compared."""

from fastapi.testclient import TestClient

from services.api.app import create_app
from services.api.problems import Problem, problem
from services.context import Context
from services.digest import digest
from services.work import pauses
from tests.support.api import HOST
from tests.support.catalogue import Catalogue
from tests.support.crawl import NOW

PAUSES = "/api/v1/pauses"


def test_work_is_paused_and_goes_on(client: TestClient, context: Context) -> None:
    crawl = {"scope": "crawl", "reason": "the store is moved"}
    assert client.post(PAUSES, json=crawl).json() == {"changed": True}
    assert client.post(PAUSES, json=crawl).json() == {"changed": False}
    assert client.post(PAUSES, json={}).json() == {"changed": True}
    listed = {each["scope"]: each["reason"] for each in client.get(PAUSES).json()}
    assert listed == {"crawl": "the store is moved", "everything": None}
    assert {each.scope for each in pauses.listed(context)} == set(listed)
    held = client.get("/api/v1/system").json()["held_back"]
    assert "the store is moved" in " ".join(each["message"] for each in held)
    for scope in listed:
        assert client.delete(f"{PAUSES}/{scope}").json() == {"changed": True}
        assert client.delete(f"{PAUSES}/{scope}").json() == {"changed": False}
    assert client.get(PAUSES).json() == []
    for answer in (
        client.post(PAUSES, json={"scope": "nothing"}),
        client.delete(f"{PAUSES}/nothing"),
    ):
        assert answer.status_code == 400
        assert "no queue" in answer.json()["detail"]
    assert client.post(PAUSES, json={"queue": "crawl"}).status_code == 422


def test_the_digest_is_told_as_the_command_tells_it(client: TestClient, context: Context) -> None:
    pauses.pause(context, "crawl", reason="we move")
    told = client.get("/api/v1/digest").json()
    found = digest(context)
    assert told["sentence"] == found.sentence
    assert told["day"] == found.day.isoformat()
    assert any("we move" in each["what"] for each in told["look_at"])
    assert "To look at:" in told["text"]


def test_what_is_not_compared_yet_is_said(client: TestClient, context: Context) -> None:
    for task in ("thumbnails", "speech"):
        assert client.get(f"/api/v1/comparisons/{task}").json() == {"needed": False}
    made = Catalogue(context, NOW)
    videos = made.add(3)
    models = made.train()
    refused = client.get("/api/v1/comparisons/thumbnails")
    assert (refused.status_code, refused.json()["reason"]) == (409, "notScored")
    for video in videos:
        made.show(video, 0, now=NOW)
    for model in models:
        made.score(videos, model, 0, 0.5)
    assert client.get("/api/v1/comparisons/thumbnails").json() == {"needed": True}
    assert client.get("/api/v1/comparisons/speech").json() == {"needed": False}


def test_a_file_is_heard_or_the_reason_said(context: Context) -> None:
    app = create_app(context, remembered_s=0)
    path = "/api/v1/language-detections"
    with TestClient(app, base_url=HOST) as client:
        # No model is kept, whichever packages are there.
        refused = client.post(path, files={"sound": ("x.mp3", b"nothing")})
        assert refused.status_code == 409
        assert refused.json()["reason"] in ("noModel", "packageMissing")

        def heard(name: str, content: bytes) -> Problem:
            return problem(400, f"{name}: {len(content)} bytes are no sound", "noAudio")

        app.state.grader.hear = heard
        refused = client.post(path, files={"sound": ("x.mp3", b"nothing")})
        assert (refused.status_code, refused.json()["reason"]) == (400, "noAudio")
        assert "7 bytes" in refused.json()["detail"]
        assert client.post(path).status_code == 422
