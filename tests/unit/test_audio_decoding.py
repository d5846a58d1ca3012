import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.audio import AudioError, decoded, probe
from tests.support import audio

CODECS = [
    ("mp3", "libmp3lame", 44_100),
    ("opus", "libopus", 48_000),
    ("webm", "libopus", 48_000),
    ("m4a", "aac", 44_100),
    ("flac", "flac", 16_000),
    ("g722", "g722", 16_000),
    ("aiff", "pcm_s16be", 22_050),
]


def everything(path, **options):
    return np.concatenate([*decoded(path, **options), np.zeros(0, np.float32)])


@pytest.fixture(scope="module")
def speech_wav(tmp_path_factory):
    return audio.write_wav(tmp_path_factory.mktemp("audio") / "speech.wav", audio.voiced(5))


@pytest.mark.parametrize(("suffix", "codec", "rate"), CODECS)
def test_every_codec_becomes_16_khz_mono_of_the_same_length_and_level(
    suffix, codec, rate, tmp_path
):
    path = audio.encode(tmp_path / f"x.{suffix}", audio.voiced(4, rate=rate), codec, rate=rate)
    samples = everything(path)
    original = audio.voiced(4)
    assert samples.dtype == np.float32
    assert len(samples) / 16_000 == pytest.approx(4, abs=0.1)
    assert np.sqrt(np.mean(samples**2)) == pytest.approx(np.sqrt(np.mean(original**2)), rel=0.1)
    facts = probe(path)
    assert facts.sample_rate == rate
    assert facts.channels == 1
    assert not facts.has_video
    assert facts.duration_s == pytest.approx(4, abs=0.1)


@pytest.mark.parametrize(
    ("suffix", "codec", "rate"), [("mp4", "aac", 44_100), ("webm", "libopus", 48_000)]
)
def test_of_a_video_the_sound_is_read(suffix, codec, rate, tmp_path):
    path = audio.encode(
        tmp_path / f"x.{suffix}", audio.voiced(3, rate=rate), codec, rate=rate, video=True
    )
    assert probe(path).has_video
    assert len(everything(path)) / 16_000 == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("channels", [2, 5, 6, 7, 8, 12])
def test_channels_are_mixed_down_without_overdriving(channels, tmp_path):
    path = audio.write_wav(
        tmp_path / "x.wav", 0.9 * np.sin(np.arange(48_000) / 20), rate=48_000, channels=channels
    )
    assert probe(path).channels == channels
    assert 0.4 < np.abs(everything(path)).max() <= 1


def test_192_khz_with_8_channels(tmp_path):
    path = audio.write_wav(
        tmp_path / "x.wav", audio.noise(2, rate=192_000), rate=192_000, channels=8
    )
    assert len(everything(path)) == 32_000


def test_a_wrong_extension_does_not_matter(tmp_path):
    path = audio.encode(tmp_path / "x.mp3", audio.voiced(2), "libmp3lame")
    assert len(everything(path.rename(tmp_path / "x.wav"))) / 16_000 == pytest.approx(2, abs=0.1)


@given(start=st.integers(0, 5_500), length=st.integers(1, 4_000), block=st.integers(20, 3_000))
@settings(max_examples=40)
def test_a_shifted_start_gives_the_slice(start, length, block, speech_wav):
    found = everything(
        speech_wav, start_s=start / 1_000, seconds=length / 1_000, block_s=block / 1_000
    )
    whole = everything(speech_wav)
    assert np.array_equal(found, whole[start * 16 : (start + length) * 16])


def test_blocks_have_the_length_asked_for(speech_wav):
    assert [len(block) for block in decoded(speech_wav, block_s=2)] == [32_000, 32_000, 16_000]


def test_a_shifted_start_gives_the_slice_through_a_codec_and_a_resampler(tmp_path):
    path = audio.encode(tmp_path / "x.mp3", audio.voiced(6, rate=44_100), "libmp3lame", rate=44_100)
    found = everything(path, start_s=2.5, seconds=1.25)
    assert np.array_equal(found, everything(path)[40_000:60_000])


def test_a_start_past_the_end_gives_nothing(speech_wav):
    assert len(everything(speech_wav, start_s=60)) == 0


def test_opening_reads_nothing_but_the_head(speech_wav):
    decoding = decoded(speech_wav)
    assert decoding.facts.codec == "pcm_s16le"
    assert decoding.decoded_s == 0
    next(decoding)
    assert decoding.decoded_s > 0
    decoding.close()


def broken_files(folder):
    """Yield name, file and reason."""
    speech = audio.voiced(6)
    mp4 = audio.encode(folder / "whole.m4a", speech, "aac").read_bytes()
    fast = audio.encode(
        folder / "fast.m4a", speech, "aac", container="mp4", options={"movflags": "faststart"}
    ).read_bytes()
    webm = audio.encode(folder / "whole.webm", speech, "libopus").read_bytes()
    flac = audio.encode(folder / "whole.flac", speech, "flac").read_bytes()
    mp3 = audio.encode(folder / "whole.mp3", speech, "libmp3lame").read_bytes()
    wav = audio.write_wav(folder / "whole.wav", speech).read_bytes()
    head = bytearray(mp4)
    random = np.random.default_rng(0)
    start = head.index(b"mdat") + 4
    end = head.index(b"moov") - 4
    head[start:end] = random.bytes(end - start)
    page = b"<!doctype html><html><body>Sorry, something went wrong.</body></html>" * 20
    yield "empty.mp3", b"", "empty"
    yield "page.mp3", page, "notAudio"
    yield "page.m4a", page, "notAudio"
    yield "page.g722", page, "notAudio"
    yield "garbage.mp3", random.bytes(200_000), "notAudio"
    yield "garbage.webm", random.bytes(200_000), "notAudio"
    yield "encrypted.m4a", bytes(head), "notAudio"
    yield "no-samples.wav", wav[:44], "zeroSeconds"
    yield "cut.m4a", mp4[: len(mp4) // 2], "truncated"
    yield "cut-faststart.m4a", fast[: len(fast) // 2], "truncated"
    yield "cut.webm", webm[: len(webm) // 2], "truncated"
    yield "cut.flac", flac[: len(flac) // 2], "truncated"
    yield "cut.mp3", mp3[: len(mp3) // 3], "truncated"
    yield "cut.wav", wav[: len(wav) // 2], "truncated"


def test_each_broken_file_has_its_reason(tmp_path):
    found = {}
    for name, data, reason in broken_files(tmp_path):
        path = tmp_path / name
        path.write_bytes(data)
        try:
            everything(path)
            found[name] = ("fine", reason)
        except AudioError as error:
            found[name] = (error.reason, reason)
    assert {name: said for name, (said, _) in found.items()} == {
        name: expected for name, (_, expected) in found.items()
    }
