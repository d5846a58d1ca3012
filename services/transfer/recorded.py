"""Folders that others recorded: CSVs of videos with pictures, and of counts over time."""

import codecs
import csv
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from services.errors import UsageError
from services.formatting import from_neutral_cell
from services.storage import ObjectStore
from services.transfer import checks
from services.transfer.spool import RejectedRowError, RejectedRows, Spool
from services.youtube.view_counts import view_definition

VIDEO_COLUMNS = (
    "video_id",
    "channel_id",
    "channel_title",
    "title",
    "published_at",
    "collected_at",
    "view_count",
    "subscriber_count",
)
NEEDED = {
    # Daily counts of channels come first: they tell more than those beside the videos.
    "channel_snapshots.csv": (
        "date_utc",
        "channel_id",
        "channel_title",
        "subscribers",
        "views",
        "videos",
    ),
    "videos.csv": VIDEO_COLUMNS,
    "snapshots.csv": VIDEO_COLUMNS,
}
VARIANTS = {320: "mqdefault", 480: "hqdefault", 640: "sddefault", 1280: "maxresdefault"}
_DELIMITERS = ",;\t"
_LONGEST_HEADER = 100_000

Row = dict[str, str]


class RecordedFolder:
    """Reads the files of a folder into a spool, row by row."""

    def __init__(
        self,
        directory: Path,
        store: ObjectStore,
        spool: Spool,
        rejected: RejectedRows,
        now: datetime,
    ) -> None:
        self._directory = directory
        self._store = store
        self._spool = spool
        self._rejected = rejected
        self._now = now
        self._channels: set[str] = set()

    def read(self, progress: Callable[[str, int], None]) -> dict[str, int]:
        """Spool what can be taken; return the rows of each file.

        Raises:
            UsageError: A file cannot be read, is no CSV or lacks a column.
            TransientError: The object store failed.
        """
        take = {
            "channel_snapshots.csv": self._take_channel,
            "videos.csv": self._take_listed,
            "snapshots.csv": self._take_counted,
        }
        rows: dict[str, int] = {}
        for name, needed in NEEDED.items():
            path = self._directory / name
            if not path.is_file():
                continue
            rows[name] = 0
            for line, row in read_csv(path, needed, self._rejected):
                rows[name] += 1
                try:
                    take[name](row, line)
                except RejectedRowError as error:
                    self._rejected.add(name, line, error.reason, str(error))
                if rows[name] % 1_000 == 0:
                    progress(name, rows[name])
            progress(name, rows[name])
        return rows

    def _take_channel(self, row: Row, line: int) -> None:
        channel_id = checks.channel_id(row["channel_id"])
        at = checks.moment(row["date_utc"], now=self._now)
        counts = {
            "subscriber_count": _subscribers(row["subscribers"]),
            "view_count": checks.count(row["views"]),
            "video_count": checks.count(row["videos"]),
        }
        file = "channel_snapshots.csv"
        self._add_channel(channel_id, checks.words(row["channel_title"]), file, line)
        values = {"channel_id": channel_id, "slot": at, "captured_at": at, **counts}
        self._spool.add("channel_snapshots", values, file=file, line=line)

    def _take_listed(self, row: Row, line: int) -> None:
        """Take a row of ``videos.csv``: one a video, with its picture if it has one."""
        if self._spool.known(row["video_id"]) is not None:
            raise RejectedRowError("duplicateId", f"{row['video_id']} is in an earlier line")
        picture = None
        at = checks.moment(row["collected_at"], now=self._now)
        if row.get("thumbnail_file"):
            file = checks.picture_file(self._directory, row["thumbnail_file"])
            picture = checks.picture(file)
        self._take_video(row, line, "videos.csv")
        if picture is None:
            return
        content, facts = picture
        sha256 = self._store.put(content)
        self._spool.add(
            "thumbnails",
            {
                "thumbnail_sha256": sha256,
                "format": facts.format,
                "width": facts.width,
                "height": facts.height,
                "byte_size": len(content),
                "stored_at": self._now,
                "perceptual_hash": facts.perceptual_hash,
            },
            file="videos.csv",
            line=line,
        )
        self._spool.add(
            "video_thumbnails",
            {
                "video_id": row["video_id"],
                "version": 1,
                "thumbnail_sha256": sha256,
                "variant": VARIANTS.get(facts.width, "imported"),
                "is_current": True,
                "first_seen_at": at,
                "last_seen_at": at,
            },
            file="videos.csv",
            line=line,
        )

    def _take_counted(self, row: Row, line: int) -> None:
        self._take_video(row, line, "snapshots.csv")

    def _take_video(self, row: Row, line: int, file: str) -> None:
        video_id = checks.video_id(row["video_id"])
        channel_id = checks.channel_id(row["channel_id"])
        published_at = checks.moment(row["published_at"], now=self._now)
        at = checks.moment(row["collected_at"], now=self._now)
        counted = row.get("subscriber_date")
        counted_at = checks.moment(counted, now=self._now) if counted else at
        if at < published_at:
            raise RejectedRowError("badTime", "collected before it was published")
        views = checks.count(row["view_count"])
        subscribers = _subscribers(row["subscriber_count"])
        title, channel_title = checks.words(row["title"]), checks.words(row["channel_title"])
        duration_s = checks.duration(row.get("duration", ""))
        if self._spool.first(video_id, channel_id) != channel_id:
            raise RejectedRowError(
                "otherChannel", f"{video_id} is another channel's in an earlier line"
            )
        self._add_channel(channel_id, channel_title, file, line)
        self._spool.add(
            "videos",
            {
                "video_id": video_id,
                "channel_id": channel_id,
                "title": title,
                "published_at": published_at,
                "duration_s": duration_s,
                "first_seen_at": at,
            },
            file=file,
            line=line,
        )
        self._spool.add(
            "video_snapshots",
            {
                "video_id": video_id,
                "slot": at,
                "captured_at": at,
                "view_count": views,
                "view_definition": view_definition(at, None),
            },
            file=file,
            line=line,
        )
        if row["subscriber_count"] != "":
            self._spool.add(
                "channel_snapshots",
                {
                    "channel_id": channel_id,
                    "slot": counted_at,
                    "captured_at": counted_at,
                    "subscriber_count": subscribers,
                    "view_count": None,
                    "video_count": None,
                },
                file=file,
                line=line,
            )

    def _add_channel(self, channel_id: str, title: str | None, file: str, line: int) -> None:
        if channel_id in self._channels:
            return
        self._channels.add(channel_id)
        values = {"channel_id": channel_id, "title": title, "added_at": self._now}
        self._spool.add("channels", values, file=file, line=line)


