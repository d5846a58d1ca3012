"""Swapped thumbnails, from rows as a crawl leaves them to what they did."""

import hashlib
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, text

from db.models import (
    Channel,
    ChannelSnapshot,
    Score,
    Thumbnail,
    Video,
    VideoSnapshot,
    VideoThumbnail,
)
from db.partitions import ensure_partitions
from services.context import Context
from services.emulator.catalog import Catalog
from services.emulator.living import Life, living_catalog
from services.learning.thumbnails.swaps import study_swaps
from tests.support.cli import settings_of, tubegrader

EPOCH = datetime(2026, 5, 1, tzinfo=UTC)
DAYS = 42
EFFECT = 0.3
SWAPPING = Life(
    uploads=0.001, deleted=0, private=0, swapped=0.4, reencoded=0.1, closed=0, suspended=0,
    hiding=0, shorts=0, streams=0, premieres=0,
)  # fmt: skip


@pytest.fixture
def later(context: Context) -> Context:
    """A context whose clock stands after all that is collected here."""
    context.clock = lambda: EPOCH + timedelta(days=DAYS + 1)
    return context


def collect(context: Context, catalog: Catalog, *, effect: float, scored: bool) -> None:
    """Write what a crawl would: counts every day, a look at each picture every week."""
    videos = [v for v in catalog.videos.values() if v.published_at < EPOCH]
    sizes = {name: catalog.subscribers(c, EPOCH) for name, c in catalog.channels.items()}
    counts, versions, pictures, scores = [], [], {}, []
    for number, video in enumerate(videos):
        for day in range(DAYS + 1):
            at = EPOCH + timedelta(days=day, minutes=number % 60)
            values = {"slot": at, "captured_at": at, "view_count": catalog.views(video, at)}
            counts.append({"video_id": video.video_id, "view_definition": "watched", **values})
        shown: list[dict[str, object]] = []
        for day in range(number % 7, DAYS + 1, 7):
            at = EPOCH + timedelta(days=day, hours=5)
            picture = catalog.thumbnail(video, at)
            key = picture.key.removesuffix("/reencoded")
            sha256 = hashlib.sha256(key.encode()).hexdigest()
            pictures[sha256] = int(sha256[:15], 16)
            if shown and shown[-1]["thumbnail_sha256"] == sha256:
                shown[-1]["last_seen_at"] = at
                continue
            for one in shown:
                one["is_current"] = False
            shown.append(
                {
                    "video_id": video.video_id,
                    "version": len(shown) + 1,
                    "thumbnail_sha256": sha256,
                    "variant": "mqdefault",
                    "is_current": True,
                    "first_seen_at": at,
                    "last_seen_at": at,
                }
            )
            scores.append(
                {
                    "video_id": video.video_id,
                    "thumbnail_sha256": sha256,
                    "model_version_id": 1,
                    "probability_over": 0.5,
                    "log10_views_per_day": 2 + effect * (picture.appeal or video.appeal or 0.0),
                    "scored_at": at,
                }
            )
        versions += shown
    with context.engine.begin() as connection:
        ensure_partitions(connection, start=EPOCH, end=EPOCH + timedelta(days=160))

        def add(model: type, rows: list[dict[str, object]]) -> None:
            connection.execute(insert(model), rows)

        add(Channel, [{"channel_id": name, "added_at": EPOCH} for name in sizes])
        add(
            ChannelSnapshot,
            [
                {"channel_id": c, "slot": EPOCH, "captured_at": EPOCH, "subscriber_count": n}
                for c, n in sizes.items()
            ],
        )
        add(
            Video,
            [
                {
                    "video_id": v.video_id,
                    "channel_id": v.channel_id,
                    "published_at": v.published_at,
                    "first_seen_at": EPOCH,
                }
                for v in videos
            ],
        )
        add(VideoSnapshot, counts)
        size = {"format": "jpeg", "width": 320, "height": 180, "byte_size": 9_000}
        add(
            Thumbnail,
            [
                {"thumbnail_sha256": sha256, "perceptual_hash": known, "stored_at": EPOCH, **size}
                for sha256, known in pictures.items()
            ],
        )
        add(VideoThumbnail, versions)
        if scored:
            connection.execute(
                text(
                    """
                    INSERT INTO datasets (dataset_id, as_of, created_at, n_videos, n_channels,
                        threshold, base_rate, videos_sha256, excluded, files)
                    VALUES (repeat('a', 64), :t, :t, 1, 1, 100, 0.5, repeat('b', 64), '{}', '{}');
                    """
                ),
                {"t": EPOCH},
            )
            connection.execute(
                text(
                    """
                    INSERT INTO model_versions (rung, version, dataset_id, trained_at,
                        code_version, seed, config, files)
                    VALUES ('subscribers+age+thumbnail', 1, repeat('a', 64), :t, '1', 0, '{}', '{}')
                    """
                ),
                {"t": EPOCH},
            )
            add(Score, scores)


def world(effect: float) -> Catalog:
    return living_catalog(
        seed=11, epoch=EPOCH, days=DAYS, channels=40, videos=480, effect=effect, life=SWAPPING
    )


def test_videos_whose_score_rose_gained_what_was_planted(later: Context):
    collect(later, world(EFFECT), effect=EFFECT, scored=True)
    result = study_swaps(later)
    found = result.found
    assert found.n_swaps >= 50
    assert found.n_swaps + sum(result.left_out.values()) == result.n_changes
    # New pictures are no better than old ones; those that are bring what they bring.
    assert found.effect.low <= 0.02
    assert found.effect.high >= -0.02
    assert found.by_score.rose.low > 0 > found.by_score.fell.high
    assert found.by_score.slope.low <= 1.05
    assert found.by_score.slope.high >= 0.95
    assert found.by_score.slope.value == pytest.approx(1, abs=0.15)
    assert [day for day, _ in found.daily] == [*range(-7, 0), *range(1, 8)]
    assert all(abs(interval.value) < 0.02 for day, interval in found.daily if day < 0)
    printed = tubegrader("swaps", env=settings_of(later))
    assert printed.code == 0, printed.err
    assert printed.out.startswith(result.sentence)
    assert "to a picture with a higher score" in printed.out
    assert f"[{found.by_score.slope.low:.2f}, {found.by_score.slope.high:.2f}] came about" in (
        " ".join(printed.out.split())
    )


def test_pictures_without_effect_show_none_and_no_scores_no_direction(later: Context):
    collect(later, world(0.0), effect=0.0, scored=False)
    result = study_swaps(later)
    assert result.found.by_score is None
    assert abs(result.found.effect.value) < 0.02
    assert result.found.placebo is not None
    assert abs(result.found.placebo.value) < 0.02


def test_nothing_collected_is_not_enough(later: Context):
    result = study_swaps(later)
    assert result.n_changes == 0
    assert result.sentence == (
        "Not enough data: 0 swapped thumbnails of 0 channels can be compared with other videos;"
        " 30 of 15 channels are needed."
    )
    assert result.as_json()["effect"] is None
