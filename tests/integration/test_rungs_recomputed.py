"""The scores of the rungs without pictures, computed again: SQL for the columns, scikit-learn."""

import hashlib
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sqlalchemy import text

from db.session import unit_of_work
from services.context import Context
from services.emulator.synthetic import synthetic_catalog
from tests.support.report import SMALL, learn, store_world

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
Matrix = npt.NDArray[np.float64]

COLUMNS = text(
    """
    SELECT v.video_id, v.channel_id,
           log((s.view_count / d.days + 1)::numeric)::float8 AS log_views,
           s.view_count / d.days >= 100 AS is_over,
           (log(c.subscriber_count + 1) + log(c.subscriber_count_high + 1)) / 2 AS log_subscribers,
           log(greatest(d.days, 1)::numeric)::float8 AS log_age,
           log(v.duration_s + 1) AS log_duration,
           CASE v.format WHEN 'short' THEN 1 WHEN 'long' THEN 0 WHEN 'live' THEN 0 END AS is_short,
           CASE v.format WHEN 'short' THEN 0 WHEN 'long' THEN 0 WHEN 'live' THEN 1 END AS is_live
    FROM videos v
    JOIN video_snapshots s USING (video_id)
    JOIN channel_snapshots c USING (channel_id)
    CROSS JOIN LATERAL (
        SELECT extract(epoch FROM s.captured_at - v.published_at)::float8 / 86400 AS days
    ) d
    ORDER BY v.video_id
    """
)
RUNGS = {
    "age+format": ("log_age", "log_duration", "is_short", "is_live"),
    "subscribers": ("log_subscribers",),
    "subscribers+age": ("log_subscribers", "log_age", "log_duration", "is_short", "is_live"),
}


@pytest.fixture
def judged(context: Context) -> Context:
    """A world whose channels may hide their subscribers and whose videos have formats."""
    context.clock = lambda: NOW
    world = synthetic_catalog(seed=4, epoch=NOW, channels=32, videos=192, hidden_share=0.1)
    store_world(context, world)
    facts = {
        video_id: {"format": kind, "duration_s": seconds}
        for number, video_id in enumerate(sorted(world.videos))
        for kind, seconds in [
            [("short", 40 + number), ("long", 600 + number), ("live", 7_200), (None, None)][
                number % 4
            ]
        ]
    }
    with unit_of_work(context.sessions) as session:
        session.execute(
            text("UPDATE videos SET format = :f, duration_s = :d WHERE video_id = :v"),
            [{"v": v, "f": each["format"], "d": each["duration_s"]} for v, each in facts.items()],
        )
    learn(context)
    return context


def test_scores_equal_those_of_scikit_learn_on_columns_from_sql(judged: Context) -> None:
    with judged.engine.connect() as connection:
        rows = connection.execute(COLUMNS).mappings().all()
        scores = {
            (rung, video): (p, y)
            for rung, video, p, y in connection.execute(
                text(
                    "SELECT m.rung, s.video_id, s.probability_over, s.log10_views_per_day"
                    " FROM scores s JOIN model_versions m USING (model_version_id)"
                )
            )
        }
    folds = np.array([_fold(row["channel_id"]) for row in rows])
    truth = np.array([row["log_views"] for row in rows], dtype=np.float64)
    labels = np.array([row["is_over"] for row in rows])
    for rung, names in RUNGS.items():
        known = np.array([[row[name] for name in names] for row in rows], dtype=np.float64)
        found = np.array([scores[rung, row["video_id"]] for row in rows])
        for fold in range(SMALL.folds):
            inside, outside = folds == fold, folds != fold
            learning, asked = _matrices(known, outside, inside)
            linear = LinearRegression().fit(learning, truth[outside])
            np.testing.assert_allclose(found[inside, 1], linear.predict(asked), atol=2e-3)
            # Half a positive and half a negative row at the mean, as the program's fit has.
            logistic = LogisticRegression(C=1e3, tol=1e-10, max_iter=10_000).fit(
                np.vstack([learning, np.zeros((2, learning.shape[1]))]),
                np.r_[labels[outside], False, True],
                sample_weight=np.r_[np.ones(outside.sum()), 0.5, 0.5],
            )
            p = logistic.predict_proba(asked)[:, 1]
            np.testing.assert_allclose(found[inside, 0], p, atol=2e-3)


def _fold(channel_id: str) -> int:
    digest = hashlib.sha256(f"{SMALL.seed}:{channel_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % SMALL.folds


def _matrices(
    known: Matrix, learning: npt.NDArray[np.bool_], asked: npt.NDArray[np.bool_]
) -> tuple[Matrix, Matrix]:
    """Fill with the learning rows' medians, mark what was unknown, standardise."""
    unknown = np.isnan(known)
    medians = np.nanmedian(known[learning], axis=0)
    whole = np.hstack([np.where(unknown, medians, known), unknown.astype(float)])
    spread = whole[learning].std(axis=0)
    standard = (whole - whole[learning].mean(axis=0)) / np.where(spread > 0, spread, 1)
    return standard[learning], standard[asked]
