"""What a file merely says of itself: tags are ignored, estimates are hints, what decodes counts."""

from pathlib import Path

import av
import numpy as np
import pytest

from ml.audio import AudioError, decoded, examine, probe
from tests.support import odd_sound, sound

CASES = Path(__file__).resolve().parents[4].parent / "shared" / "cases"
GIVEN = {
    "apev2-cover-400k.mp3": 8.0,
    "bad-utf8-id3v24.mp3": 8.0,
    "join-32k-then-128k.mp3": 18.0,
    "latin1-tag.wav": 8.0,
    "mp3-vbr-no-xing.mp3": 36.0,
    "wav-byterate-field-wrong.wav": 8.0,
    "wav-one-nan.wav": 8.0,
}


def seconds_of(path):
    return sum(map(len, decoded(path))) / 16_000


def refusal(path):
    with pytest.raises(AudioError) as raised:
        list(decoded(path))
    return raised.value


@pytest.mark.parametrize("xing", [True, False])
def test_joined_mp3s_of_different_rates_are_whole(tmp_path, xing):
    path = odd_sound.joined_mp3(
        tmp_path / "x.mp3", sound.voiced(4), sound.voiced(12, seed=1), xing=xing
    )
    assert probe(path).duration_s > 30
    assert seconds_of(path) == pytest.approx(16, abs=0.3)


def test_a_large_cover_behind_the_sound_is_no_sound_that_is_missing(tmp_path):
    path = odd_sound.with_cover_at_the_end(tmp_path / "x.mp3", sound.voiced(6))
    assert probe(path).duration_s > 20
    assert seconds_of(path) == pytest.approx(6, abs=0.1)


def test_a_byte_rate_that_is_wrong_makes_no_file_longer(tmp_path):
    path = odd_sound.with_wrong_byte_rate(tmp_path / "x.wav", sound.voiced(6))
    assert probe(path).duration_s == 6
    assert seconds_of(path) == 6


def test_times_may_begin_anywhere(tmp_path):
    path = sound.encode(
        tmp_path / "x.ts", sound.voiced(6), "aac", options={"output_ts_offset": "600"}
    )
    assert seconds_of(path) == pytest.approx(6, abs=0.2)


@pytest.mark.parametrize("make", [odd_sound.with_stray_wav_tag, odd_sound.with_stray_mp3_tag])
def test_a_tag_that_is_no_utf_8_is_ignored(tmp_path, make):
    path = make(tmp_path / "x", sound.voiced(6))
    assert seconds_of(path) == pytest.approx(6, abs=0.1)


@pytest.mark.parametrize(("suffix", "tail"), [("wav", 0.5), ("webm", 0.5), ("mp3", 0.5)])
def test_bytes_or_frames_that_a_file_counts_and_lacks_are_missed(tmp_path, suffix, tail):
    codec = {"wav": "adpcm_ms", "webm": "libopus", "mp3": "libmp3lame"}[suffix]
    path = sound.encode(tmp_path / f"x.{suffix}", sound.voiced(6), codec)
    assert seconds_of(path) == pytest.approx(6, abs=0.2)
    data = path.read_bytes()
    path.write_bytes(data[: round(len(data) * tail)])
    assert refusal(path).reason == "truncated"


@pytest.mark.parametrize("milliseconds", [25, 50])
def test_a_blink_of_sound_is_too_short(tmp_path, milliseconds):
    samples = sound.voiced(milliseconds / 1000, rate=44_100)
    path = sound.encode(tmp_path / "x.mp3", samples, "libmp3lame", rate=44_100)
    error = refusal(path)
    assert error.reason == "tooShort"
    assert f"{milliseconds} ms" in str(error)


def test_few_samples_that_are_no_numbers_are_silence_and_counted(tmp_path):
    speech = sound.voiced(6)
    whole = examine(odd_sound.float_wav(tmp_path / "whole.wav", speech))
    found = examine(odd_sound.with_holes(tmp_path / "x.wav", speech, holes=4))
    assert (whole.mended_samples, found.mended_samples) == (0, 4)
    assert np.isfinite(found.powers).all()
    assert found.speech_share == pytest.approx(whole.speech_share, abs=0.1)
    assert found.speech_share > 0.5


def test_a_file_of_many_samples_that_are_no_numbers_is_corrupt(tmp_path):
    error = refusal(odd_sound.with_holes(tmp_path / "x.wav", sound.voiced(6), holes=9_600))
    assert error.reason == "corrupt"
    assert "9600 of 96000 samples" in str(error)


@pytest.mark.parametrize("rate", [1, 8, 2_000_000_000])
def test_a_rate_that_no_sound_has_is_refused_at_once(tmp_path, rate):
    path = odd_sound.float_wav(tmp_path / "x.wav", sound.voiced(2), rate=rate)
    with pytest.raises(AudioError) as raised:
        probe(path)
    assert raised.value.reason == "notAudio"
    assert str(rate) in str(raised.value)


def test_a_codec_that_nobody_knows_is_said(tmp_path):
    path = sound.encode(tmp_path / "x.webm", sound.voiced(2), "libopus")
    path.write_bytes(path.read_bytes().replace(b"A_OPUS", b"A_NONE"))
    error = refusal(path)
    assert error.reason == "notAudio"


def test_what_a_library_raises_unforeseen_is_said_of_the_file(tmp_path, monkeypatch):
    path = sound.write_wav(tmp_path / "x.wav", sound.voiced(2))

    def fails(*_args, **_options):
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    with monkeypatch.context() as patched:
        patched.setattr(av.AudioResampler, "resample", fails, raising=False)
        patched.setattr("ml.audio.decoding.AudioResampler", lambda **_: fails())
        assert refusal(path).reason == "decoderFailed"
    monkeypatch.setattr(av, "open", fails)
    assert refusal(path).reason == "decoderFailed"


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not there")
@pytest.mark.parametrize("name", GIVEN)
def test_files_that_once_went_wrong_are_read_whole(name):
    assert seconds_of(CASES / name) == pytest.approx(GIVEN[name], abs=0.1)
    assert examine(CASES / name).mended_samples == (name == "wav-one-nan.wav")
