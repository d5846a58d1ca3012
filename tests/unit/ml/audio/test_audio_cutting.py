import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.audio import (
    CutPolicy,
    cut,
    decoded,
    examine,
    flac,
    floats,
    is_silent,
    level_dbfs,
    pcm,
    read_flac,
    sliced,
)
from ml.errors import LearningError
from tests.support import sound

SHORT = CutPolicy(shortest_s=1, longest_s=4, seconds_wanted=None)


def recording(folder, *parts):
    return sound.write_wav(folder / "recording.wav", np.concatenate(parts))


def spoken(folder, seed=0, turns=6, floor=0.002):
    """Return a recording of several turns with pauses of different length, and some noise."""
    generator = np.random.default_rng(seed)
    parts = []
    for turn in range(turns):
        parts += [
            sound.silence(generator.uniform(0.2, 3)),
            sound.voiced(generator.uniform(0.5, 9), seed=seed * 100 + turn),
        ]
    samples = np.concatenate([*parts, sound.silence(1)])
    return recording(folder, samples + sound.noise(len(samples) / 16_000, level=floor))


@given(
    seed=st.integers(0, 5),
    shortest=st.floats(0.5, 3),
    longer=st.floats(2.2, 5),
    wanted=st.none() | st.floats(1, 30),
    gap=st.floats(0, 2),
    context=st.floats(0, 1),
)
@settings(max_examples=12)
def test_segments_keep_to_the_policy(
    seed, shortest, longer, wanted, gap, context, tmp_path_factory
):
    path = spoken(tmp_path_factory.mktemp("cut"), seed=seed, turns=3)
    policy = CutPolicy(
        shortest_s=shortest,
        longest_s=shortest * longer,
        seconds_wanted=wanted,
        joined_gap_s=gap,
        context_s=context,
    )
    found = list(cut(path, policy))
    whole = pcm(np.concatenate(list(decoded(path))))
    last = 0
    for one in found:
        start = round(one.segment.start_s * 16_000)
        assert start >= last
        last = start + len(one.samples)
        assert np.array_equal(one.samples, whole[start:last])
        assert one.segment.length_s == len(one.samples) / 16_000
        assert shortest - 0.032 <= one.segment.length_s <= policy.longest_s
        assert policy.least_speech_share <= one.segment.speech_share <= 1
    speech = sum(one.segment.speech_share * one.segment.length_s for one in found)
    assert wanted is None or speech <= wanted + 1e-6


def test_the_same_file_gives_the_same_segments_and_bytes(tmp_path):
    path = spoken(tmp_path)
    first, second = list(cut(path, SHORT)), list(cut(path, SHORT))
    assert len(first) >= 4
    assert [c.segment for c in first] == [c.segment for c in second]
    assert [flac(c.samples) for c in first] == [flac(c.samples) for c in second]


def test_long_speech_is_split_within_the_policy(tmp_path):
    path = recording(tmp_path, sound.silence(1), sound.voiced(40), sound.silence(1))
    lengths = [c.segment.length_s for c in cut(path, CutPolicy())]
    assert sum(lengths) > 37
    assert max(lengths) <= 15


def test_few_seconds_wanted_come_from_all_over_the_file(tmp_path):
    turns = [part for n in range(12) for part in (sound.voiced(4, seed=n), sound.silence(6))]
    path = recording(tmp_path, *turns)
    found = [c.segment for c in cut(path, CutPolicy(seconds_wanted=17))]
    assert 3 <= len(found) <= 5
    assert found[0].start_s < 30
    assert found[-1].start_s > 80
    assert np.diff([s.start_s for s in found]).max() < 60


def test_a_long_file_is_examined_in_stretches_all_over_it(tmp_path):
    path = recording(tmp_path, *[sound.voiced(4), sound.silence(1)] * 60)
    policy = CutPolicy(examined_s=60, stretch_s=15, seconds_wanted=None)
    activity = examine(path, policy)
    assert activity.examined.sum() == pytest.approx(60 / 0.032, rel=0.05)
    looked = np.flatnonzero(activity.examined) * 0.032
    assert looked[0] < 60
    assert looked[-1] > 240
    assert all(activity.examined[round((c.segment.start_s + 1) / 0.032)] for c in cut(path, policy))


