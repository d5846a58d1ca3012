"""Small drawn datasets for the learning tests."""

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from ml.thumbnails.backbones.cnn import CnnConfig
from ml.thumbnails.data.dataset import Dataset, read_dataset, write_dataset
from ml.thumbnails.data.schema import ROW_SCHEMA
from ml.thumbnails.models.ladder import LadderConfig

AS_OF = datetime(2026, 3, 1, 12, tzinfo=UTC)
TINY_CNN = CnnConfig(widths=(8, 16, 24), epochs=4, batch_size=32, learning_rate=1e-2)
TINY = LadderConfig(seed=3, folds=4, cnn=TINY_CNN)


@dataclass(frozen=True)
class Drawn:
    """Rows for ``write_dataset`` and the images they name."""

    rows: pa.Table
    images: dict[str, bytes]

    def write(self, directory: Path, *, threshold: float = 100.0) -> Dataset:
        write_dataset(
            self.rows, self.images.__getitem__, directory, as_of=AS_OF, threshold=threshold
        )
        return read_dataset(directory)

    def replace(self, column: str, values: list[object]) -> "Drawn":
        index = self.rows.schema.get_field_index(column)
        field = self.rows.schema.field(index)
        return Drawn(self.rows.set_column(index, field, pa.array(values, field.type)), self.images)


def draw(
    *,
    seed: int = 0,
    channels: int = 24,
    videos: int = 10,
    effect: float = 0.0,
    hidden: float = 0.1,
) -> Drawn:
    """Draw channels whose views follow subscribers, plus ``effect`` log10 units of warmth.

    Every thumbnail has random rectangles on a background in its channel's colour, and a random
    tint between cold (-1) and warm (+1) that moves its views only if ``effect`` is not 0.
    """
    generator = np.random.default_rng(seed)
    rows, images = [], {}
    for channel in range(channels):
        log_subscribers = generator.normal(4.0, 1.0)
        colour = generator.uniform(100, 150, size=3)
        is_hidden = generator.random() < hidden
        for video in range(videos):
            tint = generator.uniform(-1, 1)
            image = jpeg(_picture(generator, colour, tint))
            sha256 = hashlib.sha256(image).hexdigest()
            images[sha256] = image
            log_views = 0.8 * log_subscribers - 1.2 + effect * tint + generator.normal(0, 0.3)
            age = float(generator.uniform(5, 400))
            views_per_day = 10 ** max(log_views, 0.0)
            rows.append(
                lifetime_row(
                    video_id=f"v{channel:03d}-{video:03d}",
                    channel_id=f"UC{channel:04d}",
                    title=f"video {video}",
                    published_at=AS_OF - timedelta(days=age),
                    captured_at=AS_OF,
                    thumbnail_sha256=sha256,
                    subscriber_count=None if is_hidden else int(10**log_subscribers),
                    views_per_day=views_per_day,
                )
            )
    return Drawn(pa.Table.from_pylist(rows, schema=ROW_SCHEMA), images)


def with_images(drawn: Drawn, changed: Callable[[np.ndarray, int], np.ndarray]) -> Drawn:
    """Return the rows with other pictures: what ``changed`` makes of the pixels of each row's."""
    hashes, images = [], {}
    for row, sha256 in enumerate(drawn.rows["thumbnail_sha256"].to_pylist()):
        pixels = np.array(Image.open(io.BytesIO(drawn.images[sha256])))
        image = jpeg(changed(pixels, row))
        hashes.append(hashlib.sha256(image).hexdigest())
        images[hashes[-1]] = image
    return Drawn(drawn.replace("thumbnail_sha256", hashes).rows, images)


def lifetime_row(
    *,
    video_id: str,
    channel_id: str,
    title: str,
    published_at: datetime,
    captured_at: datetime,
    thumbnail_sha256: str | None,
    subscriber_count: int | None,
    views_per_day: float,
) -> dict[str, object]:
    """Return a row as a catalogue gives that was looked at once: all was read at that moment."""
    age_days = (captured_at - published_at) / timedelta(days=1)
    unknown = ("format", "category_id", "duration_s", "channel_age_days", "perceptual_hash")
    history = ("earlier_log_views_per_day", "history_known_at", "days_since_last_upload")
    return dict.fromkeys([*unknown, *history]) | {
        "video_id": video_id,
        "channel_id": channel_id,
        "title": title,
        "published_at": published_at,
        "predicted_at": captured_at,
        "thumbnail_sha256": thumbnail_sha256,
        "thumbnail_variant": "mqdefault",
        "thumbnail_width": 320,
        "thumbnail_height": 180,
        "thumbnail_known_at": captured_at,
        "subscriber_count": subscriber_count,
        "subscriber_count_high": subscriber_count,
        "subscribers_known_at": captured_at,
        "subscribers_after": False,
        "n_earlier_videos": 0,
        "published_hour": published_at.hour,
        "published_weekday": published_at.weekday(),
        "title_length": len(title),
        "label_kind": "lifetime",
        "label_from": published_at,
        "label_to": captured_at,
        "captured_at": captured_at,
        "mixed_definitions": False,
        "age_days": age_days,
        "view_count": int(views_per_day * age_days),
        "views_per_day": views_per_day,
    }


def jpeg(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _picture(generator: np.random.Generator, colour: np.ndarray, tint: float) -> np.ndarray:
    pixels = np.empty((180, 320, 3))
    pixels[:] = colour
    for _ in range(5):
        top, left = generator.integers(0, 140), generator.integers(0, 260)
        height, width = generator.integers(15, 80, size=2)
        pixels[top : top + height, left : left + width] = generator.uniform(0, 255, size=3)
    pixels += np.array([50.0, 0.0, -50.0]) * tint
    return np.clip(pixels, 0, 255).astype(np.uint8)
