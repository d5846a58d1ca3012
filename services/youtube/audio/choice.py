"""Which of the formats on offer is taken: the smallest that is good enough for speech."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

LEAST_KBPS = 40.0
"""Wide-band speech in Opus or AAC is transparent to recognisers from about here on."""

Format = Mapping[str, Any]

_PROTOCOLS = frozenset({"http", "https"})


def smallest_good(formats: Iterable[Format], *, least_kbps: float = LEAST_KBPS) -> Format | None:
    """Return the audio with the lowest bit rate that is not below ``least_kbps``.

    Where all are below, the best of them. Audio alone goes before video with sound, and the
    original track before others: a dubbed one speaks another language than the person does.
    Streams in fragments and encrypted ones are not taken.

    Args:
        formats: As yt-dlp lists them.
        least_kbps: The floor, in kbit/s.

    Returns:
        One of ``formats``, or None where none has sound.
    """
    fit = [f for f in formats if f.get("protocol") in _PROTOCOLS and _has_sound(f)]
    alone = [f for f in fit if f.get("vcodec") == "none"]
    fit = alone or fit
    if not fit:
        return None
    original = max(_preference(f) for f in fit)
    return min((f for f in fit if _preference(f) == original), key=lambda f: _cost(f, least_kbps))


def bit_rate(found: Format) -> float | None:
    """Return kbit/s, or None where nothing usable is said."""
    for name in ("abr", "tbr"):
        value = found.get(name)
        if isinstance(value, int | float) and math.isfinite(value) and value > 0:
            return float(value)
    return None


def _has_sound(found: Format) -> bool:
    # A codec that is not named may be one; that there is none is said with the word.
    return found.get("acodec") != "none" and not found.get("has_drm")


def _preference(found: Format) -> float:
    value = found.get("language_preference")
    return float(value) if isinstance(value, int | float) else -1.0


def _cost(found: Format, least_kbps: float) -> tuple[int, float, str]:
    rate = bit_rate(found)
    name = str(found.get("format_id"))
    if rate is None:
        return 2, 0.0, name
    return (0, rate, name) if rate >= least_kbps else (1, -rate, name)
