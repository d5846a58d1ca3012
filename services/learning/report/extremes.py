"""The videos that did much worse or much better than predicted, with their thumbnails."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from db.queries.catalog import channels as channel_rows
from ml.arrays import FloatArray
from ml.images.decoding import UNDECODABLE
from ml.images.opening import eight_bits, open_picture, orientation_of, upright
from services.context import Context
from services.errors import PermanentError

SHOWN = 12
"""Videos a side."""
WIDTH, HEIGHT = 320, 180
MAX_PIXELS = 20_000_000
QUALITY = 78


@dataclass(frozen=True)
class Tile:
    """One video.

    Attributes:
        video_id: Its id.
        title: As the channel wrote it: anything at all; None if never read.
        channel: Likewise.
        picture: A ``data:`` address of a JPEG of at most 320 × 180; None if it is not stored.
        views_per_day: Measured.
        predicted: Views per day.
        log10_off: log10 of measured against predicted: -1 means a tenth of what was predicted.
    """

    video_id: str
    title: str | None
    channel: str | None
    picture: str | None
    views_per_day: float
    predicted: float
    log10_off: float


@dataclass(frozen=True)
class Extremes:
    """The furthest off first; at most one video a channel, or one channel would fill the page."""

    overestimated: Sequence[Tile]
    underestimated: Sequence[Tile]


def furthest_off(
    context: Context,
    videos: pa.Table,
    measured: FloatArray,
    predicted: FloatArray,
) -> Extremes:
    """Choose the videos whose measured views are furthest from the predicted ones.

    Args:
        context: Where the channels' titles and the pictures are.
        videos: N rows, with ``video_id``, ``channel_id``, ``title`` and ``thumbnail_sha256``.
        measured: log10(views per day + 1), shape (N,).
        predicted: The same, predicted.
    """
    off = measured - predicted
    channels = videos["channel_id"]
    chosen = {
        "over": _first_per_channel(off, channels),
        "under": _first_per_channel(-off, channels),
    }
    rows = sorted({row for side in chosen.values() for row in side})
    shown = videos.take(pa.array(rows, pa.int64())).to_pylist()
    with context.transaction() as session:
        titles = channel_rows.titles(session, {video["channel_id"] for video in shown})
    tiles = {
        row: Tile(
            video_id=video["video_id"],
            title=video["title"],
            channel=titles.get(video["channel_id"]),
            picture=_picture(context, video["thumbnail_sha256"]),
            views_per_day=float(10 ** measured[row] - 1),
            predicted=max(0.0, float(10 ** predicted[row] - 1)),
            log10_off=float(off[row]),
        )
        for row, video in zip(rows, shown, strict=True)
    }
    return Extremes(
        overestimated=[tiles[row] for row in chosen["over"]],
        underestimated=[tiles[row] for row in chosen["under"]],
    )


def _first_per_channel(off: FloatArray, channels: pa.ChunkedArray) -> list[int]:
    """Return the rows with the most negative ``off``, the worst of each channel."""
    chosen: dict[str, int] = {}
    for row in map(int, np.argsort(off, kind="stable")):
        if off[row] >= 0 or len(chosen) == SHOWN:
            break
        chosen.setdefault(channels[row].as_py(), row)
    return list(chosen.values())


def _picture(context: Context, sha256: str) -> str | None:
    """Return a stored picture, decoded and encoded anew: small, and nothing but a picture.

    One that is missing or cannot be decoded is no reason to write no report.
    """
    try:
        content = context.store.get(sha256)
    except PermanentError:
        return None
    try:
        with open_picture(content) as image:
            if image.width * image.height > MAX_PIXELS:
                return None
            # By way of RGBA, because a palette may hold transparency.
            turned = orientation_of(image)
            small = upright(eight_bits(image).convert("RGBA").convert("RGB"), turned)
    except UNDECODABLE:
        return None
    small.thumbnail((WIDTH, HEIGHT))
    encoded = io.BytesIO()
    small.save(encoded, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode("ascii")
