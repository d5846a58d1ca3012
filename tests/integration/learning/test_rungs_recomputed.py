"""The scores of the rungs, computed again: SQL for the columns, scikit-learn for the rest.

Looks at thumbnails are drawn and put where looks are kept, so that no network has to look.
"""

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler
from sqlalchemy import text

from ml.images.decoding import decode_thumbnails
from ml.thumbnails.backbones.cache import EmbeddingCache
from ml.thumbnails.backbones.embeddings import embedding_cache, stage_columns
from ml.thumbnails.backbones.weights import load_backbone
from ml.thumbnails.features.catalogue import FEATURES, MEASUREMENT_VERSION
from ml.thumbnails.features.extractor import can_extract, can_measure
from ml.thumbnails.models.registry import rung_names
from services.context import Context
from services.emulator.synthetic import synthetic_catalog
from services.packs import Packs
from tests.support.image_features import drawn_features
from tests.support.report import SMALL, learn, store_world

pytestmark = pytest.mark.skipif(
    not (can_extract() and can_measure()),
    reason="the extras backbone and pictures are not installed",
)

NOWHERE = Path("/nowhere")
"""What is shared lies in no folder."""
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
           CASE v.format WHEN 'short' THEN 0 WHEN 'long' THEN 0 WHEN 'live' THEN 1 END AS is_live,
           e.usual AS earlier_views,
           CASE WHEN e.usual IS NOT NULL THEN
               (log(c.subscriber_count + 1) + log(c.subscriber_count_high + 1)) / 2
           END AS size_with_history,
           log(a.n + 1) AS log_earlier,
           log(a.since::numeric + 1) AS log_since_last,
           log(extract(epoch FROM s.captured_at - o.published_at) / 86400 + 1) AS log_channel_age,
           t.thumbnail_sha256
    FROM videos v
    JOIN channels o USING (channel_id)
    JOIN video_thumbnails t USING (video_id)
    JOIN video_snapshots s USING (video_id)
    JOIN channel_snapshots c USING (channel_id)
    CROSS JOIN LATERAL (
        SELECT extract(epoch FROM s.captured_at - v.published_at)::float8 / 86400 AS days
    ) d
    LEFT JOIN (
        SELECT video_id, percentile_cont(0.5) WITHIN GROUP (ORDER BY got) AS usual
        FROM (
            SELECT later.video_id,
                   log(1 + counted.view_count / (extract(epoch FROM
                       counted.captured_at - earlier.published_at) / 86400)) AS got,
                   row_number() OVER (
                       PARTITION BY later.video_id ORDER BY earlier.published_at DESC
                   ) AS place
            FROM videos later
            JOIN videos earlier ON earlier.channel_id = later.channel_id
                AND earlier.published_at < later.published_at
            JOIN video_snapshots counted ON counted.video_id = earlier.video_id
        ) ten
        WHERE place <= 10
        GROUP BY video_id
    ) e ON e.video_id = v.video_id
    CROSS JOIN LATERAL (
        SELECT count(*) AS n,
               extract(epoch FROM v.published_at - max(w.published_at)) / 86400 AS since
        FROM videos w WHERE w.channel_id = v.channel_id AND w.published_at < v.published_at
    ) a
    ORDER BY v.video_id
    """
)
HISTORY = (
    "earlier_views", "size_with_history", "log_earlier", "log_since_last", "log_channel_age",
)  # fmt: skip
RUNGS = {
    "age+format": ("log_age", "log_duration", "is_short", "is_live"),
    "subscribers": ("log_subscribers",),
    "subscribers+age": ("log_subscribers", "log_age", "log_duration", "is_short", "is_live"),
}
RUNGS["+history"] = (*RUNGS["subscribers+age"], *HISTORY)
PENALTIES = 10.0 ** np.arange(0, 6.01, 0.5)
PLAIN_PENALTIES = 10.0 ** np.arange(0, 7.01, 0.5)
LOOKING = replace(SMALL, backbone=True)


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
    with context.transaction() as session:
        session.execute(
            text("UPDATE videos SET format = :f, duration_s = :d WHERE video_id = :v"),
            [{"v": v, "f": each["format"], "d": each["duration_s"]} for v, each in facts.items()],
        )
        session.execute(
            text(
                "UPDATE channels SET published_at = :now - interval '400 days'"
                " - length(title) * interval '30 days' - ascii(channel_id) * interval '1 day'"
            ),
            {"now": NOW},
        )
    backbone = load_backbone()
    with context.engine.connect() as connection:
        names = connection.execute(text("SELECT thumbnail_sha256 FROM thumbnails")).scalars().all()
    content = dict(zip(names, context.store.get_many(names), strict=True))
    drawn = drawn_features(decode_thumbnails(names, content.__getitem__))
    assert drawn.measurements is not None
    embedding_cache(NOWHERE, backbone.sha256, Packs(context)).add(names, drawn.embeddings)
    measurements(context).add(names, drawn.measurements)
    learn(context, config=replace(LOOKING, weights=backbone.sha256))
    return context


def measurements(context: Context) -> EmbeddingCache:
    recipe = f"measurements-v{MEASUREMENT_VERSION}"
    return EmbeddingCache(NOWHERE, recipe=recipe, width=len(FEATURES), shared=Packs(context))


@dataclass(frozen=True)
class Judged:
    """The rows in the database, and what they were scored."""

    rows: list[Any]
    scores: dict[tuple[str, str], tuple[float, float]]
    folds: npt.NDArray[np.int64]
    truth: Matrix
    labels: npt.NDArray[np.bool_]

    def found(self, rung: str) -> Matrix:
        return np.array([self.scores[rung, row["video_id"]] for row in self.rows])

    def known(self, names: tuple[str, ...]) -> Matrix:
        return np.array([[row[name] for name in names] for row in self.rows], dtype=np.float64)

    @property
    def pictures(self) -> list[str]:
        return [row["thumbnail_sha256"] for row in self.rows]

    def inner(self, outside: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
        """Deal the channels of the rows outside a fold out to five."""
        channels = np.array([row["channel_id"] for row in self.rows])[outside]
        distinct, channel_of = np.unique(channels, return_inverse=True)
        dealt = np.random.default_rng(SMALL.seed).permutation(len(distinct)) % 5
        return np.asarray(dealt[channel_of])


def test_scores_equal_those_of_scikit_learn_on_columns_from_sql(judged: Context) -> None:
    world = _database(judged)
    assert {rung for rung, _ in world.scores} == set(rung_names())
    check_rungs_without_pictures(world)
    measured = measurements(judged).read(world.pictures).astype(np.float64)
    check_measurements_and_their_penalties(world, _angles_as_points(measured))
    kept = embedding_cache(NOWHERE, load_backbone().sha256, Packs(judged)).read(world.pictures)
    check_the_plain_method(world, kept[:, stage_columns("plain", 7, 7)].astype(np.float64))


def check_rungs_without_pictures(world: Judged) -> None:
    folds, truth, labels = world.folds, world.truth, world.labels
    for rung, names in RUNGS.items():
        known = world.known(names)
        found = world.found(rung)
        for fold in range(SMALL.folds):
            inside, outside = folds == fold, folds != fold
            learning, asked = _matrices(known, outside, inside)
            linear = LinearRegression().fit(learning, truth[outside])
            np.testing.assert_allclose(found[inside, 1], linear.predict(asked), atol=2e-3)
            slight = np.full(learning.shape[1], 1e-3)
            logistic = _logistic(learning, labels[outside], slight)
            expected = _p(logistic, asked / np.sqrt(slight))
            np.testing.assert_allclose(found[inside, 0], expected, atol=2e-3)


def check_measurements_and_their_penalties(world: Judged, measured: Matrix) -> None:
    folds, truth, labels = world.folds, world.truth, world.labels
    known, found = world.known(RUNGS["+history"]), world.found("+features")
    for fold in range(SMALL.folds):
        inside, outside = folds == fold, folds != fold
        learning, asked = _matrices(known, outside, inside)
        centre, spread = measured[outside].mean(axis=0), measured[outside].std(axis=0)
        learning = np.hstack([learning, (measured[outside] - centre) / spread])
        asked = np.hstack([asked, (measured[inside] - centre) / spread])
        y, over = truth[outside], labels[outside]
        inner = world.inner(outside)
        errors = np.zeros((len(PENALTIES), 2))
        for number, penalty in enumerate(PENALTIES):
            ridge = np.full(learning.shape[1], 1e-3)
            ridge[-measured.shape[1] :] = penalty
            for one in range(5):
                taught, left = inner != one, inner == one
                # The program standardises again what an inner fold learns from.
                again = StandardScaler().fit(learning[taught])
                a, b = again.transform(learning[taught]), again.transform(learning[left])
                off = y[left] - _ridge(a, y[taught], ridge).predict(b / np.sqrt(ridge))
                p = _p(_logistic(a, over[taught], ridge), b / np.sqrt(ridge))
                errors[number] += (
                    (off**2).sum(),
                    log_loss(over[left], p, normalize=False, labels=[False, True]),
                )
        best = len(PENALTIES) - 1 - errors[::-1].argmin(axis=0)
        for column, number in enumerate(best):
            ridge = np.full(learning.shape[1], 1e-3)
            ridge[-measured.shape[1] :] = PENALTIES[number]
            scaled = asked / np.sqrt(ridge)
            if column == 0:
                expected = _ridge(learning, y, ridge).predict(scaled)
                np.testing.assert_allclose(found[inside, 1], expected, atol=2e-3)
            else:
                expected = _p(_logistic(learning, over, ridge), scaled)
                np.testing.assert_allclose(found[inside, 0], expected, atol=2e-3)


def check_the_plain_method(world: Judged, last: Matrix) -> None:
    folds, truth, labels = world.folds, world.truth, world.labels
    found = world.found("lite0+ridge")
    for fold in range(SMALL.folds):
        inside, outside = folds == fold, folds != fold
        scaler = StandardScaler().fit(last[outside])
        learning, asked = scaler.transform(last[outside]), scaler.transform(last[inside])
        y = truth[outside]
        inner = world.inner(outside)
        nested = np.empty((len(PLAIN_PENALTIES), len(y)))
        for number, penalty in enumerate(PLAIN_PENALTIES):
            for one in range(5):
                ridge = Ridge(penalty).fit(learning[inner != one], y[inner != one])
                nested[number, inner == one] = ridge.predict(learning[inner == one])
        best = int(((nested - y) ** 2).sum(axis=1).argmin())
        expected = Ridge(PLAIN_PENALTIES[best]).fit(learning, y).predict(asked)
        np.testing.assert_allclose(found[inside, 1], expected, atol=2e-3)
        scale = StandardScaler().fit(nested[best][:, None])
        slight = np.array([1e-3])
        logistic = _logistic(scale.transform(nested[best][:, None]), labels[outside], slight)
        p = _p(logistic, scale.transform(expected[:, None]) / np.sqrt(slight))
        np.testing.assert_allclose(found[inside, 0], p, atol=2e-3)


def _database(judged: Context) -> Judged:
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
    return Judged(
        list(rows),
        scores,
        np.array([_fold(row["channel_id"]) for row in rows]),
        np.array([row["log_views"] for row in rows], dtype=np.float64),
        np.array([row["is_over"] for row in rows]),
    )


def _ridge(learning: Matrix, target: Matrix, penalties: Matrix) -> Ridge:
    """Fit with a penalty a column: what is divided by its root and penalised by 1 is the same."""
    return Ridge(1.0).fit(learning / np.sqrt(penalties), target)


def _logistic(
    learning: Matrix, labels: npt.NDArray[np.bool_], penalties: Matrix
) -> LogisticRegression:
    """Fit with a penalty a column, and half a positive and half a negative row at the mean."""
    columns = np.vstack([learning, np.zeros((2, learning.shape[1]))]) / np.sqrt(penalties)
    return LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-10, max_iter=1000).fit(
        columns, np.r_[labels, False, True], sample_weight=np.r_[np.ones(len(labels)), 0.5, 0.5]
    )


def _p(logistic: LogisticRegression, asked: Matrix) -> Matrix:
    p: Matrix = logistic.predict_proba(asked)[:, 1]
    return p


def _angles_as_points(measured: Matrix) -> Matrix:
    """Put the hue's angle on the circle."""
    hue = next(i for i, feature in enumerate(FEATURES) if feature.name == "dominant_hue")
    angle = np.radians(measured[:, hue])
    return np.column_stack([np.delete(measured, hue, axis=1), np.cos(angle), np.sin(angle)])


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
