"""What services ask of the database, each as they ask it, to be held against how much there is."""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from sqlalchemy import text
from sqlalchemy.orm import Session

from benchmarks import big
from db.partitions import ensure_partitions_of
from db.queries.catalog import completeness, videos
from db.queries.learning import scores, unscored
from db.queries.work import work_items
from services import browsing
from services.context import Context
from services.learning.thumbnails.planning import PAGE

CLAIMED, SHARD, WRITTEN, APPENDED = 1_000, 512, 1_000, 500
FIRST = 50
"""Rows of a first page."""
OF_NO_MODEL = 1_000_000
"""A model that has scored nothing."""

Question = Callable[[Context], object]


@dataclass(frozen=True)
class Sampled:
    """What questions are about: spread over all there is, and looked up before.

    Attributes:
        video_ids: Of the catalogue, in any order.
        models: All that scored it.
        middle: Where half of the catalogue is newer.
        channel_id: Of one of the channels.
    """

    video_ids: Sequence[str]
    models: Sequence[int]
    middle: unscored.Key
    channel_id: str


def sample(context: Context, n: int) -> Sampled:
    """Choose what is asked about among ``n`` videos of :mod:`benchmarks.big`."""
    step = max(1, n // WRITTEN)
    with context.transaction() as session:
        models = list(session.scalars(text("SELECT model_version_id FROM model_versions")))
        middle = session.execute(
            text(
                "SELECT published_at, video_id FROM videos "
                "ORDER BY published_at DESC, video_id DESC OFFSET :half LIMIT 1"
            ),
            {"half": n // 2},
        ).one()
        channel_id = session.execute(text("SELECT max(channel_id) FROM channels")).scalar_one()
    ids = [_video_id(number) for number in range(1, n + 1, step)][:WRITTEN]
    return Sampled(ids, models, (middle[0], middle[1]), channel_id)


def questions(of: Sampled) -> Mapping[str, Question]:
    """Return what is asked, by what it is called in tables."""
    everything = [*of.models, OF_NO_MODEL]
    views = {
        "scored_videos": "WHERE rung = 'thumbnail' ORDER BY log10_residual DESC",
        "thumbnail_changes": "ORDER BY changed_at DESC",
        "completeness": "ORDER BY day DESC",
        "completeness_gaps": "ORDER BY day DESC",
    }
    return {
        f"claiming {CLAIMED:,} items": _undone(_claim),
        f"a page of planning ({PAGE:,} videos), nothing lacks a score": _asked(
            partial(_plan, of=of, models=of.models)
        ),
        "the same, all of them lack one": _asked(partial(_plan, of=of, models=everything)),
        "counting what lacks a score": _asked(
            lambda s: unscored.count(s, model_version_ids=of.models)
        ),
        f"what {SHARD} videos of a shard are scored by": _asked(
            lambda s: unscored.to_score(
                s, of.video_ids[:SHARD], model_version_ids=everything, now=big.NOW
            )
        ),
        f"{WRITTEN:,} scores written": _undone(partial(_write, of=of)),
        f"{APPENDED} snapshots written": _undone(partial(_append, of=of)),
        **{
            f"`{view}`, {FIRST} rows": _query(f"SELECT * FROM {view} {order} LIMIT {FIRST}")
            for view, order in views.items()
        },
        **{f"`{view}`, counted": _query(f"SELECT count(*) FROM {view}") for view in views},
        "one rung of `scored_videos` added up": _query(
            "SELECT avg(probability_over), avg(is_over_threshold::int) FROM scored_videos "
            "WHERE rung = 'thumbnail'"
        ),
        "completeness of a week": _asked(
            lambda s: completeness.by_day(s, since=big.NOW - big.WEEK, now=big.NOW, channel_id=None)
        ),
        "the same of a channel": _asked(
            lambda s: completeness.by_day(
                s, since=big.NOW - big.WEEK, now=big.NOW, channel_id=of.channel_id
            )
        ),
        "pages: channels by title": browsing.channels,
        "pages: videos, the newest": browsing.videos,
        "pages: videos of a channel": partial(browsing.videos, channel=of.channel_id),
        "pages: videos by a word that one has": partial(browsing.videos, title='"day 77"'),
        "pages: videos by a word that all have": partial(browsing.videos, title="nobody"),
        "pages: videos by surprise": partial(browsing.videos, order="underestimated"),
        "pages: one video": partial(browsing.video, video_id=of.video_ids[7]),
    }


def _asked(ask: Callable[[Session], object]) -> Question:
    def question(context: Context) -> None:
        with context.transaction() as session:
            ask(session)

    return question


def _query(statement: str) -> Question:
    return _asked(lambda session: session.execute(text(statement)).all())


def _undone(do: Callable[[Session], object]) -> Question:
    def question(context: Context) -> None:
        with context.transaction() as session:
            do(session)
            session.rollback()

    return question


def _claim(session: Session) -> None:
    # By the database's clock, which `big` makes work by; in a day a sixth of it is due.
    now = datetime.now(UTC) + timedelta(days=1)
    kind = "video.snapshot"
    assert work_items.claim(session, kind, limit=CLAIMED, now=now, lease=timedelta(days=1))


def _plan(session: Session, *, of: Sampled, models: Sequence[int]) -> None:
    unscored.page(session, model_version_ids=models, before=of.middle, limit=PAGE)


def _write(session: Session, *, of: Sampled) -> None:
    """Score the videos' pictures with a model that is the newest of its rung."""
    [model] = session.scalars(
        text(
            """
            INSERT INTO model_versions (rung, version, dataset_id, trained_at, code_version, seed,
                config, files, task)
            SELECT rung, 2, dataset_id, trained_at, code_version, seed, config, files, task
            FROM model_versions WHERE rung = 'thumbnail' RETURNING model_version_id
            """
        )
    )
    pictures = session.execute(
        text(
            "SELECT video_id, thumbnail_sha256 FROM video_thumbnails "
            "WHERE video_id = ANY(:ids) AND is_current"
        ),
        {"ids": list(of.video_ids)},
    ).all()
    rows = [
        {
            "video_id": video_id,
            "thumbnail_sha256": picture,
            "model_version_id": model,
            "probability_over": 0.5,
            "log10_views_per_day": 2.0,
            "scored_at": big.NOW,
        }
        for video_id, picture in pictures
    ]
    assert scores.add(session, rows) == len(of.video_ids)


def _append(session: Session, *, of: Sampled) -> None:
    at = big.NOW + timedelta(hours=1)
    ensure_partitions_of(session.connection(), [at])
    row = {"slot": at, "captured_at": at, "view_count": 5}
    ids = of.video_ids[:APPENDED]
    assert videos.append_snapshots(session, [{"video_id": v, **row} for v in ids]) == len(ids)


def _video_id(number: int) -> str:
    """Return the id that :mod:`benchmarks.big` gives the video of a number."""
    digest = hashlib.md5(str(number).encode(), usedforsecurity=False).digest()
    return base64.b64encode(digest, altchars=b"-_").decode()[:11]
