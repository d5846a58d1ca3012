"""The recorded real videos, imported and frozen."""

import pytest

from ml.thumbnails.data.leakage import check
from services.learning.thumbnails import datasets, selection
from services.transfer.importing import import_folder

pytestmark = pytest.mark.shared_data


def test_videos_seen_once_freeze_clean_and_say_what_their_label_is(context, shared_data, tmp_path):
    import_folder(context, shared_data / "youtube")
    frozen = datasets.freeze(context)
    dataset = datasets.fetch(context, frozen.dataset_id, tmp_path)
    assert frozen.excluded == {"noThumbnail": 125, "tooYoung": 15}
    assert len(dataset) == dataset.description.n_thumbnails == 745
    assert set(dataset.strings("label_kind")) == {"lifetime"}
    assert [(f.severity, f.reason) for f in check(dataset)] == [("note", "lifetimeLabel")]
    # No two of these channels show the same picture.
    assert dataset.strings("split_group") == dataset.strings("channel_id")
    assert not datasets.freeze(context).is_new


def test_growth_between_two_snapshots_is_another_label_than_the_lifetime_average(
    context, shared_data, tmp_path
):
    import_folder(context, shared_data / "youtube" / "snapshots")

    def frozen(label):
        request = selection.Request(label=label, pictures=False)
        found = datasets.freeze(context, request)
        return found, datasets.fetch(context, found.dataset_id, tmp_path / label)

    weekly, grown = frozen("week")
    assert weekly.excluded == {"noCountBefore": 3161}
    assert (len(grown), round(grown.description.base_rate, 2)) == (3928, 0.17)
    assert check(grown) == []
    assert not any(grown.table["subscribers_after"].to_pylist())
    _, average = frozen("lifetime")
    assert round(average.description.base_rate, 2) == 0.58
    assert {f.reason for f in check(average)} == {"lifetimeLabel", "mixedDefinitions"}
    # Asked for whatever there is, true growth is preferred.
    assert frozen("auto")[0].dataset_id == weekly.dataset_id
