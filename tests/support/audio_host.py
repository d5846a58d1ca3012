"""A host that serves audio files to yt-dlp, and a database with videos whose audio is wanted."""

import dataclasses
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from sqlalchemy import text

from db.queries.speech.selections import KIND
from db.queries.work import work_items
from services.context import Context
from services.media import audio
from services.media.audio import selection
from tests.support.crawl import NOW, TurnableClock
from tests.support.sound import chords, encode, silence, voiced, write_wav

CHANNELS = ["UC" + letter * 22 for letter in "ab"]
VIDEO, OTHER = "video_a____", "video_b____"


@dataclass
class AudioHost:
    """What it serves under each video's id, and how often it was asked."""

    url: str
    files: dict[str, tuple[bytes, str]] = field(default_factory=dict, repr=False)
    statuses: dict[str, int] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def serve(self, video_id: str, content: bytes, kind: str = "audio/webm") -> None:
        self.files[video_id] = (content, kind)


@contextmanager
def running_host() -> Iterator[AudioHost]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            video_id = self.path.rsplit("/", 1)[-1].partition(".")[0]
            host.requests.append(video_id)
            status = host.statuses.get(video_id)
            content, kind = host.files.get(video_id, (b"", "text/plain"))
            if status is None and video_id not in host.files:
                status = 404
            self.send_response(status or 200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            with suppress(BrokenPipeError, ConnectionResetError):  # yt-dlp first looks, then loads
                self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    host = AudioHost(f"http://127.0.0.1:{server.server_port}/media/{{video_id}}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield host
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Speech:
    """Videos of two channels, a host with their audio, and a clock one can turn."""

    context: Context
    clock: TurnableClock
    host: AudioHost

    def sql(self, statement: str, **values: object) -> list[tuple]:
        with self.context.engine.begin() as connection:
            found = connection.execute(text(statement), values)
            return [tuple(row) for row in found] if found.returns_rows else []

    def value(self, statement: str, **values: object):
        [(only,)] = self.sql(statement, **values)
        return only

    def with_settings(self, **changes: object) -> None:
        self.context.settings = self.context.settings.model_copy(update=changes)

    def turn(self, **by: float) -> None:
        self.clock.advance(timedelta(**by))

    def add_video(self, video_id: str, channel: str = CHANNELS[0], **values: object) -> None:
        columns = {"duration_s": 60, "title": video_id, **values}
        bound = ", ".join(f":{name}" for name in columns)
        self.sql(
            "INSERT INTO videos (video_id, channel_id, published_at, first_seen_at, refreshed_at, "
            f"{', '.join(columns)}) VALUES (:v, :c, :t, :t, :t, {bound})",
            v=video_id, c=channel, t=NOW, **columns,
        )  # fmt: skip

    def select(self, **policy: int) -> selection.Selected:
        wanted = selection.AudioPolicy(**{"seconds_wanted": 10, **policy})
        return selection.add(self.context, CHANNELS, policy=wanted)

    def claim(self, limit: int = 50) -> uuid.UUID | None:
        with self.context.transaction() as session:
            return work_items.claim(
                session, KIND, limit=limit, now=self.clock(), lease=self.context.lease
            )

    def collect(self) -> int:
        """Do whatever is due, in one batch; how many clips are new."""
        token = self.claim()
        return 0 if token is None else audio.fetch_batch(self.context, token)

    def work(self) -> dict[str, tuple[str, str | None]]:
        """State and reason of each video's work."""
        return {
            video: (state, reason)
            for video, state, reason in self.sql(
                "SELECT entity_id, state, error_reason FROM work_items WHERE kind = :k", k=KIND
            )
        }

    def again(self) -> None:
        """Have all audio fetched once more."""
        self.sql(
            "UPDATE work_items SET state = 'due', slot = :t, ready_at = :t WHERE kind = :k",
            t=self.clock(), k=KIND,
        )  # fmt: skip


def turns(count: int, *, seed: int = 0) -> np.ndarray:
    """Return turns of four seconds of speech and one of silence, at 48 kHz."""
    parts = [(voiced(4, seed=seed + i, rate=48_000), silence(1, rate=48_000)) for i in range(count)]
    return np.concatenate([samples for turn in parts for samples in turn])


@pytest.fixture(scope="session")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Audio files by what is in them."""
    folder = tmp_path_factory.mktemp("audio")
    talk = turns(3)
    made = {
        "talk": encode(folder / "talk.webm", talk, "libopus", rate=48_000),
        "other": encode(folder / "other.webm", turns(2, seed=5), "libopus", rate=48_000),
        "music": encode(folder / "music.webm", chords(8, rate=48_000), "libopus", rate=48_000),
        "silence": encode(folder / "still.webm", silence(5, rate=48_000), "libopus", rate=48_000),
        "eight": write_wav(folder / "eight.wav", voiced(6), channels=8),
        "fast": write_wav(folder / "fast.wav", voiced(6, rate=192_000), rate=192_000),
        "film": encode(folder / "film.mp4", None, None),
        "mp3": encode(folder / "talk.mp3", talk, "libmp3lame", rate=48_000),
        "long": encode(folder / "long.webm", turns(12), "libopus", rate=48_000),
    }  # fmt: skip
    return {name: path.read_bytes() for name, path in made.items()}


@pytest.fixture
def speech(context: Context, spoken: dict[str, bytes]) -> Iterator[Speech]:
    """Two channels with a video each that speaks, and audio that is allowed by the setting."""
    clock = TurnableClock()
    with running_host() as host:
        own = dataclasses.replace(context, clock=clock)
        made = Speech(own, clock, host)
        made.with_settings(media_url=host.url, audio_allowed=True)
        for channel in CHANNELS:
            made.sql(
                "INSERT INTO channels (channel_id, title, added_at) VALUES (:c, :c, :t)",
                c=channel, t=NOW,
            )  # fmt: skip
        for video, channel in zip((VIDEO, OTHER), CHANNELS, strict=True):
            made.add_video(video, channel)
        host.serve(VIDEO, spoken["talk"])
        host.serve(OTHER, spoken["other"])
        yield made
        own.close()
