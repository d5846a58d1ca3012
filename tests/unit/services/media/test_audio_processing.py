"""What becomes of a file that was fetched: compact original and segments, or a reason."""

import numpy as np
import pytest

from services.errors import PermanentError
from services.media.audio.processing import prepared
from tests.support import sound

PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n"


def make_bad(folder, kind):
    path = folder / "fetched.wav"
    whole = sound.write_wav(folder / "whole.wav", sound.voiced(6)).read_bytes()
    match kind:
        case "directory":
            path.mkdir()
        case "loop":
            path.symlink_to(path.name)
        case "zero":
            sound.write_wav(path, np.zeros(0))
        case "video":
            sound.encode(folder / "fetched.mp4", None, None).rename(path)
        case _:
            path.write_bytes(
                {
                    "empty": b"",
                    "garbage": b"\x93\x12garbage" * 900,
                    "wave head": b"RIFF\x93\x12\x00\x00WAVEfmt " + b"\x93\x12" * 900,
                    "mp4 head": b"\0\0\0\x1cftypM4P " + b"\x93\x12" * 900,
                    "cut off": whole[: len(whole) // 4],
                    "address": PLAYLIST.format("http://127.0.0.1:9/x.ts").encode(),
                    "file": PLAYLIST.format(folder / "whole.wav").encode(),
                    "concat": b"ffconcat version 1.0\nfile whole.wav\n",
                }[kind]
            )
    return path


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("directory", "notReadable"),
        ("loop", "notReadable"),
        ("zero", "zeroSeconds"),
        ("video", "noAudio"),
        ("empty", "empty"),
        ("garbage", "notAudio"),
        ("wave head", "notAudio"),
        ("mp4 head", "truncated"),
        ("cut off", "truncated"),
        ("address", "notAudio"),
        ("file", "notAudio"),
        ("concat", "notAudio"),
    ],
)
@pytest.mark.parametrize("is_whole", [True, False])
def test_what_cannot_be_used_has_a_reason_whether_all_of_it_came_or_not(
    tmp_path, kind, reason, is_whole
):
    path = make_bad(tmp_path, kind)
    if kind == "cut off" and not is_whole:
        made = prepared(path, tmp_path, seconds_wanted=20, is_whole=False)
        assert made.duration_s == pytest.approx(1.5, abs=0.1)
        return
    with pytest.raises(PermanentError) as caught:
        prepared(path, tmp_path, seconds_wanted=20, is_whole=is_whole)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("name", "rate", "channels"),
    [("eight.wav", 16_000, 8), ("fast.wav", 192_000, 1), ("名前 %03d 🎵.txt", 16_000, 1)],
)
def test_what_is_merely_unusual_is_cut(tmp_path, name, rate, channels):
    path = sound.write_wav(
        tmp_path / name, sound.voiced(8, rate=rate), rate=rate, channels=channels
    )
    made = prepared(path, tmp_path, seconds_wanted=20, is_whole=True)
    assert made.duration_s == pytest.approx(8, abs=0.05)
    assert made.segments
    assert len(made.flacs) == len(made.segments)
