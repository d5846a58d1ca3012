"""Each leak is planted and must be seen; honest datasets pass."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from ml.errors import LearningError
from ml.thumbnails.data.leakage import bar_share, check, require_clean
from tests.support.learning import AS_OF, draw, with_images

LATER = AS_OF - timedelta(days=1)
"""Later than the predictions of :func:`early`, and no later than the dataset."""


@pytest.fixture(scope="module")
def drawn():
    return draw(seed=5, channels=40, videos=8, hidden=0.0)


def early(drawn):
    """The same rows, predicted a week before they were labelled."""
    before = [AS_OF - timedelta(days=7)] * drawn.rows.num_rows
    for column in ("predicted_at", "thumbnail_known_at", "subscribers_known_at"):
        drawn = drawn.replace(column, before)
    return drawn


def leaks(dataset, **options):
    return {f.reason: f for f in check(dataset, **options) if f.severity == "leak"}


def table_with(dataset, column, values):
    index = dataset.table.schema.get_field_index(column)
    field = dataset.table.schema.field(index)
    return replace(dataset, table=dataset.table.set_column(index, field, pa.array(values)))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("effect", [0.0, 0.6])
def test_an_honest_dataset_has_only_the_note_on_its_label(tmp_path, seed, effect):
    dataset = draw(seed=seed, effect=effect).write(tmp_path)
    rng = np.random.default_rng(seed)
    noise = {"noise": rng.normal(size=len(dataset)), "constant": np.ones(len(dataset))}
    assert [f.reason for f in check(dataset, features=noise)] == ["lifetimeLabel"]
    assert [f.reason for f in require_clean(dataset)] == ["lifetimeLabel"]


@pytest.mark.parametrize(
    ("column", "features"),
    [
        ("subscribers_known_at", ("subscriber_count", "subscriber_count_high")),
        ("thumbnail_known_at", ("thumbnail_sha256",)),
        ("history_known_at", ("earlier_log_views_per_day",)),
    ],
)
def test_a_feature_from_after_the_prediction_is_seen(tmp_path, drawn, column, features):
    before = early(drawn)
    planted = before.replace(column, [LATER, *before.rows[column].to_pylist()[1:]])
    found = leaks(planted.write(tmp_path))
    assert set(found) == {"leakFutureFeature"}
    assert (found["leakFutureFeature"].columns, found["leakFutureFeature"].rows) == (features, 1)


def test_subscribers_marked_as_read_later_are_noted_and_used(tmp_path, drawn):
    marked = early(drawn).replace("subscribers_known_at", [LATER] * drawn.rows.num_rows)
    dataset = marked.replace("subscribers_after", [True] * drawn.rows.num_rows).write(tmp_path)
    assert {f.reason for f in require_clean(dataset)} == {"lifetimeLabel", "subscribersAfter"}


def test_a_feature_of_unknown_time_is_seen(tmp_path, drawn):
    rows = drawn.rows.num_rows
    found = leaks(drawn.replace("subscribers_known_at", [None] * rows).write(tmp_path))
    assert set(found) == {"leakUnknownTime"}


def test_a_prediction_of_what_was_over_is_seen(tmp_path, drawn):
    week = drawn.replace("label_kind", ["week"] * drawn.rows.num_rows)
    assert set(leaks(week.write(tmp_path))) == {"leakPredictedAfterLabel"}


def test_rows_from_after_the_datasets_moment_are_seen(tmp_path, drawn):
    times = drawn.rows["captured_at"].to_pylist()
    late = drawn.replace("captured_at", [AS_OF + timedelta(hours=1), *times[1:]])
    assert set(leaks(late.write(tmp_path))) == {"leakAfterAsOf"}


def test_a_channel_on_both_sides_of_a_fold_is_seen(tmp_path, drawn):
    dataset = drawn.write(tmp_path)
    split = [f"{group}{row % 2}" for row, group in enumerate(dataset.strings("split_group"))]
    assert set(leaks(table_with(dataset, "split_group", split))) == {"leakSharedChannel"}
    folds = np.arange(len(dataset)) % 4
    assert leaks(dataset, folds=folds)["leakSharedChannel"].rows == len(dataset)


def test_one_picture_on_both_sides_of_a_fold_is_seen(tmp_path, drawn):
    pictures = drawn.rows["thumbnail_sha256"].to_pylist()
    pictures[-1] = pictures[0]
    dataset = drawn.replace("thumbnail_sha256", pictures).write(tmp_path)
    assert leaks(dataset) == {}
    apart = table_with(dataset, "split_group", dataset.strings("channel_id"))
    assert leaks(apart)["leakSharedPicture"].rows == 2
    unknown = table_with(apart, "duplicate_group", dataset.strings("video_id"))
    assert leaks(unknown)["leakSharedPicture"].rows == 2


def test_nearly_the_same_picture_counts_as_the_same(tmp_path, drawn):
    hashes = [int(h) for h in np.random.default_rng(1).integers(0, 1 << 63, drawn.rows.num_rows)]
    hashes[-1] = hashes[0] ^ 0b101
    dataset = drawn.replace("perceptual_hash", hashes).write(tmp_path)
    assert len(set(dataset.strings("split_group"))) == 39
    apart = table_with(dataset, "split_group", dataset.strings("channel_id"))
    assert set(leaks(apart)) == {"leakSharedPicture"}


def test_views_hidden_in_a_feature_are_seen(tmp_path, drawn):
    dataset = drawn.write(tmp_path)
    rng = np.random.default_rng(2)
    views, subscribers = dataset.numbers("view_count"), dataset.subscriber_count
    likes = np.round(views * rng.uniform(0.01, 0.08, len(views)))
    planted = {
        "like_ratio": likes / views,
        "views_per_like": views / np.maximum(likes, 1),
        "views_per_subscriber": views / subscribers,
        "likes": likes,
        "first_day": np.round(dataset.log10_views_per_day + rng.normal(0, 0.1, len(views)), 2),
    }
    for name, values in planted.items():
        found = leaks(dataset, features={name: values})
        assert found["leakViewsInFeature"].columns == (name,), name


@pytest.mark.parametrize("column", ["earlier_log_views_per_day", "duration_s"])
def test_views_in_a_column_of_the_dataset_are_seen(tmp_path, drawn, column):
    views = drawn.rows["views_per_day"].to_numpy()
    values = (
        np.log10(views + 1).tolist() if column.startswith("earlier") else [int(v) for v in views]
    )
    planted = drawn.replace(column, values).replace(
        "history_known_at", drawn.rows["predicted_at"].to_pylist()
    )
    found = leaks(planted.write(tmp_path))
    assert found["leakViewsInFeature"].columns == (column,)


def test_thumbnails_of_several_sizes_are_seen(tmp_path, drawn):
    widths = drawn.rows["thumbnail_width"].to_pylist()
    found = leaks(drawn.replace("thumbnail_width", [480, *widths[1:]]).write(tmp_path))
    assert set(found) == {"leakThumbnailSize"}
    assert found["leakThumbnailSize"].rows == 1


def test_bars_that_tell_the_classes_apart_are_seen(tmp_path, drawn):
    views = np.array(drawn.rows["views_per_day"].to_pylist())
    threshold = float(np.median(views))

    def barred(pixels, row):
        if views[row] >= threshold:
            pixels[:22] = pixels[-22:] = 0
        return pixels

    found = leaks(with_images(drawn, barred).write(tmp_path, threshold=threshold))
    assert set(found) == {"leakThumbnailBars"}


def test_bars_are_measured_from_the_edges():
    image = np.full((90, 160, 3), 200, np.uint8)
    assert bar_share(image) == 0
    image[:9] = image[-9:] = 10
    assert bar_share(image) == pytest.approx(0.2)
    assert bar_share(np.zeros((90, 160, 3), np.uint8)) == 1
    image = np.full((90, 160, 3), 200, np.uint8)
    image[40:50] = 0
    assert bar_share(image) == 0


def test_a_leaking_dataset_is_refused_by_the_name_of_its_leak(tmp_path, drawn):
    dataset = drawn.replace("thumbnail_width", [480, *[320] * (drawn.rows.num_rows - 1)])
    with pytest.raises(LearningError, match="several sizes") as caught:
        require_clean(dataset.write(tmp_path))
    assert caught.value.reason == "leakThumbnailSize"
