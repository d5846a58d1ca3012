"""Splits by speaker and source, and that a leak is refused."""

from dataclasses import replace

import numpy as np
import pytest

from ml.errors import LearningError
from ml.speech.data.manifest import Clip, Manifest, assert_disjoint, assert_sources_disjoint
from ml.speech.data.pairs import (
    all_pairs,
    covering_pairs,
    inner_split,
    pair_split,
    speaker_bilingual,
)
from ml.speech.evaluation.curve import curve_points, fewer_sources, thinned
from ml.speech.evaluation.protocol import source_splits, speaker_splits


def clip(language, source, speaker, number=0):
    name = f"{source}/{speaker}/{language}/{number}"
    return Clip(name, "", language, speaker, source, name, "wav", 3.0)


@pytest.fixture
def manifest():
    clips = [
        clip(language, f"{language}{source}", f"{language}{source}{speaker}", number)
        for language in ("en", "zh")
        for source in range(3 if language == "en" else 4)
        for speaker in range(2)
        for number in range(3)
    ]
    clips += [clip(language, "both", f"b{s}") for language in ("en", "zh") for s in range(6)]
    clips += [clip("en", "mixed", "m-en"), clip("zh", "mixed", "m-zh")]
    return Manifest(tuple(clips))


def reason_of(call, *arguments):
    with pytest.raises(LearningError) as refused:
        call(*arguments)
    return refused.value.reason


def test_every_pair_is_left_out_once_and_every_source_by_the_quick_form(manifest):
    assert speaker_bilingual(manifest) == ["both"]
    pairs = all_pairs(manifest)
    assert len(pairs) == len(set(pairs)) == 4 * 5
    for turn in range(3):
        quick = covering_pairs(manifest, turn=turn)
        assert len(quick) == 5
        assert {pair.en for pair in quick} == {pair.en for pair in pairs}
        assert {pair.zh for pair in quick} == {pair.zh for pair in pairs}
    assert not set(covering_pairs(manifest)) & set(covering_pairs(manifest, turn=1))


def test_no_split_shares_a_speaker_a_recording_or_a_source(manifest):
    for split in source_splits(manifest):
        assert_sources_disjoint(split.training, split.test)
        assert set(split.test.labels.tolist()) == {0, 1}


def test_the_other_language_of_a_source_left_out_is_in_neither_part(manifest):
    pair = next(pair for pair in all_pairs(manifest) if (pair.en, pair.zh) == ("mixed", "zh0"))
    training, test = pair_split(manifest, pair)
    assert "mixed/m-zh/zh/0" not in {c.clip_id for c in [*training, *test]}


def test_speakers_of_both_languages_are_held_out_by_speaker(manifest):
    splits = speaker_splits(manifest)
    tested = [c.speaker for split in splits for c in split.test if c.language == "en"]
    assert sorted(tested) == [f"b{s}" for s in range(6)]
    for split in splits:
        assert_disjoint(split.training, split.test)
        assert reason_of(assert_sources_disjoint, split.training, split.test) == "leakSource"


@pytest.mark.parametrize(
    ("field", "reason"), [("recording", "leakRecording"), ("speaker", "leakSpeaker")]
)
def test_a_leak_is_refused_by_its_kind(manifest, field, reason):
    training, test = pair_split(manifest, all_pairs(manifest)[0])
    stolen = replace(training.clips[0], **{field: getattr(test.clips[0], field)})
    leaking = Manifest((stolen, *training.clips[1:]))
    assert reason_of(assert_disjoint, leaking, test) == reason
    assert reason_of(assert_disjoint, test, test) == "leakClip"


def test_the_inner_split_stays_inside_the_training_part(manifest):
    rows, held_out = inner_split(manifest, seed=3)
    assert not set(rows) & set(held_out)
    assert_sources_disjoint(manifest.take(rows), manifest.take(held_out))
    assert inner_split(manifest.where(lambda c: c.source in {"en0", "zh0"}), seed=3) is None


def test_an_inner_split_that_left_too_few_clips_to_learn_from_is_none(manifest):
    four = manifest.where(lambda c: c.source in {"en0", "en1", "zh0", "zh1"})
    assert inner_split(four, seed=3) is not None
    few = {(c.source, c.speaker): c for c in four}.values()
    assert inner_split(Manifest(tuple(few)), seed=3) is None


def test_less_data_keeps_every_source_and_fewer_sources_keep_their_clips(manifest):
    less = thinned(manifest, share=0.4, seed=1)
    assert set(less.sources) == set(manifest.sources)
    assert len(less) < len(manifest)
    fewer = fewer_sources(manifest, count=2, seed=1)
    assert len({c.source for c in fewer if c.language == "en"}) == 2
    assert len({c.source for c in fewer if c.language == "zh"}) == 2


def test_learning_curves_leave_the_same_out_and_learn_from_less(manifest):
    splits = source_splits(manifest, quick=True)
    points = curve_points(splits)
    assert {point.kind for point in points} == {"clips", "sources"}
    names = [split.name for point in points for split in point.splits]
    assert len(set(names) | {split.name for split in splits}) == len(names) + len(splits)
    for point in points:
        for less, whole in zip(point.splits, splits, strict=True):
            assert less.test == whole.test
            assert set(less.training) < set(whole.training)


def test_refuses_a_clip_twice_and_other_languages(manifest):
    first = manifest.clips[0]
    assert reason_of(Manifest, (first, first)) == "duplicateClip"
    assert reason_of(Manifest, (replace(first, language="fr"),)) == "unknownLanguage"


def test_reads_an_index_and_says_what_is_wrong_with_one(tmp_path):
    index = tmp_path / "clips.csv"
    header = "clip_file,language,speaker_id,source,original_encoding,sample_rate,duration_s,licence"
    index.write_text(f"{header}\na/b.mp3,zh,anna,radio,mp3 64k,44100,3.5,CC0\n")
    read = Manifest.from_csv(index).clips[0]
    assert (read.path, read.language, read.speaker) == (str(tmp_path / "a/b.mp3"), "zh", "anna")
    assert (read.source, read.codec, read.seconds) == ("radio", "mp3 64k", 3.5)
    index.write_text("nothing\nhere\n")
    assert reason_of(Manifest.from_csv, index) == "manifestUnreadable"
    assert reason_of(Manifest.from_csv, tmp_path / "absent.csv") == "manifestUnreadable"


@pytest.mark.shared_data
def test_the_recorded_index_leaves_48_pairs_out(shared_data):
    manifest = Manifest.from_csv(shared_data / "speech" / "clips.csv")
    assert len(manifest) == 1133
    assert speaker_bilingual(manifest) == ["dspspeech20"]
    assert len(all_pairs(manifest)) == 48
    assert len(covering_pairs(manifest)) == 8
    assert np.bincount(manifest.labels).tolist() == [521, 612]
