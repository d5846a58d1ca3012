"""Which segments a dataset of speech is of, and its id, made while they are read."""

import hashlib
import json
from collections import Counter
from dataclasses import asdict, replace

import pytest

from db.queries.speech.languages import LabelledSegment
from services.learning.sampling import Sample
from services.learning.speech import datasets
from services.learning.speech.datasets import Request

SEGMENT = LabelledSegment(
    segment_id=1,
    clip_id=1,
    video_id="v1",
    speaker="UC1",
    audio_sha256="a" * 64,
    flac_sha256="0" * 64,
    start_s=0.1,
    length_s=2.5,
    speech_share=0.9,
    level_dbfs=-20.25,
    snr_db=None,
    clipped_share=0.0,
    codec="opus",
    language="en",
    label_source="hand",
    is_conflicting=False,
)


def segment(n, sound, **changes):
    sha256 = hashlib.sha256(str(sound).encode()).hexdigest()
    return replace(SEGMENT, segment_id=n, flac_sha256=sha256, **changes)


def chosen(segments):
    excluded: Counter[str] = Counter()
    sample = Sample(1_000, datasets.SCHEMA, channel="speaker")
    table = datasets._chosen(iter(segments), {"UC1": "group"}, Request(), sample, excluded)
    return table, dict(excluded)


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch):
    monkeypatch.setattr(datasets, "PAGE", 2)


def test_the_same_sound_is_learned_from_once_and_not_at_all_if_its_labels_differ():
    table, excluded = chosen(
        [
            segment(1, "a"),
            segment(2, "b"),
            segment(3, "a"),
            segment(4, "b", language="zh"),
            segment(5, "c", length_s=0.2),
            segment(6, "b"),
            segment(7, "d"),
        ]
    )
    assert table["segment_id"].to_pylist() == [1, 7]
    assert table["source"].to_pylist() == ["group", "group"]
    assert excluded == {"duplicate": 1, "conflictingLabel": 3, "tooShort": 1}


def test_nothing_to_learn_from_is_an_empty_table():
    assert chosen([])[0].num_rows == 0


def test_the_id_is_the_hash_of_one_json_object_as_it_always_was():
    table, _ = chosen([segment(n, n, snr_db=n / 7) for n in range(5)])
    described = {"task": "language", "request": asdict(Request()), "rows": table.to_pylist()}
    whole = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
    assert datasets._content_id(table, Request()) == whole
