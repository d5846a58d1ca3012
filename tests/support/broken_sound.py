"""Sound files broken at random, and both doors that they are tried by."""

import faulthandler
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ml.speech.models.base import SpeechPredictions
from services.errors import PermanentError
from services.learning.speech.detection import ClassifiedFile, detect_language
from services.media.audio.processing import prepared
from tests.support import odd_sound, sound

LONGEST_S = 20.0
"""A file of two seconds that takes longer hangs."""
EXTREMES = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f",
            b"\x80\0\0\0", b"\0\0\0\x01", b"\x01\0\0\0")  # fmt: skip


@dataclass(frozen=True)
class Undecided:
    """A classifier that is sure of nothing, so that trying takes no time."""

    def predict(self, waveforms):
        assert all(np.isfinite(waveform).all() for waveform in waveforms)
        count = len(waveforms)
        return SpeechPredictions(np.full((count, 2), 0.5), np.ones(count), np.zeros((count, 1)))


def whole_files(folder: Path) -> list[tuple[str, bytes]]:
    """Return two seconds of speech in each of the usual formats, by suffix."""
    folder.mkdir()
    speech = sound.voiced(2)
    encoded = (("wav", "adpcm_ms"), ("mp3", "libmp3lame"), ("ogg", "libopus"), ("m4a", "aac"),
               ("webm", "libopus"), ("flac", "flac"), ("aiff", "pcm_s16be"))  # fmt: skip
    paths = [
        sound.write_wav(folder / "pcm.wav", speech),
        odd_sound.float_wav(folder / "float.wav", speech),
        odd_sound.with_tracks(folder / "tracks.mkv", [sound.silence(1), speech]),
        odd_sound.with_stray_mp3_tag(folder / "tag.mp3", speech),
        *(sound.encode(folder / f"{codec}.{suffix}", speech, codec) for suffix, codec in encoded),
    ]
    return [(path.suffix, path.read_bytes()) for path in paths]


def broken(data: bytes, random: np.random.Generator) -> bytes:
    """Return the file with one to four things wrong, its head as likely as all the rest."""
    found = bytearray(data)
    for _ in range(random.integers(1, 5)):
        size = len(found)
        if size < 64:
            break
        at = int(random.integers(0, min(size, 512) if random.random() < 0.5 else size))
        length = int(2 ** random.uniform(0, np.log2(size)))
        match random.integers(0, 7):
            case 0:
                found[at] ^= 1 << int(random.integers(0, 8))
            case 1:
                found[at : at + 4] = EXTREMES[random.integers(0, len(EXTREMES))]
            case 2:
                found[at : at + length] = random.bytes(length)
            case 3:
                del found[max(at, 32) :]
            case 4:
                del found[at : at + length]
            case 5:
                found[at:at] = found[at : at + length]
            case _:
                found[at : at + length] = bytes(length)
    return bytes(found)


def try_for(seconds: float, *, seed: int) -> tuple[int, int, dict[str, int]]:
    """Try broken files by both doors, the command's and the crawl's.

    Returns:
        How many, how many of them got an answer, and the reasons of the others.
    """
    random = np.random.default_rng(seed)
    answered, reasons = 0, {}
    until = time.monotonic() + seconds
    with tempfile.TemporaryDirectory(prefix="broken-sound-") as made:
        folder = Path(made)
        whole = whole_files(folder / "whole")
        tried = 0
        while time.monotonic() < until:
            suffix, data = whole[tried % len(whole)]
            path = folder / f"x{suffix}"
            path.write_bytes(broken(data, random))
            tried += 1
            # Native code does not return to be interrupted; this ends the process.
            faulthandler.dump_traceback_later(LONGEST_S, exit=True)
            found = detect_language(path, Undecided())
            if isinstance(found, ClassifiedFile):
                answered += 1
                assert np.isfinite(found.seconds)
            else:
                reasons[found.reason] = reasons.get(found.reason, 0) + 1
            with suppress(PermanentError):
                prepared(path, folder, seconds_wanted=10, is_whole=bool(tried % 2))
            faulthandler.cancel_dump_traceback_later()
    return tried, answered, reasons
