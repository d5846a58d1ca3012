import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.audio import AudioError, decoded, probe
from tests.support import sound

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
    return sound.write_wav(tmp_path_factory.mktemp("audio") / "speech.wav", sound.voiced(5))


@pytest.mark.parametrize(("suffix", "codec", "rate"), CODECS)
def test_every_codec_becomes_16_khz_mono_of_the_same_length_and_level(
    suffix, codec, rate, tmp_path
):
    path = sound.encode(tmp_path / f"x.{suffix}", sound.voiced(4, rate=rate), codec, rate=rate)
    samples = everything(path)
    original = sound.voiced(4)
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
    path = sound.encode(
        tmp_path / f"x.{suffix}", sound.voiced(3, rate=rate), codec, rate=rate, video=True
    )
    assert probe(path).has_video
    assert len(everything(path)) / 16_000 == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("channels", [2, 5, 6, 7, 8, 12])
def test_channels_are_mixed_down_without_overdriving(channels, tmp_path):
    path = sound.write_wav(
        tmp_path / "x.wav", 0.9 * np.sin(np.arange(48_000) / 20), rate=48_000, channels=channels
    )
    assert probe(path).channels == channels
    assert 0.4 < np.abs(everything(path)).max() <= 1


def test_192_khz_with_8_channels(tmp_path):
    path = sound.write_wav(
        tmp_path / "x.wav", sound.noise(2, rate=192_000), rate=192_000, channels=8
    )
    assert len(everything(path)) == 32_000


def test_a_wrong_extension_does_not_matter(tmp_path):
    path = sound.encode(tmp_path / "x.mp3", sound.voiced(2), "libmp3lame")
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
    path = sound.encode(tmp_path / "x.mp3", sound.voiced(6, rate=44_100), "libmp3lame", rate=44_100)
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
    speech = sound.voiced(6)
    mp4 = sound.encode(folder / "whole.m4a", speech, "aac").read_bytes()
    fast = sound.encode(
        folder / "fast.m4a", speech, "aac", container="mp4", options={"movflags": "faststart"}
    ).read_bytes()
    webm = sound.encode(folder / "whole.webm", speech, "libopus").read_bytes()
    flac = sound.encode(folder / "whole.flac", speech, "flac").read_bytes()
    mp3 = sound.encode(folder / "whole.mp3", speech, "libmp3lame").read_bytes()
    wav = sound.write_wav(folder / "whole.wav", speech).read_bytes()
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
    found, expected = {}, {}
    for name, data, reason in broken_files(tmp_path):
        path = tmp_path / name
        path.write_bytes(data)
        expected[name] = reason
        try:
            everything(path)
            found[name] = "fine"
        except AudioError as error:
            found[name] = error.reason
    assert found == expected


def damaged(path, codec, first, last):
    """Twenty seconds of speech whose bytes between two shares of the file are noise."""
    sound.encode(path, sound.voiced(20, rate=48_000), codec, rate=48_000)
    data = bytearray(path.read_bytes())
    start, end = int(first * len(data)), int(last * len(data))
    data[start:end] = np.random.default_rng(0).bytes(end - start)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("suffix", "codec"), [("mp3", "libmp3lame"), ("webm", "libopus")])
def test_of_a_file_damaged_in_the_middle_the_rest_is_kept(suffix, codec, tmp_path):
    path = damaged(tmp_path / f"x.{suffix}", codec, 0.4, 0.5)
    decoding = decoded(path)
    seconds = sum(map(len, decoding)) / 16_000
    assert 12 < seconds < 20.5
    # What is missing is told by the packets' times, or by the header where they are only counted.
    missing = max(decoding.missing_s, decoding.facts.duration_s - seconds)
    assert seconds + missing == pytest.approx(20, abs=0.5)
    assert decoding.decoded_s == seconds


@pytest.mark.parametrize(("suffix", "codec"), [("flac", "flac"), ("webm", "libopus")])
def test_of_a_file_mostly_damaged_nothing_is_kept(suffix, codec, tmp_path):
    path = damaged(tmp_path / f"x.{suffix}", codec, 0.1, 0.95)
    with pytest.raises(AudioError) as raised:
        list(decoded(path))
    assert raised.value.reason in {"corrupt", "truncated"}


def test_a_file_that_is_missing_or_a_folder_is_said_to_be(tmp_path):
    for path, reason in ((tmp_path / "none.mp3", "notFound"), (tmp_path, "notReadable")):
        with pytest.raises(AudioError) as raised:
            probe(path)
        assert raised.value.reason == reason


@pytest.mark.parametrize("suffix", ["mp4", "webm"])
def test_a_video_without_sound_is_said_to_be(suffix, tmp_path):
    path = sound.encode(tmp_path / f"x.{suffix}", None, None)
    with pytest.raises(AudioError) as raised:
        probe(path)
    assert raised.value.reason == "noAudio"


def test_too_many_channels_are_refused(tmp_path):
    path = sound.write_wav(tmp_path / "x.wav", sound.noise(0.1), channels=20)
    with pytest.raises(AudioError) as raised:
        probe(path)
    assert raised.value.reason == "tooManyChannels"


def test_what_says_to_be_too_long_is_refused_before_decoding(speech_wav):
    with pytest.raises(AudioError) as raised:
        decoded(speech_wav, longest_s=4)
    assert raised.value.reason == "tooLong"


def test_what_turns_out_to_be_too_long_is_refused_on_the_way(tmp_path):
    flac = sound.encode(tmp_path / "x.flac", sound.voiced(30), "flac")
    head = bytearray(flac.read_bytes())
    head[21] &= 0xF0
    head[22:26] = bytes(4)  # no count of samples
    flac.write_bytes(head)
    assert probe(flac).duration_s is None
    decoding = decoded(flac, longest_s=20, block_s=1)
    with pytest.raises(AudioError) as raised:
        list(decoding)
    assert raised.value.reason == "tooLong"
    assert decoding.decoded_s < 22
