"""A small home of invented data with a stack that stays up, for commands that are only typed."""

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from PIL import Image

from services.cli.common import open_context
from services.context import Context
from services.crawl import intake, runs
from services.demo import World, offline_youtube
from services.errors import PermanentError
from services.learning.promotion.by_hand import promote
from services.learning.promotion.naming import find
from services.transfer.export import export
from services.work import jobs, waiting
from tests.support.cli import Ran, in_process

CHANNELS, CRAWLED = 12, 10


@dataclass(frozen=True)
class DemoHome:
    """A home with ten crawled channels, trained, scored and compared, with a champion."""

    context: Context
    folder: Path
    environment: dict[str, str]
    names: dict[str, str]
    """What examples call things, and what they are here."""

    def run(self, *words: str, home: Path | None = None, stdin: str = "") -> Ran:
        """Run a command in a folder that holds what examples name."""
        before = Path.cwd()
        environment = self.environment | ({"TUBEGRADER_HOME": str(home)} if home else {})
        os.chdir(self.folder)
        try:
            typed = (self.names.get(w, w) for w in words)
            return in_process(*typed, env=environment, stdin=stdin.encode())
        finally:
            os.chdir(before)


@contextmanager
def demo_home(folder: Path) -> Iterator[DemoHome]:
    """Have one while the block runs; ``folder`` must be empty."""
    home = folder / "home"
    home.mkdir()
    world = World(home=home, catalog=None, channels=CHANNELS, videos=240, effect=None, seed=0)
    with offline_youtube(world) as youtube:
        environment = youtube.environment | {
            "TUBEGRADER_HOME": str(home),
            "TUBEGRADER_NOTIFY_COMMAND": "cat",
        }
        with patch.dict(os.environ, environment), open_context(workers=True) as context:
            crawled = youtube.channel_ids[:CRAWLED]
            intake.add_all(context, crawled)
            _done(context, runs.start(context, crawled))
            job = _done(context, jobs.submit(context, "train", {"backbone": False}))
            _done(context, jobs.submit(context, "score", {}))
            _done(context, jobs.submit(context, "compare", {}))
            for name in ("subscribers", "subscribers+thumbnail"):
                promote(context, find(context, name, task="thumbnails"), why="a start")
            yield DemoHome(context, folder, environment, _names(context, folder, crawled, job))


def _done(context: Context, job_id: uuid.UUID) -> str:
    for standing in waiting.follow(context, job_id):
        ended = standing.job
    if ended.state != "succeeded":
        raise PermanentError(f"{ended.kind}: {ended.error_message}", reason="demoHome")
    return ended.job_id


def _names(context: Context, folder: Path, channel_ids: list[str], job_id: str) -> dict[str, str]:
    from services.crawl import watchlist
    from services.learning.thumbnails import inspection
    from services.querying import run_query

    handles = {c["channel_id"]: c["handle"] for c in watchlist.overview(context)}
    of_channel = (
        "SELECT video_id FROM videos WHERE channel_id = "
        f"'{channel_ids[0]}' ORDER BY published_at DESC LIMIT 1"
    )
    [[video_id]] = run_query(context, of_channel)[1]
    export(context, folder / "recorded", file_format="csv", what=["channels", "videos"])
    (folder / "subscriptions.csv").write_text(f"channel_id\n{channel_ids[2]}\n")
    for name, colour in (("one.png", "red"), ("two.png", "blue")):
        Image.new("RGB", (320, 180), colour).save(folder / name)
    return {
        "@somechannel": handles[channel_ids[0]],
        "@otherchannel": handles[channel_ids[1]],
        "dQw4w9WgXcQ": f"https://youtu.be/{video_id}",
        "1QrS0mVid3o": video_id,
        "3f2a91c0": job_id[:8],
        "5e1cf00d": inspection.overview(context)[0]["dataset_id"][:12],
    }


def shape(printed: str) -> tuple[str, set[str]]:
    """Tell what JSON is: a list or an object, and which keys (of its items) it has."""
    found = json.loads(printed)
    items = found if isinstance(found, list) else [found]
    return type(found).__name__, {key for item in items for key in item}
