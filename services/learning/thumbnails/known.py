"""All videos, as far as it matters for who is like whom: in columns, 70 bytes a video."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from db.queries.catalog.swaps import KnownVideo
from ml.arrays import FloatArray, IntArray

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_ID = "S11"
"""A video's id is eleven letters (``db.base.VIDEO_ID_PATTERN``)."""
_HIDDEN = -1


@dataclass(frozen=True)
class KnownVideos:
    """N videos in columns of shape (N,), in the order in which they came.

    Attributes:
        ids: Their ids as bytes.
        channels: Places in ``channel_ids``.
        channel_ids: Each channel once.
        began_us: Microseconds since 1970.
        formats: Places in ``format_names``.
        format_names: Each format once; None where it is not known.
        subscribers: Of the channel; ``_HIDDEN`` where hidden.
        size: log10 of that and one, NaN where hidden.
        views_per_day: NaN where never counted.
    """

    ids: npt.NDArray[np.bytes_]
    channels: IntArray
    channel_ids: Sequence[str]
    began_us: IntArray
    formats: IntArray
    format_names: Sequence[str | None]
    subscribers: IntArray
    size: FloatArray
    views_per_day: FloatArray
    _numbers: Mapping[str, int]
    _by_id: IntArray
    _by_channel: IntArray

    @classmethod
    def of(cls, pages: Iterable[Sequence[KnownVideo]]) -> "KnownVideos":
        """Take videos into columns, page by page."""
        channels: dict[str, int] = {}
        formats: dict[str | None, int] = {}
        parts: list[tuple[npt.NDArray[np.generic], ...]] = [_columns([], channels, formats)]
        parts += (_columns(page, channels, formats) for page in pages)
        columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
        ids, of_channel, began_us, of_format, subscribers, size, views_per_day = columns
        return cls(
            ids=ids,
            channels=of_channel,
            channel_ids=list(channels),
            began_us=began_us,
            formats=of_format,
            format_names=list(formats),
            subscribers=subscribers,
            size=size,
            views_per_day=views_per_day,
            _numbers=channels,
            _by_id=np.argsort(ids, kind="stable"),
            _by_channel=np.argsort(of_channel, kind="stable"),
        )

    def __len__(self) -> int:
        return len(self.ids)

    def video(self, row: int) -> KnownVideo:
        """Return the video of a row."""
        subscribers, views = int(self.subscribers[row]), float(self.views_per_day[row])
        return KnownVideo(
            self.ids[row].decode(),
            self.channel_ids[self.channels[row]],
            _EPOCH + int(self.began_us[row]) * _MICROSECOND,
            self.format_names[self.formats[row]],
            None if subscribers == _HIDDEN else subscribers,
            None if math.isnan(views) else views,
        )

    def find(self, video_id: str) -> KnownVideo | None:
        """Return a video by its id, None if it is not among them."""
        name = np.array(video_id.encode(), dtype=_ID)
        place = int(np.searchsorted(self.ids, name, sorter=self._by_id))
        if place == len(self) or self.ids[self._by_id[place]] != name:
            return None
        return self.video(int(self._by_id[place]))

    def of_channel(self, channel_id: str) -> IntArray:
        """Return the rows of a channel's videos, ascending."""
        number = self._numbers[channel_id]
        ends = np.searchsorted(self.channels, [number, number + 1], sorter=self._by_channel)
        return self._by_channel[ends[0] : ends[1]]


def log_size(subscribers: int | None) -> float:
    """Return log10 of a channel's subscribers and one, NaN where they are hidden."""
    return math.nan if subscribers is None else math.log10(subscribers + 1)


def _columns(
    page: Sequence[KnownVideo], channels: dict[str, int], formats: dict[str | None, int]
) -> tuple[npt.NDArray[np.generic], ...]:
    return (
        np.array([video.video_id.encode() for video in page], dtype=_ID),
        np.array([channels.setdefault(v.channel_id, len(channels)) for v in page], np.int64),
        np.array([(video.began_at - _EPOCH) // _MICROSECOND for video in page], np.int64),
        np.array([formats.setdefault(video.format, len(formats)) for video in page], np.int64),
        np.array(
            [_HIDDEN if v.subscribers is None else v.subscribers for v in page], dtype=np.int64
        ),
        np.array([log_size(video.subscribers) for video in page], np.float64),
        np.array(
            [math.nan if v.views_per_day is None else v.views_per_day for v in page], np.float64
        ),
    )
