"""Collected speech without collecting it: clips of two invented languages, stored and labelled."""

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
from sqlalchemy import text

from db.queries.speech import clips, languages
from ml.audio import flac, pcm
from services.context import Context
from services.learning import pipeline, tasks
from services.work import jobs
from tests.support.crawl import NOW
from tests.support.speech import spoken

SECONDS = 2.0
SPEAKERS = ("en1", "en2", "en3", "zh1", "zh2", "zh3")
WORK = {
    "train": tasks.train,
    "score": tasks.score,
    "compare": tasks.compare,
    "retrain": pipeline.retrain,
}
QUICK = {"task": "speech", "epochs": 2, "folds": 2, "rungs": ["spectrogram_cnn", "crnn"]}


def channel(speaker: str) -> str:
    return "UC" + speaker.ljust(22, "_")


def collect(
    context: Context,
    speaker: str,
    *,
    language: str | None = None,
    video: int = 0,
    segments: int = 4,
    codec: str = "opus",
    seconds: float = SECONDS,
) -> str:
    """Store a clip of a speaker as collecting would, and label it by hand; return the video."""
    video_id = f"{speaker}-{video}".ljust(11, "_")
    seed = int.from_bytes(hashlib.sha256(video_id.encode()).digest()[:4])
    generator = np.random.default_rng(seed)
    sounds = [flac(pcm(spoken(speaker[:2], generator, seconds))) for _ in range(segments)]
    context.store.put_many(sounds)
    original = context.store.put(f"original {video_id}".encode())
    with context.transaction() as session:
        session.execute(
            text(
                "INSERT INTO channels (channel_id, title, added_at) VALUES (:c, :c, :t) "
                "ON CONFLICT DO NOTHING"
            ),
            {"c": channel(speaker), "t": NOW},
        )
        session.execute(
            text(
                "INSERT INTO videos (video_id, channel_id, title, published_at, first_seen_at, "
                "refreshed_at) VALUES (:v, :c, :v, :t, :t, :t)"
            ),
            {"v": video_id, "c": channel(speaker), "t": NOW},
        )
        clip = stored_clip(video_id, original, codec=codec, seconds=segments * seconds)
        stored = [stored_segment(*each, seconds) for each in enumerate(sounds)]
        clips.record_clip(session, clip, stored, now=NOW)
        if language != "none":
            languages.label(session, [video_id], language or speaker[:2], by="a test", now=NOW)
    return video_id


def stored_clip(
    video_id: str, original: str, *, codec: str = "opus", seconds: float
) -> clips.StoredClip:
    """A clip of a video all of which is speech."""
    return clips.StoredClip(
        video_id=video_id,
        audio_sha256=original,
        byte_size=9,
        container="matroska,webm",
        codec=codec,
        sample_rate=48_000,
        channels=1,
        said_duration_s=None,
        duration_s=max(1.0, seconds),
        kept_s=seconds,
        format_id=None,
        track_language=None,
        cutting_version="1-10s",
        allowed_by="setting",
        approval_reference=None,
    )


def stored_segment(number: int, sound: bytes, seconds: float) -> clips.StoredSegment:
    """A clip's segment of a number, those before it as long as it is."""
    return clips.StoredSegment(
        start_s=number * seconds,
        length_s=seconds,
        flac_sha256=hashlib.sha256(sound).hexdigest(),
        byte_size=len(sound),
        speech_share=0.9,
        level_dbfs=-20.0,
        snr_db=5.0 + 8 * number if number else None,
        clipped_share=0.0,
    )


def collect_all(context: Context, speakers: tuple[str, ...] = SPEAKERS) -> None:
    for speaker in speakers:
        collect(context, speaker, codec="aac" if speaker.endswith("2") else "opus")


def run(
    context: Context,
    kind: str,
    params: dict[str, Any] | None = None,
    *,
    during: Callable[[], None] = lambda: None,
) -> jobs.JobView:
    """Do a job of speech as a worker would, and return how it ended."""
    work = WORK[kind]
    job_id = jobs.submit(context, kind, {**QUICK, **(params or {})})
    again(context, job_id, work, during)
    return jobs.view(context, job_id)


def again(
    context: Context, job_id: Any, work: jobs.JobWork, during: Callable[[], None] = lambda: None
) -> None:
    with context.engine.begin() as connection:
        [(token,)] = connection.execute(
            text(
                "UPDATE jobs SET state = 'running', lease_token = gen_random_uuid(), "
                "ready_at = now() WHERE job_id = :j RETURNING lease_token"
            ),
            {"j": job_id},
        )
    during()
    jobs.run(context, job_id, token, work)


def rows(context: Context, statement: str, **values: object) -> list[tuple[Any, ...]]:
    with context.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement), values)]
