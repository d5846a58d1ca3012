"""The recorded real videos beside the checkout: 760 with a thumbnail, 494 channels."""

import csv
import hashlib
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest

from ml.artifacts import ModelCard
from ml.evaluation import metrics
from ml.evaluation.splits import assign_folds
from ml.thumbnails.data.dataset import read_dataset, write_dataset
from ml.thumbnails.data.rows import Features, Targets
from ml.thumbnails.data.schema import ROW_SCHEMA
from ml.thumbnails.evaluation.evaluate import evaluate
from ml.thumbnails.features.extractor import FeatureExtractor, can_extract, can_measure
from ml.thumbnails.models.ladder import LadderConfig, dataset_images, train_ladder
from ml.thumbnails.models.registry import rung_names
from ml.thumbnails.models.rung import TrainingData
from ml.thumbnails.models.tabular import SubscribersRung
from tests.support.learning import AS_OF, lifetime_row
from tests.support.recorded import kept_features

__all__ = ["kept_features"]

RECORDED = Path(__file__).parents[3].parent / "shared" / "data" / "youtube"

pytestmark = [
    pytest.mark.shared_data,
    pytest.mark.skipif(
        not (RECORDED / "videos.csv").exists(), reason=f"no recorded videos in {RECORDED}"
    ),
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    rows, images = [], {}
    with (RECORDED / "videos.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if not row["thumbnail_file"]:
                continue
            image = (RECORDED / row["thumbnail_file"]).read_bytes()
            sha256 = hashlib.sha256(image).hexdigest()
            images[sha256] = image
            published = datetime.fromisoformat(row["published_at"])
            captured = datetime.fromisoformat(row["collected_at"])
            age = max((captured - published).total_seconds() / 86400, 1.0)
            rows.append(
                lifetime_row(
                    video_id=row["video_id"],
                    channel_id=row["channel_id"],
                    title=row["title"],
                    published_at=published,
                    captured_at=captured,
                    thumbnail_sha256=sha256,
                    subscriber_count=int(row["subscriber_count"] or 0) or None,
                    views_per_day=int(row["view_count"]) / age,
                )
            )
    directory = tmp_path_factory.mktemp("real")
    table = pa.Table.from_pylist(rows, schema=ROW_SCHEMA)
    write_dataset(table, images.__getitem__, directory, as_of=AS_OF)
    return read_dataset(directory)


def test_subscribers_alone_predict_views_of_unseen_channels(dataset):
    features = Features(dataset.strings("split_group"), dataset.subscriber_count)
    targets = Targets(dataset.log10_views_per_day, dataset.is_over)
    folds = assign_folds(features.split_groups, seed=0, folds=4)
    card = ModelCard(dataset.description.id, seed=0, folds=4, threshold=100.0)
    predictions = SubscribersRung.fit(TrainingData(features, targets, folds, card)).predict(
        features
    )
    assert metrics.auc(targets.is_over, predictions.probability_over) >= 0.90
    assert metrics.r_squared(targets.log10_views_per_day, predictions.log10_views_per_day) >= 0.6


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.xdist_group("recorded thumbnails")
@pytest.mark.skipif(not (can_extract() and can_measure()), reason="no pretrained network installed")
def test_real_thumbnails_train_the_whole_ladder_and_beat_the_plain_method(dataset, kept_features):
    extractor = FeatureExtractor(kept_features)
    encoded = dict(dataset.thumbnails())
    image_features = extractor.extract(dataset.strings("thumbnail_sha256"), encoded.__getitem__)
    config = LadderConfig(backbone=True, weights=extractor.weights)
    ladder = train_ladder(dataset, dataset_images(dataset), config, image_features=image_features)
    result = evaluate(dataset, ladder.out_of_fold, image_features=image_features)
    assert set(result.rungs) == set(rung_names())
    assert result.rungs["subscribers"].auc.value >= 0.92
    assert result.rungs["subscribers+age"].r2.value >= 0.72
    assert result.rungs["thumbnail"].auc.value > result.rungs["lite0+ridge"].auc.value > 0.7
    assert result.rungs["thumbnail"].spearman.value > result.rungs["lite0+ridge"].spearman.value
    assert result.difference("thumbnail", "lite0+ridge").delta_r2.low > 0
    assert -0.02 < result.headline.delta_r2.value < 0.04
    assert result.forward.with_pictures
