"""Names of schedules and lengths of time, as people type them."""

import re

from services.errors import UsageError

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_LENGTH = re.compile(r"([0-9]{1,9})(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
LONGEST_S = 10 * 366 * 86_400


def checked_name(name: str) -> str:
    """Return a name that a schedule may have.

    Raises:
        UsageError: It is none.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"“{name}” cannot name a schedule",
            hint="use lower-case letters, digits, dots and dashes, such as nightly-crawl",
        )
    return name


def parse_length(text: str) -> int:
    """Return the seconds of a length of time such as ``90s``, ``30m``, ``6h``, ``1d``, ``2w``.

    Raises:
        UsageError: It is none, or longer than ten years.
    """
    found = _LENGTH.fullmatch(text.strip().lower())
    seconds = int(found[1]) * _SECONDS[found[2]] if found else 0
    if not found or seconds > LONGEST_S:
        raise UsageError(
            f"“{text}” is no length of time", hint="use a number and s, m, h, d or w, such as 6h"
        )
    return seconds


def length_text(seconds: int) -> str:
    """Return a length of time as ``parse_length`` reads it, in its largest whole unit."""
    for unit, size in sorted(_SECONDS.items(), key=lambda entry: -entry[1]):
        if seconds % size == 0 and seconds:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
