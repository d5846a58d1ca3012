"""Clips that contradict themselves: listed, played, drawn, decided by hand."""

import io
import re
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from db.queries.learning import datasets, model_versions
from db.queries.speech import conflicts as queries
from db.queries.speech import languages
from services import listening
from services.api.problems import problem
from services.context import Context
from services.media.audio import labels
from tests.support.crawl import NOW
from tests.support.speech_jobs import channel, collect, rows

HTML = {"Accept": "text/html"}
CONFLICTS = "/speech/conflicts"


def claim(context: Context, speaker: str, *, metadata: str | None, label: str | None) -> str:
    """Store a clip of which YouTube says one thing, and the channel's label another."""
    video = collect(context, speaker, language="none", segments=3)
    with context.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE videos SET default_audio_language = %s WHERE video_id = %s", (metadata, video)
        )
        connection.exec_driver_sql(
            "UPDATE channels SET language = %s, language_source = %s WHERE channel_id = %s",
            (label, label and "hand", channel(speaker)),
        )
    return video


def hear(context: Context, said: dict[str, str]) -> None:
    """Have a model that hears a language in the clip of each video."""
    dataset = "5e" * 32
    values = {
        "dataset_id": dataset,
        "task": "speech",
        "as_of": NOW,
        "created_at": NOW,
        "n_videos": 40,
        "n_channels": 8,
        "excluded": {},
        "files": {},
    }
    with context.transaction() as session:
        datasets.add(session, values)
        model = model_versions.add(
            session,
            rung="crnn",
            dataset_id=dataset,
            job_id=None,
            trained_at=NOW,
            code_version="1",
            seed=0,
            config={},
            files={},
            task="speech",
        ).model_version_id
    clips = dict(rows(context, "SELECT video_id, clip_id FROM audio_clips"))
    scored = [
        {
            "clip_id": clips[video],
            "model_version_id": model,
            "p_en": 0.9 if language == "en" else 0.1,
            "p_zh": 0.9 if language == "zh" else 0.1,
            "p_unknown": 0.8 if language == "unknown" else 0.0,
            "language": language,
            "scored_at": NOW,
        }
        for video, language in said.items()
    ]
    with context.transaction() as session:
        languages.put_clip_scores(session, scored)


def shown(client: TestClient) -> list[str]:
    page = client.get(CONFLICTS, headers=HTML)
    assert page.status_code == 200
    return re.findall(r'data-video="([^"]+)"', page.text)


def test_what_is_said_twice_or_heard_otherwise_is_listed_and_nothing_else(
    client: TestClient, context: Context
) -> None:
    said_twice = claim(context, "en1", metadata="en", label="zh")
    misheard = claim(context, "en2", metadata="en", label=None)
    agreed = claim(context, "en3", metadata="en", label="en")
    unsure = claim(context, "zh1", metadata="zh", label=None)
    claim(context, "zh2", metadata=None, label=None)
    assert shown(client) == [said_twice]
    hear(context, {said_twice: "en", misheard: "zh", agreed: "en", unsure: "unknown"})
    assert shown(client) == [misheard, said_twice]
    page = client.get(CONFLICTS, headers=HTML).text
    assert "heard is <b>Chinese</b>, 90\N{NO-BREAK SPACE}%" in page
    assert "YouTube says <b>English</b>, the channel’s label says <b>Chinese</b>" in page


def test_a_label_decides_and_is_taken_back(client: TestClient, context: Context) -> None:
    video = claim(context, "en1", metadata="en", label="zh")
    done = client.post("/speech/labels", data={"video": video, "language": "en"})
    assert (done.status_code, done.headers["location"]) == (303, CONFLICTS)
    assert shown(client) == []
    assert labels.show(context, [video])[0]["claims"][0]["language"] == "en"
    assert "Take back the label" in client.get(CONFLICTS, headers=HTML).text
    client.post("/speech/labels", data={"video": video, "language": "none"})
    assert shown(client) == [video]


