"""A catalogue from a folder of recorded videos: ``videos.csv`` and ``thumbnails/``.

The recorded past is moved to the present: every video keeps the age it had when it was collected,
so that at the epoch its age, its views and its channel's subscribers are what was recorded.
"""

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from PIL import Image

from ml.images.opening import FORMATS, open_picture
from services.emulator.catalog import Catalog
from services.emulator.listing import Line, lines
from services.emulator.videos import (
    CHANNEL_ID,
    VIDEO_ID,
    Channel,
    RecordedViews,
    ThumbnailVersion,
    Video,
)
from services.errors import UsageError

CSV_NAME = "videos.csv"
COLUMNS = (
    "video_id",
    "channel_id",
    "channel_title",
    "title",
    "published_at",
    "collected_at",
    "view_count",
    "subscriber_count",
    "thumbnail_file",
)

# Counts are unsigned 64-bit in the API; no larger number can have come from it.
_LARGEST_COUNT = 2**64 - 1
_ONE_YEAR = timedelta(days=365)


def folder_catalog(directory: Path, *, epoch: datetime) -> Catalog:
    """Return the videos of ``directory``, dated so that ``epoch`` is when they were collected.

    At the epoch the view count is exactly the recorded one; later it grows at the lifetime rate.
    0 recorded subscribers mean that the channel hides them. Several counts of one channel: the
    one collected last holds. A row without ``thumbnail_file`` is a video without a picture.

    Args:
        directory: Holds ``videos.csv`` (UTF-8, columns ``COLUMNS``, others ignored) and the
            320x180 JPEGs that its ``thumbnail_file`` names relative to the folder.
        epoch: Aware; its fraction of a second is dropped.

    Raises:
        UsageError: If anything is missing or unreadable: file, row and what to do, on one line.
    """
    epoch = epoch.replace(microsecond=0)
    if not directory.is_dir():
        raise UsageError(
            f"{directory} is no folder. Name one that holds {CSV_NAME} and thumbnails/."
        )
    rows = [_row(line) for line in lines(directory / CSV_NAME, COLUMNS)]
    if not rows:
        raise UsageError(f"{directory / CSV_NAME} lists no videos. Add a row for each video.")
    seen: dict[str, _Row] = {}
    for row in rows:
        if row.video_id in seen:
            first = seen[row.video_id].line.number
            row.line.refuse(f"the video {row.video_id} is already in line {first}. Remove one")
        seen[row.video_id] = row
    videos = [_video(row, epoch) for row in rows]
    return Catalog.of(
        _channels(rows, videos),
        videos,
        epoch=epoch,
        picture=lambda key: _read(Path(key)),
        facts={"kind": "folder", "directory": str(directory.resolve())},
    )


@dataclass(frozen=True, slots=True)
class _Row:
    """One row of the file, read and checked."""

    line: Line
    video_id: str
    channel_id: str
    channel_title: str
    title: str
    published_at: datetime
    collected_at: datetime
    view_count: int
    subscriber_count: int
    picture: Path | None


def _row(line: Line) -> _Row:
    for name, form, example in (
        ("video_id", VIDEO_ID, "11 letters, digits, - or _"),
        ("channel_id", CHANNEL_ID, "UC and 22 letters, digits, - or _"),
    ):
        if not form.fullmatch(line[name]):
            line.refuse(f"{name} {line[name]!r} is no id. Write {example}")
    row = _Row(
        line=line,
        video_id=line["video_id"],
        channel_id=line["channel_id"],
        channel_title=line["channel_title"],
        title=line["title"],
        published_at=_time(line, "published_at"),
        collected_at=_time(line, "collected_at"),
        view_count=_count(line, "view_count"),
        subscriber_count=_count(line, "subscriber_count"),
        picture=_picture(line),
    )
    if row.collected_at < row.published_at:
        line.refuse("collected_at is before published_at. Correct one of them")
    return row


def _time(line: Line, name: str) -> datetime:
    try:
        time = datetime.fromisoformat(line[name])
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        line.refuse(f"{name} {line[name]!r} is no UTC time. Write it as 2023-05-09T12:00:00Z")
    return time.astimezone(UTC)


def _count(line: Line, name: str) -> int:
    text = line[name]
    # The length first: int() refuses thousands of digits with an error of its own.
    digits = text.isascii() and text.isdigit() and len(text) <= len(str(_LARGEST_COUNT))
    if not digits or int(text) > _LARGEST_COUNT:
        line.refuse(f"{name} {text!r} is no count. Write a whole number, 0 or more")
    return int(text)


def _picture(line: Line) -> Path | None:
    """Return the image that the line names, if it names one, after a look at it."""
    text = line["thumbnail_file"]
    if not text:
        return None
    file = line.file("thumbnail_file")
    try:
        with open_picture(file.read_bytes()) as image:
            kind = FORMATS[str(image.format)]
            # Decoded at an eighth of its size: cheap, and a file cut short shows all the same.
            image.draft("RGB", (image.width // 8, image.height // 8))
            image.load()
    except (OSError, Image.DecompressionBombError):
        kind = None
    if kind != "jpeg":
        line.refuse(f"{text} is no readable JPEG. Replace it, or leave thumbnail_file empty")
    return file


def _video(row: _Row, epoch: datetime) -> Video:
    age = row.collected_at - row.published_at
    published_at = epoch - age
    pictures: tuple[ThumbnailVersion, ...] = ()
    if row.picture is not None:
        pictures = (ThumbnailVersion(published_at, os.fspath(row.picture)),)
    return Video(
        video_id=row.video_id,
        channel_id=row.channel_id,
        title=row.title,
        published_at=published_at,
        views=RecordedViews(row.view_count, age),
        thumbnails=pictures,
        # A recorded 320x180 has no more detail to show at 1280x720.
        sizes=frozenset({"sddefault"}),
    )


def _channels(rows: list[_Row], videos: list[Video]) -> list[Channel]:
    latest: dict[str, _Row] = {}
    for row in sorted(rows, key=lambda row: (row.collected_at, row.subscriber_count)):
        latest[row.channel_id] = row
    oldest: dict[str, datetime] = {}
    for video in videos:
        known = oldest.get(video.channel_id, video.published_at)
        oldest[video.channel_id] = min(known, video.published_at)
    return [
        Channel(
            channel_id=channel_id,
            title=row.channel_title,
            # Not recorded: some time before its first video.
            published_at=oldest[channel_id] - _ONE_YEAR,
            subscribers=row.subscriber_count,
            hidden_subscribers=row.subscriber_count == 0,
        )
        for channel_id, row in sorted(latest.items())
    ]


def _read(path: Path) -> bytes:
    return path.read_bytes()
