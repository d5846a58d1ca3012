"""One week's growth against the lifetime average: drawn rows, and the recorded videos."""

import json

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LinearRegression

from ml.evaluation import metrics
from ml.evaluation.splits import assign_folds
from services.learning.thumbnails.growth import Growth, TooLittle, compare_labels, study_growth
from services.transfer.importing import import_folder
from tests.support.cli import settings_of, tubegrader
from tests.support.learning import draw


def labelled(*, channels: int = 60, videos: int = 6) -> tuple[pa.Table, pa.Table]:
    """Draw the same videos with two labels: of the week a fifth, and noisier."""
    lifetime = draw(channels=channels, videos=videos, hidden=0.0).rows.sort_by("video_id")
    noise = 10 ** np.random.default_rng(1).normal(-0.7, 0.6, lifetime.num_rows)
    views = lifetime["views_per_day"].to_numpy() * noise
    place = lifetime.schema.get_field_index("views_per_day")
    return lifetime.set_column(place, lifetime.schema.field(place), pa.array(views)), lifetime


def test_the_noisier_label_is_told_worse_by_subscribers():
    week, lifetime = labelled()
    found = compare_labels(week, lifetime, threshold=100, seed=3)
    assert isinstance(found, Growth)
    one, other = (np.asarray(t["views_per_day"].to_numpy()) for t in (week, lifetime))
    assert found.week.base_rate == np.mean(one >= 100)
    assert found.fell == np.sum((other >= 100) & (one < 100))
    assert found.rose == np.sum((other < 100) & (one >= 100))
    assert found.week.median == pytest.approx(np.median(one), rel=0.1)
    assert found.delta_r2.high < 0
    assert found.delta_r2.value == pytest.approx(found.week.r2.value - found.lifetime.r2.value)
    logs = [np.log10(views + 1) for views in (one, other)]
    assert found.correlation == pytest.approx(np.corrcoef(*logs)[0, 1])
    x = np.log10(lifetime["subscriber_count"].to_numpy() + 1.0)[:, None]
    folds = assign_folds(lifetime["channel_id"].to_pylist(), seed=3, folds=4)
    predicted = np.empty(len(x))
    for fold in range(4):
        fitted = LinearRegression().fit(x[folds != fold], logs[1][folds != fold])
        predicted[folds == fold] = fitted.predict(x[folds == fold])
    r2 = float(metrics.r_squared(logs[1], predicted))
    assert found.lifetime.r2.value == pytest.approx(r2, abs=1e-4)
    assert json.loads(json.dumps(found.as_json(), allow_nan=False))["fell"] == found.fell


def test_few_videos_are_not_enough():
    found = compare_labels(*labelled(channels=20, videos=5), threshold=100)
    assert found == TooLittle(100, 20)
    assert found.sentence == (
        "Not enough data: 100 videos of 20 channels have two counts a week apart;"
        " 200 of 40 channels are needed."
    )


def test_videos_that_none_reaches_the_threshold_have_no_auc():
    found = compare_labels(*labelled(), threshold=1e12)
    assert found.week.auc.as_json() == {"value": None, "low": None, "high": None}
    assert np.isfinite(found.week.r2.value)


def test_an_empty_database_says_what_is_needed(context):
    assert study_growth(context) == TooLittle(0, 0)


@pytest.mark.shared_data
def test_the_recorded_week_is_another_question_than_the_lifetime_average(context, shared_data):
    import_folder(context, shared_data / "youtube" / "snapshots")
    ran = tubegrader("growth", "--json", env=settings_of(context))
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert found["n_videos"] == found["n_compared"] == 3928
    assert round(found["week"]["base_rate"], 2) == 0.17
    assert round(found["lifetime"]["base_rate"], 2) == 0.57
    assert round(found["correlation"], 2) == 0.70
    assert found["delta_r2"]["high"] < 0
    print(ran.out)