@pytest.mark.parametrize(
    "made",
    [sound.silence(30), sound.noise(30), sound.chords(30)],
    ids=["silence", "noise", "music"],
)
def test_without_speech_there_is_nothing_to_cut(made, tmp_path):
    path = recording(tmp_path, made)
    assert list(cut(path)) == []
    assert examine(path).speech_share == 0


@pytest.mark.parametrize("snr_db", [0, 5, 10, 20, 30])
def test_the_estimated_snr_is_near_the_one_mixed(snr_db, tmp_path):
    speech = sound.voiced(8)
    level = np.sqrt(np.mean(speech**2)) / 10 ** (snr_db / 20)
    whole = np.concatenate([sound.silence(3), speech, sound.silence(3)])
    path = recording(tmp_path, whole + sound.noise(14, level=level))
    found = [c.segment.snr_db for c in cut(path, CutPolicy(least_speech_share=0.3))]
    assert found
    assert np.mean(found) == pytest.approx(snr_db, abs=2.5)


def test_without_any_pause_the_snr_is_unknown(tmp_path):
    path = recording(tmp_path, sound.voiced(6, seed=1))
    assert [c.segment.snr_db for c in cut(path)] == [None]


def test_clipping_is_counted(tmp_path):
    clean = recording(tmp_path, 0.9 * sound.voiced(5))
    assert {c.segment.clipped_share for c in cut(clean)} == {0.0}
    clipped = recording(tmp_path, np.clip(6 * sound.voiced(5), -1, 1))
    assert all(c.segment.clipped_share > 0.02 for c in cut(clipped))


def test_what_is_too_quiet_is_left_out(tmp_path):
    path = recording(tmp_path, 0.02 * sound.voiced(6))
    assert list(cut(path, CutPolicy(least_level_dbfs=-35))) == []


@given(st.integers(0, 2**32 - 1), st.integers(1, 20_000), st.sampled_from([1, 300, 32_767]))
@settings(max_examples=40)
def test_flac_is_lossless_and_the_same_each_time(seed, count, peak):
    generator = np.random.default_rng(seed)
    samples = generator.integers(-peak, peak + 1, count).astype(np.int16)
    encoded = flac(samples)
    assert np.array_equal(read_flac(encoded), samples)
    assert flac(samples) == encoded


def test_flac_carries_no_date_and_no_version_of_the_encoder():
    encoded = flac(pcm(sound.voiced(1).astype(np.float32)))
    assert b"Lav" not in encoded[:200]
    assert len(encoded) < 24_000


def test_damaged_flac_is_refused():
    encoded = flac(pcm(sound.voiced(3).astype(np.float32)))
    wrong_rate = b"RIFF" + encoded
    for data in (b"", encoded[:50], encoded[: len(encoded) // 2], wrong_rate, b"x" * 1_000):
        with pytest.raises(LearningError) as raised:
            read_flac(data)
        assert raised.value.reason == "segmentUnreadable"


def test_levels_are_those_of_the_field():
    tone = np.sin(np.arange(16_000) * 0.1).astype(np.float32)
    assert level_dbfs(pcm(tone)) == pytest.approx(-3.01, abs=0.02)
    assert level_dbfs(pcm(0.1 * tone)) == pytest.approx(-23.01, abs=0.02)
    assert level_dbfs(np.zeros(100, np.int16)) == -120
    assert is_silent(pcm(1e-4 * tone))
    assert not is_silent(pcm(0.01 * tone))


@given(st.integers(0, 3_000), st.integers(0, 3_000))
def test_slices_are_exact_to_the_sample(start, length):
    samples = np.arange(2_000, dtype=np.int16)
    assert np.array_equal(sliced(samples, start, start + length), samples[start : start + length])


def test_full_scale_survives_rounding_and_back():
    samples = np.array([-1.5, -1, -0.25, 0, 0.5, 1, 2], dtype=np.float32)
    assert np.allclose(floats(pcm(samples)), samples.clip(-1, 1), atol=1e-4)


def test_segments_named_by_their_bytes_differ_when_the_sound_differs(tmp_path):
    digests = [hashlib.sha256(flac(c.samples)).hexdigest() for c in cut(spoken(tmp_path), SHORT)]
    assert len(set(digests)) == len(digests)
