"""Numbers and names as people read them."""

import math
import unicodedata
from datetime import datetime

from ml.evaluation.bootstrap import Interval

_SPACE = "\N{NO-BREAK SPACE}"
_MINUS = "\N{MINUS SIGN}"
_UNDEFINED = "\N{EN DASH}"
_LONGEST_TITLE = 160
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UNITS = ((1e9, "billion"), (1e6, "million"))


def whole(number: int) -> str:
    """Return a count with thousands separated: 1,500."""
    return f"{number:,}"


def amount(number: float) -> str:
    """Return a quantity to three figures at most: 0.31, 4.2, 57, 12,300, 1.24 million."""
    for size, unit in _UNITS:
        if number >= size * 0.9995:
            return f"{_three_figures(number / size)}{_SPACE}{unit}"
    return _three_figures(number)


def share(fraction: float) -> str:
    """Return a fraction as a percentage without needless decimals: 48 %, 0.4 %; or a dash."""
    if not math.isfinite(fraction):
        return _UNDEFINED
    percent = 100 * fraction
    digits = 1 if 0 < percent < 1 or 99 < percent < 100 else 0  # noqa: PLR2004 - near the ends
    return f"{percent:.{digits}f}{_SPACE}%"


def decimal(number: float, digits: int = 3, *, signed: bool = False) -> str:
    """Return a figure such as an R² with a real minus sign; a dash where it is undefined."""
    if not math.isfinite(number):
        return _UNDEFINED
    text = f"{number:+.{digits}f}" if signed else f"{number:.{digits}f}"
    # What rounds to nothing has no sign.
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", _MINUS)


def limits(interval: Interval, digits: int = 3, *, signed: bool = False) -> str:
    """Return the ends of an interval: [0.004, 0.021]; empty where it is undefined."""
    if not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return ""
    ends = (decimal(end, digits, signed=signed) for end in (interval.low, interval.high))
    return f"[{', '.join(ends)}]"


def times(log10_ratio: float) -> str:
    """Return how many times larger one number is than another: 3.4 ×, 120 ×."""
    return f"{_three_figures(10 ** abs(log10_ratio), at_most=2)}{_SPACE}×"


def day(moment: datetime) -> str:
    """Return a date: 3 Jul 2026, whatever the machine's language."""
    return f"{moment.day}{_SPACE}{_MONTHS[moment.month - 1]}{_SPACE}{moment.year}"


def minute(moment: datetime) -> str:
    """Return a date with its time: 3 Jul 2026, 14:05 UTC."""
    return f"{day(moment)}, {moment:%H:%M} UTC"


def one_line(text: str | None, missing: str, *, longest: int = _LONGEST_TITLE) -> str:
    """Return somebody else's title as one bounded line without control characters.

    Bidirectional overrides go too: ``<bdi>`` isolates them, but inside it they would still show
    the title backwards.
    """
    if text is None:
        return missing
    kept = "".join(
        " " if unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} else c
        for c in text[: 4 * longest]
        if c not in _BIDIRECTIONAL
    )
    line = " ".join(kept.split())
    if len(line) > longest:
        line = line[: longest - 1].rstrip() + "…"
    return line or missing


_BIDIRECTIONAL = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def _three_figures(number: float, at_most: int = 3) -> str:
    if number == 0:
        return "0"
    exponent = math.floor(math.log10(number))
    # Small amounts need two figures, not three: 4.2 and 0.31 are as exact as anything here.
    figures = min(at_most, 3 if exponent >= 2 else 2)  # noqa: PLR2004 - from 100 on
    decimals = max(0, min(figures - 1 - exponent, 2))
    rounded = round(number, figures - 1 - exponent)
    text = f"{rounded:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if decimals else text
