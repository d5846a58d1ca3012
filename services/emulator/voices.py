"""Speech-like sound in two languages, from espeak-ng in its wheel; a speaker for each channel.

Synthetic: it proves that audio is collected, cut and scored, and nothing about accuracy.
"""

import _ctypes
import ctypes
import hashlib
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.emulator.sentences import SENTENCES
from services.errors import UsageError

SAMPLE_RATE = 22_050
"""Samples a second, in Hz, of all its voices."""

_ACCENTS = {"en": ("en-us", "en-gb-scotland", "en-gb-x-rp"), "zh": ("cmn-latn-pinyin",)}
_VARIANTS = ("m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "f1", "f2", "f3", "f4", "f5")

# espeak-ng's own numbers, of its speak_lib.h.
_SYNCHRONOUS, _NEVER_EXIT, _OK = 2, 0x8000, 0
_RATE, _PITCH, _RANGE = 1, 3, 4
_UTF8, _FROM_CHARACTER = 1, 1


@dataclass(frozen=True, slots=True)
class Voice:
    """How a speaker sounds.

    Attributes:
        name: espeak-ng's voice and variant.
        pitch: Base pitch, 0 to 99; 50 is the variant's own.
        pitch_range: How lively, 0 to 99.
        words_per_minute: How fast.
    """

    name: str
    pitch: int
    pitch_range: int
    words_per_minute: int


def voice_of(speaker: str, language: str) -> Voice:
    """Return the voice of a speaker, named by any text; the same text, the same voice."""
    accent, variant, pitch, lively, speed = hashlib.sha256(f"voice {speaker}".encode()).digest()[:5]
    accents = _ACCENTS[language]
    return Voice(
        name=f"{accents[accent % len(accents)]}+{_VARIANTS[variant % len(_VARIANTS)]}",
        pitch=30 + pitch % 40,
        pitch_range=30 + lively % 45,
        words_per_minute=130 + speed % 60,
    )


def speak(what: str, voice: Voice, *, language: str, seconds: float) -> Generator[np.ndarray]:
    """Yield speech of exactly ``seconds``, sentence by sentence.

    Args:
        what: Any text; decides which sentences are said, and in which order.
        voice: Who says them.
        language: ``en`` or ``zh``.
        seconds: Length, > 0.

    Yields:
        Mono samples (int16, shape (n,)) at ``SAMPLE_RATE``, which together last ``seconds``.

    Raises:
        UsageError: espeak-ng is not installed.
    """
    with _espeak() as engine:
        missing = round(seconds * SAMPLE_RATE)
        for sentence in _sentences(what, language):
            if missing <= 0:
                return
            speech = engine.say(sentence, voice)[:missing]
            missing -= len(speech)
            yield speech


def _sentences(what: str, language: str) -> Iterator[str]:
    """Yield all sentences in an order of its own, again and again."""
    seed = int.from_bytes(hashlib.sha256(f"says {what}".encode()).digest()[:8])
    rng = np.random.default_rng(seed)
    while True:
        for index in rng.permutation(len(SENTENCES[language])):
            yield SENTENCES[language][index]


_ONE_AT_A_TIME = threading.Lock()


@contextmanager
def _espeak() -> Iterator["_Engine"]:
    """Load the library, and unload it afterwards.

    Its state is global, is used by one thread at a time, and keeps traces of what was said
    before: only a library just loaded says the same thing the same way, to the sample.
    """
    with _ONE_AT_A_TIME:
        engine = _Engine()
        try:
            yield engine
        finally:
            engine.unload()


class _Engine:
    """espeak-ng with its C interface, as far as it is needed."""

    def __init__(self) -> None:
        try:
            import espeakng_loader  # noqa: PLC0415 - an extra
        except ImportError:
            raise UsageError(
                "espeak-ng, which speaks in invented videos, is not installed.",
                hint="pip install 'tubegrader[emulator]'",
            ) from None
        self._blocks: list[np.ndarray] = []
        self._library = ctypes.CDLL(str(espeakng_loader.get_library_path()))
        data = str(espeakng_loader.get_data_path()).encode()
        rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, _NEVER_EXIT)
        if rate != SAMPLE_RATE:
            self.unload()
            raise UsageError(
                f"espeak-ng does not start as it should ({rate}).",
                hint="pip install --force-reinstall espeakng-loader",
            )
        # Kept: the library calls it for as long as it is loaded.
        self._callback = _CALLBACK(self._hear)
        self._library.espeak_SetSynthCallback(self._callback)

    def unload(self) -> None:
        """Let go of the library and all that it remembers."""
        self._library.espeak_Terminate()
        _ctypes.dlclose(self._library._handle)  # noqa: SLF001 - ctypes has no other way

    def say(self, sentence: str, voice: Voice) -> np.ndarray:
        """Return the samples of a sentence, with the pause after it."""
        library, text = self._library, sentence.encode()
        if library.espeak_SetVoiceByName(voice.name.encode()) != _OK:
            raise UsageError(f"espeak-ng has no voice {voice.name}.")
        library.espeak_SetParameter(_RATE, voice.words_per_minute, 0)
        library.espeak_SetParameter(_PITCH, voice.pitch, 0)
        library.espeak_SetParameter(_RANGE, voice.pitch_range, 0)
        self._blocks.clear()
        library.espeak_Synth(text, len(text) + 1, 0, _FROM_CHARACTER, 0, _UTF8, None, None)
        library.espeak_Synchronize()
        return np.concatenate(self._blocks)

    def _hear(self, samples: Any, count: int, _events: Any) -> int:
        if samples and count > 0:
            self._blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)
