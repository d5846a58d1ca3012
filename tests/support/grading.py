"""Worlds for grading: channels of about one size whose brighter thumbnails get more views."""

import io
from datetime import UTC, datetime, timedelta

import numpy as np
from PIL import Image

from db.partitions import ensure_partitions
from db.queries.catalog import channels
from ml.thumbnails.backbones.cnn import CnnConfig
from ml.thumbnails.models.ladder import LadderConfig
from services.context import Context
from tests.support import report
from tests.support.stored import store_videos

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SMALL = LadderConfig(
    seed=3, folds=4, cnn=CnnConfig(widths=(8, 16), epochs=6, batch_size=32, learning_rate=1e-2)
)
SUBSCRIBERS = 20_000
HIDDEN = "UChidden00000000000000AA"


def channel_id(number: int) -> str:
    return f"UC{number:022d}"


def picture(*, light: float, seed: int, size: tuple[int, int] = (320, 180)) -> np.ndarray:
    """Draw rectangles on grey, as much lighter as ``light`` says, from -1 to 1; (H, W, 3)."""
    generator = np.random.default_rng(seed)
    pixels = np.full((180, 320, 3), 120.0)
    for _ in range(6):
        top, left = generator.integers(0, 140), generator.integers(0, 260)
        height, width = generator.integers(15, 80, size=2)
        pixels[top : top + height, left : left + width] = generator.uniform(60, 180, size=3)
    pixels = np.clip(pixels + 60 * light, 0, 255).astype(np.uint8)
    return np.asarray(Image.fromarray(pixels).resize(size))


def encoded(pixels: np.ndarray, format_: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format_)
    return buffer.getvalue()


def store_channels(context: Context, *, effect: float, count: int = 40, each: int = 6) -> None:
    """Write channels and videos as a crawl would; ``effect`` is log10 views by light.

    One more channel hides its subscribers and has no videos.
    """
    generator = np.random.default_rng(5)
    ids = [*(channel_id(number) for number in range(count)), HIDDEN]
    sizes = [int(SUBSCRIBERS * 10 ** generator.uniform(-0.4, 0.4)) for _ in range(count)]
    drawn = []
    for number in range(count):
        for video in range(each):
            light = generator.uniform(-1, 1)
            days = float(generator.uniform(20, 300))
            log_views = 0.8 * np.log10(sizes[number]) - 1.4
            log_views += effect * light + generator.normal(0, 0.25)
            drawn.append(
                {
                    "video_id": f"v{number:04d}-{video:05d}"[:11].replace("-", "_"),
                    "channel_id": ids[number],
                    "published_at": NOW - timedelta(days=days),
                    "views": round(days * 10**log_views),
                    "picture": encoded(picture(light=light, seed=1000 * number + video)),
                }
            )
    _store(context, ids, [*sizes, None], drawn)


def _store(context: Context, ids: list[str], sizes: list[int | None], drawn: list[dict]) -> None:
    with context.transaction() as session:
        ensure_partitions(session.connection(), start=NOW)
        channels.add(session, ids, now=NOW)
        for number, one in enumerate(ids):
            channels.refresh(
                session, {"channel_id": one, "title": one, "handle": f"@made{number}"}, now=NOW
            )
        channels.append_snapshots(
            session,
            [
                {"channel_id": one, "slot": NOW, "captured_at": NOW, "subscriber_count": size}
                for one, size in zip(ids, sizes, strict=True)
            ],
        )
        store_videos(context, session, drawn, now=NOW)


def learn(context: Context, config: LadderConfig = SMALL) -> None:
    report.learn(context, config=config)