def read_csv(
    path: Path, needed: tuple[str, ...], rejected: RejectedRows, *, strip: bool = True
) -> Iterator[tuple[int, Row]]:
    """Yield (line, row) of a CSV file whose first line names its columns.

    Commas, semicolons or tabs separate its cells, whichever its first line does by.

    Raises:
        UsageError: It cannot be read, is neither UTF-8 nor marked UTF-16, is no CSV, or lacks a
            column or has it twice.
    """
    try:
        with path.open(encoding=_encoding(path), newline="") as file:
            first = file.readline(_LONGEST_HEADER)
            file.seek(0)
            reader = csv.DictReader(file, delimiter=_delimiter(first, needed), strict=True)
            _check_columns(path, reader.fieldnames or (), needed)
            for row in reader:
                if None in row or None in row.values():
                    rejected.add(path.name, reader.line_num, "badRow", "too many or too few cells")
                    continue
                cells = {n: from_neutral_cell(c.strip()) for n, c in row.items()} if strip else row
                yield reader.line_num, cells
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path} is neither UTF-8 nor marked UTF-16", hint="save it as UTF-8"
        ) from error
    except csv.Error as error:
        raise UsageError(f"{path} is not CSV: {error}") from error


def _encoding(path: Path) -> str:
    """Return how a file is encoded by its mark: spreadsheets save "Unicode text" as UTF-16."""
    with path.open("rb") as file:
        return (
            "utf-16" if file.read(2) in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE} else "utf-8-sig"
        )


def _delimiter(header: str, needed: tuple[str, ...]) -> str:
    """Return what separates the cells of a header: what makes the most of its columns."""

    def found(delimiter: str) -> int:
        [cells] = csv.reader([header], delimiter=delimiter) if header.strip() else [[]]
        return len(set(needed).intersection(cells))

    return max(_DELIMITERS, key=found)


def _check_columns(path: Path, columns: Sequence[str], needed: tuple[str, ...]) -> None:
    missing = [name for name in needed if name not in columns]
    if missing:
        raise UsageError(f"{path} lacks the column {missing[0]}", hint="its first line names them")
    doubled = [name for name, n in Counter(columns).items() if n > 1 and name]
    if doubled:
        raise UsageError(
            f"{path} has the column {doubled[0]} twice",
            hint="remove or rename the one that is not meant",
        )


def _subscribers(text: str) -> int | None:
    """Return a subscriber count; recorded zeros are hidden counts, as YouTube shows them."""
    return checks.count(text) or None
