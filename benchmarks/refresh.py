"""What a refresh of 1,000 videos costs, of however many channels: YouTube's limit is 20 units."""

import json
import urllib.request
import uuid
from datetime import timedelta

from benchmarks import place
from benchmarks.measure import Measurement
from db.queries.work import crawled, work_items
from services.clock import system_clock
from services.context import Context
from services.crawl import discovery, intake, statistics
from services.demo import KEY
from services.work.kinds import WORK_KINDS

VIDEOS = 1_000


def measure(*, full: bool) -> list[Measurement]:
    """Count the units that YouTube books, for few channels and for many."""
    del full
    return [_refresh(n) for n in (5, 200)]


def _refresh(n_channels: int) -> Measurement:
    with (
        place.folder() as folder,
        place.youtube(folder, channels=n_channels, videos=VIDEOS) as youtube,
        place.empty_context(
            folder,
            youtube_endpoint=youtube.url,
            thumbnail_url=youtube.url,
            youtube_api_key=KEY,
        ) as context,
    ):
        intake.add_all(context, youtube.channel_ids)
        _do_all(context, "channel.discover")
        _do_all(context, "video.snapshot")
        before = _units(youtube.url)
        with context.transaction() as session:
            now = system_clock() + timedelta(minutes=1)
            n = crawled.make_due(session, kinds=["video.snapshot"], channel_ids=None, now=now)
        assert n == VIDEOS
        added = _do_all(context, "video.snapshot", ahead=timedelta(minutes=2))
        assert added == VIDEOS
        units = _units(youtube.url) - before
    return Measurement(
        f"refresh of {VIDEOS:,} videos of {n_channels} channels",
        f"{units} units",
        "20, the least possible",
        units,
        at_most=21,
    )


def _do_all(context: Context, kind: str, *, ahead: timedelta = timedelta()) -> int:
    """Do all due work of a kind, batch by batch as the dispatcher claims it."""
    tasks = {
        "channel.discover": discovery.discover_channels,
        "video.snapshot": statistics.snapshot_videos,
    }
    done = 0
    while (token := _claim(context, kind, ahead)) is not None:
        done += tasks[kind](context, token)
    return done


def _claim(context: Context, kind: str, ahead: timedelta) -> uuid.UUID | None:
    with context.transaction() as session:
        return work_items.claim(
            session,
            kind,
            limit=WORK_KINDS[kind].batch_size,
            now=system_clock() + ahead,
            lease=timedelta(hours=1),
        )


def _units(url: str) -> int:
    with urllib.request.urlopen(f"{url}/emulator/quota") as answer:
        return sum(row["charged"] for row in json.load(answer)["quota"])