@pytest.mark.parametrize("language", ["fr", "", "en; DROP TABLE videos"])
def test_only_what_the_page_offers_is_a_label(
    client: TestClient, context: Context, language: str
) -> None:
    video = claim(context, "en1", metadata="en", label="zh")
    refused = client.post("/speech/labels", data={"video": video, "language": language})
    assert refused.status_code == 422
    assert shown(client) == [video]


def test_segments_are_played_and_drawn(client: TestClient, context: Context) -> None:
    claim(context, "en1", metadata="en", label="zh")
    page = client.get(CONFLICTS, headers=HTML).text
    played = re.findall(r'<button[^>]* data-play="([^"]+)"', page)
    assert len(played) == 3
    sound = client.get(played[0])
    assert (sound.headers["content-type"], sound.content[:4]) == ("audio/flac", b"fLaC")
    [picture] = re.findall(r'src="(/speech/clips/\d+/spectrogram)"', page)
    drawn = np.asarray(Image.open(io.BytesIO(client.get(picture).content)).convert("L"))
    assert drawn.shape == (96, 960)
    assert drawn.max() > 150
    starts = [float(x) for x in re.findall(r'<rect [^>]*x="([\d.]+)"', page)]
    assert starts == pytest.approx([0, 100 / 3, 200 / 3])


@pytest.mark.parametrize(
    "address", ["/speech/segments/1", f"/speech/segments/{2**70}", "/speech/clips/1/spectrogram"]
)
def test_sound_that_is_not_there_is_said(client: TestClient, address: str) -> None:
    assert client.get(address, headers=HTML).status_code == 404


@pytest.mark.parametrize("looked_at", [1, 3, 4, 5, 100])
def test_more_conflicts_than_a_page_go_on_where_it_ended(
    client: TestClient, context: Context, monkeypatch: pytest.MonkeyPatch, looked_at: int
) -> None:
    videos = [claim(context, f"en{number}", metadata="en", label="zh") for number in range(5)]
    monkeypatch.setattr(listening, "PAGE", 2)
    monkeypatch.setattr(listening, "LOOKED_AT", looked_at)
    seen: list[str] = []
    address: str | None = CONFLICTS
    while address:
        page = client.get(address, headers=HTML).text
        seen += re.findall(r'data-video="([^"]+)"', page)
        following = re.findall(r'rel="next" href="([^"]+)"', page)
        address = f"{CONFLICTS}{following[0]}" if following else None
    assert seen == videos[::-1]


def test_a_clip_whose_sound_was_removed_is_still_shown(
    client: TestClient, context: Context
) -> None:
    claim(context, "en1", metadata="en", label="zh")
    with context.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE audio_clips SET purged_at = now()")
    page = client.get(CONFLICTS, headers=HTML).text
    assert "Its sound was removed" in page
    assert "spectrogram" not in page


def test_a_file_is_heard_and_shown_or_the_reason_said(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    grader = client.app.state.grader  # type: ignore[attr-defined]
    monkeypatch.setattr(
        grader, "hear", lambda name, content: problem(400, f"{name}: no sound", "noAudio")
    )
    refused = client.post("/speech", files={"sound": ("x.mp3", b"nothing")}, headers=HTML)
    assert refused.status_code == 400
    assert "x.mp3: no sound" in refused.text


def test_conflicts_of_a_page_are_asked_for_by_the_key_of_clips(context: Context) -> None:
    for number in range(3):
        claim(context, f"en{number}", metadata="en", label="zh")
    with context.transaction() as session:
        known: dict[str, Any] = {"model_version_id": None, "limit": 1, "down_to": None}
        [first] = queries.undecided(session, before=None, **known)
        [second] = queries.undecided(session, before=first["clip_id"], **known)
        known["down_to"] = second["clip_id"] + 1
        assert queries.undecided(session, before=first["clip_id"], **known) == []
    assert second["clip_id"] < first["clip_id"]
