"""The demo's world: an offline YouTube in a process of its own, the same at every run."""

import json
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.clock import system_clock
from services.embedded.home import Home
from services.errors import TransientError, UsageError

KEY = "offline"
START_S = 60.0
SPOKEN_CHANNELS, FEWEST_SPOKEN, SPOKEN_VIDEOS = 7, 4, 1
"""Channels of each language that are listened to (at most, at least), and videos of each: what is
said by people never heard before is learned from many voices, not from much of each."""


@dataclass(frozen=True)
class World:
    """Which offline YouTube to serve, and the home that its demo lives in."""

    home: Path
    catalog: Path | None
    channels: int
    videos: int
    effect: float | None
    seed: int


@dataclass(frozen=True)
class OfflineYouTube:
    """A running offline YouTube."""

    url: str
    channel_ids: list[str]
    spoken_ids: list[str]
    """A few channels that speak English, and as many that speak Chinese, by their labels."""

    @property
    def environment(self) -> dict[str, str]:
        """What points TubeGrader at it."""
        return {
            "TUBEGRADER_YOUTUBE_ENDPOINT": self.url,
            "TUBEGRADER_THUMBNAIL_URL": self.url,
            "TUBEGRADER_FEED_URL": self.url,
            "TUBEGRADER_MEDIA_URL": self.url + "/watch?v={video_id}",
            "TUBEGRADER_AUDIO_ALLOWED": "true",
            "TUBEGRADER_YOUTUBE_API_KEY": KEY,
        }


@contextmanager
def offline_youtube(world: World) -> Iterator[OfflineYouTube]:
    """Serve the world while the block runs.

    The moment at which its numbers hold is kept in the home, so that a second demo finds the
    very same videos and collects only new snapshots.

    Raises:
        UsageError: The catalogue is bad, or the home belongs to another demo.
        TransientError: The server did not start.
    """
    argv = [*_options(world), "--epoch", _epoch(world)]
    with tempfile.TemporaryDirectory(prefix="tubegrader-demo-") as folder:
        ready = Path(folder) / "ready.json"
        log = Path(folder) / "log"
        with log.open("wb") as output:
            server = subprocess.Popen(
                [sys.executable, "-m", "services.emulator", *argv, "--ready-file", str(ready)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # A Ctrl-C is for the demo, which then stops the server in its turn.
                start_new_session=True,
            )
        try:
            url = _wait_until_ready(server, ready, log)
            truth = _truth(url)
            ids = [channel["channel_id"] for channel in truth["channels"]]
            yield OfflineYouTube(url, ids, _spoken(truth["videos"]))
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait()


def _options(world: World) -> list[str]:
    if world.catalog is not None:
        return ["--catalog", str(world.catalog), "--port", "0"]
    options = ["--synthetic", "--seed", str(world.seed), "--port", "0"]
    options += ["--channels", str(world.channels), "--videos", str(world.videos)]
    if world.effect is not None:
        options += ["--effect", str(world.effect)]
    return options


def _epoch(world: World) -> str:
    """Return the moment of the home's world; a new home is given one and remembers it."""
    options = _options(world)
    file = world.home / "demo.json"
    if file.exists():
        remembered = json.loads(file.read_text("utf-8"))
        if remembered["options"] != options:
            raise UsageError(
                f"{world.home} holds another demo ({' '.join(remembered['options'])})",
                hint="take another --home, or remove that folder",
            )
        return str(remembered["epoch"])
    if world.catalog is not None:
        # Before anything is made: a bad catalogue leaves no trace.
        from services.emulator.folder import folder_catalog  # noqa: PLC0415

        folder_catalog(world.catalog, epoch=system_clock())
    Home(world.home).create()
    epoch = system_clock().isoformat()
    file.write_text(json.dumps({"options": options, "epoch": epoch}), "utf-8")
    return epoch


def _wait_until_ready(server: "subprocess.Popen[bytes]", ready: Path, log: Path) -> str:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if ready.exists():
            return str(json.loads(ready.read_text("utf-8"))["url"])
        if server.poll() is not None:
            break
        time.sleep(0.05)
    output = log.read_text("utf-8", "replace").strip().splitlines()
    raise TransientError(
        f"the offline YouTube did not start: {output[-1] if output else 'no word'}",
        reason="emulatorFailed",
    )


def _truth(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/emulator/truth") as answer:  # noqa: S310  (our own server)
        truth: dict[str, Any] = json.load(answer)
    return truth


def _spoken(videos: list[dict[str, Any]]) -> list[str]:
    """Choose as many channels of English as of Chinese whose newest videos say truly which it is.

    Labels are missing or wrong now and then; a demo of few videos cannot bear that.
    """
    newest: dict[str, list[str | None]] = defaultdict(list)
    for video in sorted(videos, key=lambda v: (v["published_at"], v["video_id"]), reverse=True):
        if len(newest[video["channel_id"]]) < SPOKEN_VIDEOS:
            label = (video["language"] or "")[:2]
            newest[video["channel_id"]].append(label if label == video["spoken"] else None)
    fitting = [
        [c for c, labels in sorted(newest.items()) if labels == [language] * SPOKEN_VIDEOS]
        for language in ("en", "zh")
    ]
    count = min(SPOKEN_CHANNELS, *map(len, fitting))
    return [] if count < FEWEST_SPOKEN else [c for channels in fitting for c in channels[:count]]
