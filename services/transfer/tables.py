"""What an export holds: the tables, their columns and how a value is written in CSV."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Table, Text

from db.models import Channel, ChannelSnapshot, Thumbnail, Video, VideoSnapshot, VideoThumbnail
from services.formatting import from_neutral_cell, neutral_cell

FORMAT_NAME = "tubegrader-export"
FORMAT_VERSION = 1
NEUTRAL_VERSION = 2
"""Of exports whose cells no spreadsheet takes for formulas."""
FORMATS = ("parquet", "csv")
MANIFEST = "manifest.json"
PICTURES = "pictures"

_CHANNEL_FACTS = (
    "channel_id",
    "handle",
    "title",
    "country",
    "default_language",
    "published_at",
    "uploads_playlist_id",
    "uploads_truncated",
    "state",
    "added_at",
    "refreshed_at",
)
"""Facts of YouTube's; how we watch a channel (tags, pauses) is not passed on."""


@dataclass(frozen=True)
class Part:
    """One file of an export; every row is one of the table's."""

    name: str
    table: Table
    columns: tuple[Column[Any], ...]
    key: tuple[str, ...]
    since: str | None = None
    """The column that ``--since`` looks at; None: the part is always whole."""

    @property
    def column_names(self) -> list[str]:
        """The names of its columns, in order."""
        return [column.name for column in self.columns]


def _columns(table: Table, *, without: Sequence[str] = ()) -> tuple[Column[Any], ...]:
    # What the database works out itself cannot be written back.
    return tuple(c for c in table.columns if c.name not in without and c.computed is None)


def _tables() -> tuple[Part, ...]:
    tables = [
        m.__table__
        for m in (Channel, Video, ChannelSnapshot, VideoSnapshot, Thumbnail, VideoThumbnail)
    ]
    assert all(isinstance(t, Table) for t in tables)
    channels, videos, channel_counts, counts, pictures, shown = (
        t for t in tables if isinstance(t, Table)
    )
    return (
        Part("channels", channels, tuple(channels.c[n] for n in _CHANNEL_FACTS), ("channel_id",)),
        Part("videos", videos, _columns(videos, without=["source"]), ("video_id",)),
        Part(
            "channel_snapshots",
            channel_counts,
            _columns(channel_counts),
            ("channel_id", "slot"),
            "captured_at",
        ),
        Part("snapshots", counts, _columns(counts), ("video_id", "slot"), "captured_at"),
        Part("pictures", pictures, _columns(pictures), ("thumbnail_sha256",)),
        Part("thumbnails", shown, _columns(shown), ("video_id", "version")),
    )


PARTS = _tables()
"""In the order in which rows refer to each other: a channel comes before its videos."""
BY_NAME = {part.name: part for part in PARTS}
WITH = {"thumbnails": ("pictures",)}
"""Parts that come along with another one."""


def to_cell(value: Any, *, neutral: bool = False) -> str:
    """Write a value for CSV; empty is NULL, and an empty text is written as two quotes.

    Args:
        value: Of a column.
        neutral: A text that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, bool):
        return "true" if value else "false"
    # A backslash in front tells a text that is empty, or begins with one, from none.
    if isinstance(value, str) and (value == "" or value.startswith("\\")):
        return "\\" + value
    if neutral and isinstance(value, str):
        return neutral_cell(value)
    return str(value)


def from_cell(cell: str, column: Column[Any], *, neutral: bool = False) -> Any:
    """Read what ``to_cell`` wrote.

    Raises:
        ValueError: It is no value of the column's type.
    """
    if cell == "":
        return None
    if isinstance(column.type, DateTime):
        return datetime.fromisoformat(cell)
    if isinstance(column.type, Boolean):
        return {"true": True, "false": False}[cell]
    if isinstance(column.type, BigInteger):
        if len(cell) > 20:  # noqa: PLR2004 - more digits than 64 bits have, or int() may take long
            raise ValueError("too many digits")
        return int(cell)
    assert isinstance(column.type, Text)
    return (from_neutral_cell(cell) if neutral else cell).removeprefix("\\")


def picture_path(sha256: str, kind: str) -> str:
    """Return where a picture lies in an export, relative to its folder."""
    return f"{PICTURES}/{sha256[:2]}/{sha256}.{kind}"
