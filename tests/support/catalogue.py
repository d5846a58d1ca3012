"""A few videos, models and scores, written through the queries that the services use."""

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import text

from db.partitions import ensure_partitions
from db.queries.catalog import channels, thumbnails, videos
from db.queries.learning import model_versions, promotions, scores
from services.context import Context

RUNGS = ("subscribers", "thumbnail")
DATASET = "1" * 64


def video_id(number: int) -> str:
    return f"video_{number:05d}"


def picture(video: str, which: int) -> str:
    return hashlib.sha256(f"{video}/{which}".encode()).hexdigest()


@dataclass
class Catalogue:
    """Videos ``video_00000`` and so on, of two channels, as of a moment."""

    context: Context
    now: datetime
    models: list[int] = field(default_factory=list)

    def add(self, n: int) -> list[str]:
        ids, owners = [video_id(i) for i in range(n)], ["UC" + c * 22 for c in "ab"]
        with self.context.transaction() as session:
            ensure_partitions(
                session.connection(), start=self.now - timedelta(days=80), end=self.now
            )
            channels.add(session, owners, now=self.now)
            videos.add(
                session,
                [
                    {
                        "video_id": one,
                        "channel_id": owners[i % 2],
                        "published_at": self.now - timedelta(days=90 + i),
                    }
                    for i, one in enumerate(ids)
                ],
                now=self.now,
            )
            session.execute(
                text(
                    "INSERT INTO datasets (dataset_id, as_of, created_at, n_videos, n_channels, "
                    "threshold, base_rate, videos_sha256, excluded, files) VALUES "
                    "(:d, :now, :now, 2, 1, 100, 0.5, :d, '{}', '{}') ON CONFLICT DO NOTHING"
                ),
                {"d": DATASET, "now": self.now},
            )
        return ids

    def count(self, ids: Collection[str], slot: datetime, views: int | None) -> int:
        rows = [
            {
                "video_id": one,
                "slot": slot,
                "captured_at": slot + timedelta(minutes=3),
                "view_count": views,
                "view_definition": "started",
            }
            for one in ids
        ]
        with self.context.transaction() as session:
            ensure_partitions(session.connection(), start=slot, end=slot)
            return videos.append_snapshots(session, rows)

    def show(self, video: str, which: int, *, now: datetime) -> None:
        stored = thumbnails.StoredThumbnail(
            video, picture(video, which), "jpeg", 320, 180, 9000, "mqdefault", None, which
        )
        with self.context.transaction() as session:
            thumbnails.record_thumbnails(session, [stored], now=now)

    def train(self) -> list[int]:
        """Add a version of each rung; return their ids."""
        with self.context.transaction() as session:
            made = [
                model_versions.add(
                    session,
                    task="thumbnails",
                    rung=rung,
                    dataset_id=DATASET,
                    job_id=None,
                    trained_at=self.now,
                    code_version="1",
                    seed=len(self.models),
                    config={},
                    files={},
                ).model_version_id
                for rung in RUNGS
            ]
        self.models += made
        return made

    def score(self, ids: Collection[str], model: int, which: int, value: float) -> None:
        rows = [
            {
                "video_id": one,
                "thumbnail_sha256": picture(one, which),
                "model_version_id": model,
                "probability_over": 0.5,
                "log10_views_per_day": value,
                "scored_at": self.now,
            }
            for one in ids
        ]
        with self.context.transaction() as session:
            scores.add(session, rows)

    def promote(self, model: int) -> None:
        with self.context.transaction() as session:
            promotions.set_alias(
                session,
                task="thumbnails",
                alias=promotions.CHAMPION,
                model_version_id=model,
                now=self.now,
            )

    def sql(self, statement: str, **values: object) -> Sequence[tuple[object, ...]]:
        with self.context.engine.begin() as connection:
            found = connection.execute(text(statement), values)
            return [tuple(row) for row in found] if found.returns_rows else []


def scored_catalogue(
    context: Context, now: datetime, n: int, *, log10: Callable[[int], float] = lambda n: n / 3
) -> Catalogue:
    """``n`` videos counted the day before, each with a picture that the champion has scored.

    Args:
        context: Where they are written.
        now: The moment they are as of.
        n: How many.
        log10: Gives of each one's place what is predicted, as log10 of views per day.
    """
    made = Catalogue(context, now)
    ids = made.add(n)
    made.count(ids, now - timedelta(days=1), 1_000)
    for one in ids:
        made.show(one, 1, now=now)
    champion = made.train()[1]
    for place, one in enumerate(ids):
        made.score([one], champion, 1, log10(place))
    made.promote(champion)
    return made
