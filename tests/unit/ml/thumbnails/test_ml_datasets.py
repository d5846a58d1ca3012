import subprocess
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from ml.errors import LearningError
from ml.thumbnails.data import dataset as dataset_module
from ml.thumbnails.data.dataset import read_dataset, write_dataset
from tests.support.learning import AS_OF, draw

DRAWN = draw(channels=3, videos=4)


def test_what_was_written_is_read_back(tmp_path):
    dataset = DRAWN.write(tmp_path, threshold=50.0)
    rows = DRAWN.rows.sort_by("video_id")
    assert dataset.table.select(rows.column_names).equals(rows)
    assert dataset.is_over.tolist() == [v >= 50 for v in rows["views_per_day"].to_pylist()]
    assert dict(dataset.thumbnails()) == DRAWN.images
    description = dataset.description
    assert (description.n_videos, description.n_channels) == (12, 3)
    assert description.base_rate == pytest.approx(dataset.is_over.mean())
    assert description.as_of == AS_OF


def test_the_same_rows_in_any_order_give_the_same_bytes(tmp_path):
    shuffled = DRAWN.rows.take(list(reversed(range(12))))
    for rows, folder in [(DRAWN.rows, "a"), (shuffled, "b")]:
        write_dataset(rows, DRAWN.images.__getitem__, tmp_path / folder, as_of=AS_OF)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == ["dataset.json", "manifest.parquet", "thumbnails-00000.tar"]
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_the_id_follows_rows_and_threshold_and_not_the_date(tmp_path):
    def identity(folder, **changes):
        arguments = {"rows": DRAWN.rows, "as_of": AS_OF, "threshold": 100.0} | changes
        files = write_dataset(
            arguments.pop("rows"), DRAWN.images.__getitem__, tmp_path / folder, **arguments
        )
        return files.description.id

    first = identity("first")
    assert identity("later", as_of=AS_OF + timedelta(days=1), params={"why": "night"}) == first
    assert identity("threshold", threshold=10.0) != first
    assert identity("fewer", rows=DRAWN.rows.slice(1)) != first


def test_pictures_are_read_in_any_order_by_many_at_once_and_not_held(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset_module, "SHARD_BYTES", 20_000)
    dataset = DRAWN.write(tmp_path, threshold=50.0)
    assert len([name for name in dataset.description.files if name.endswith(".tar")]) > 1
    wanted = [*sorted(DRAWN.images, reverse=True), *sorted(DRAWN.images)]
    with dataset.pictures() as pictures, ThreadPoolExecutor(4) as pool:
        assert list(pool.map(pictures.read, wanted)) == [DRAWN.images[name] for name in wanted]
        with pytest.raises(KeyError):
            pictures.read("0" * 64)


def test_an_image_shared_by_two_videos_is_stored_once(tmp_path):
    hashes = DRAWN.rows["thumbnail_sha256"].to_pylist()
    dataset = DRAWN.replace("thumbnail_sha256", [hashes[0]] * 12).write(tmp_path)
    assert dataset.description.n_thumbnails == 1
    with tarfile.open(tmp_path / "thumbnails-00000.tar") as tar:
        assert tar.getnames() == [f"{hashes[0]}.jpg"]


@pytest.mark.parametrize("name", ["manifest.parquet", "thumbnails-00000.tar"])
@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_a_damaged_file_is_named(tmp_path, name, damage):
    DRAWN.write(tmp_path)
    path = tmp_path / name
    data = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    else:
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    with pytest.raises(LearningError, match=name) as caught:
        read_dataset(tmp_path)
    assert caught.value.reason == "datasetUnusable"


def test_a_dataset_of_another_schema_says_what_to_do(tmp_path):
    DRAWN.write(tmp_path)
    path = tmp_path / "dataset.json"
    path.write_text(path.read_text().replace('"schema_version": 2', '"schema_version": 1'))
    with pytest.raises(LearningError, match=r"schema version 1.*train --force") as caught:
        read_dataset(tmp_path)
    assert caught.value.reason == "datasetVersion"


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"as_of": 3}'])
def test_a_broken_description_is_refused(tmp_path, text):
    DRAWN.write(tmp_path)
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(LearningError):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("views_per_day", float("nan")),
        ("age_days", float("inf")),
        ("view_count", -1),
        ("channel_id", None),
        ("video_id", "v000-001"),
    ],
)
def test_impossible_values_are_refused(tmp_path, column, value):
    values = DRAWN.rows[column].to_pylist()
    with pytest.raises(LearningError) as caught:
        DRAWN.replace(column, [value, *values[1:]]).write(tmp_path)
    assert caught.value.reason == "badRows"
    assert not list(tmp_path.iterdir())


def test_no_rows_are_refused(tmp_path):
    with pytest.raises(LearningError, match="at least one row"):
        write_dataset(DRAWN.rows.slice(0, 0), lambda _: b"", tmp_path, as_of=AS_OF)


def test_missing_columns_are_named(tmp_path):
    with pytest.raises(LearningError, match="age_days"):
        write_dataset(DRAWN.rows.drop_columns("age_days"), lambda _: b"", tmp_path, as_of=AS_OF)


def test_an_image_without_its_hash_is_refused(tmp_path):
    with pytest.raises(LearningError, match="does not have its hash") as caught:
        write_dataset(DRAWN.rows, lambda _: b"other", tmp_path, as_of=AS_OF)
    assert caught.value.reason == "thumbnailAltered"


def test_datasets_splits_and_metrics_do_without_torch():
    code = (
        "import sys, ml, ml.evaluation.metrics, ml.evaluation.bootstrap, ml.evaluation.splits;"
        "import ml.thumbnails.data.dataset, ml.thumbnails.models.registry, ml.images.decoding;"
        "import ml.thumbnails.models.tabular, ml.thumbnails.models.constant;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
