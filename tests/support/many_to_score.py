"""More and more pictures and segments that wait for scores, and a process that scores them."""

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import numpy as np
from PIL import Image
from sqlalchemy import text

from db.partitions import ensure_partitions
from db.queries.catalog import channels
from db.queries.speech import clips
from ml.audio import flac, pcm
from ml.thumbnails.backbones.cache import EmbeddingCache
from ml.thumbnails.backbones.embeddings import WIDTH, embedding_cache
from ml.thumbnails.backbones.weights import load_backbone
from ml.thumbnails.features.catalogue import FEATURES, MEASUREMENT_VERSION
from services.context import Context
from services.packs import Packs
from services.settings import Settings
from services.storage import ObjectStore
from tests.support import speech_jobs
from tests.support.scoring import NOW
from tests.support.speech import spoken
from tests.support.stored import store_videos

PAGE = 1_000
PER_CHANNEL = 20
DRAWN = 64
"""Pictures that are really drawn; each gets a comment that makes it another file."""
SEGMENT_S = 4.0
WORK = "from tests.support import many_to_score; many_to_score.score(*sys.argv[1:])"


def add_pictures(context: Context, numbers: range, *, keep_features: bool) -> None:
    """Collect videos with a picture each, all files different.

    Args:
        context: Its database and store.
        numbers: Of the videos; none may be there yet.
        keep_features: Also keep drawn image features of them, as if another machine had made them.
    """
    drawn = _drawn()
    if keep_features:
        shared = Packs(context, None)
        embeddings = embedding_cache(Path("/nowhere"), load_backbone().sha256, shared)
        measured = EmbeddingCache(
            Path("/nowhere"),
            recipe=f"measurements-v{MEASUREMENT_VERSION}",
            width=len(FEATURES),
            shared=shared,
        )
    for page in _pages(numbers):
        pictures = [_commented(drawn[number % DRAWN], number) for number in page]
        _channels(context, sorted({_channel(number) for number in page}))
        with context.transaction() as session:
            store_videos(
                context,
                session,
                [
                    {
                        "video_id": f"m{number:010}",
                        "channel_id": _channel(number),
                        "published_at": NOW - timedelta(days=30, seconds=number),
                        "views": 1_000 + number,
                        "picture": picture,
                    }
                    for number, picture in zip(page, pictures, strict=True)
                ],
                now=NOW,
            )
        if keep_features:
            names = [hashlib.sha256(picture).hexdigest() for picture in pictures]
            random = np.random.default_rng(page[0])
            embeddings.add(names, random.random((len(names), WIDTH), dtype=np.float32))
            measured.add(names, random.random((len(names), len(FEATURES)), dtype=np.float32))


def add_segments(context: Context, numbers: range) -> None:
    """Collect clips with a segment each, all sounds different."""
    generator = np.random.default_rng(0)
    sounds = [spoken(language, generator, SEGMENT_S) for language in ("en", "zh")]
    for page in _pages(numbers):
        _channels(context, sorted({_channel(number) for number in page}))
        # The same words, begun elsewhere.
        made = [flac(pcm(np.roll(sounds[number % 2], number))) for number in page]
        names = context.store.put_many(made)
        with context.transaction() as session:
            ids = [f"s{number:010}" for number in page]
            session.execute(
                text(
                    "INSERT INTO videos (video_id, channel_id, title, published_at, first_seen_at,"
                    " refreshed_at) SELECT v, c, v, :t, :t, :t FROM unnest(CAST(:v AS text[]),"
                    " CAST(:c AS text[])) AS new (v, c)"
                ),
                {"v": ids, "c": [_channel(number) for number in page], "t": NOW},
            )
            for video_id, name, sound in zip(ids, names, made, strict=True):
                clips.record_clip(
                    session,
                    speech_jobs.stored_clip(video_id, name, seconds=SEGMENT_S),
                    [speech_jobs.stored_segment(0, sound, SEGMENT_S)],
                    now=NOW,
                )


def score(settings: str, task: str, noted: str) -> None:
    """Do a scoring job in this process, and note what it read of the store and wrote of scores."""
    read = 0
    near = ObjectStore.get_apart

    def counted(self: ObjectStore, names: Sequence[str]) -> dict[str, bytes | Exception]:
        nonlocal read
        read += len(names)
        return near(self, names)

    ObjectStore.get_apart = counted  # type: ignore[method-assign]
    with closing(Context(Settings(**json.loads(settings)), lambda: NOW)) as context:
        before = _written(context)
        job = speech_jobs.run(context, "score", {"task": task})
        assert job.state == "succeeded", job.error_message
        after = _written(context)
    found = {"read": read, "rows": after[0], "changed": before != after, "result": job.result}
    Path(noted).write_text(json.dumps(found, default=str), "utf-8")


def _written(context: Context) -> tuple[int, int]:
    """Return how many scores there are, and a number that any row written anew changes."""
    statement = " UNION ALL ".join(
        f"SELECT hashtextextended(xmin::text || ctid::text, 0) FROM {table}"
        for table in ("scores", "current_scores", "language_scores")
    )
    with context.transaction() as session:
        [[rows, of_all]] = session.execute(
            text(f"SELECT count(*), COALESCE(sum(h), 0)::text FROM ({statement}) AS each (h)")
        )
    return int(rows), int(of_all)


def _pages(numbers: range) -> Iterator[range]:
    return (numbers[start : start + PAGE] for start in range(0, len(numbers), PAGE))


def _channel(number: int) -> str:
    return f"UCmany{number // PER_CHANNEL:018}"


def _channels(context: Context, ids: Sequence[str]) -> None:
    with context.transaction() as session:
        ensure_partitions(session.connection(), start=NOW)
        channels.add(session, ids, now=NOW)
        channels.append_snapshots(
            session,
            [
                {"channel_id": one, "slot": NOW, "captured_at": NOW, "subscriber_count": 10_000}
                for one in ids
            ],
        )


def _drawn() -> list[bytes]:
    random = np.random.default_rng(0)
    made = []
    for _ in range(DRAWN):
        pixels = Image.fromarray(random.integers(0, 256, (9, 16, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        pixels.resize((320, 180), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=85)
        made.append(buffer.getvalue())
    return made


def _commented(jpeg: bytes, number: int) -> bytes:
    """Return a picture with a comment of eight bytes behind its first marker."""
    return jpeg[:2] + b"\xff\xfe\x00\x0a" + number.to_bytes(8, "big") + jpeg[2:]
