"""The text of a file that anybody may have saved, whatever its encoding."""

import re

_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32"),
    (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
"""Byte order marks; those of UTF-32 before those they begin with."""
_DECLARED = re.compile(rb"""\A\s*<\?xml[^>]{0,200}?encoding\s*=\s*["']([\w.:-]{1,40})["']""")
_LOOKED_AT = 4096
_ENOUGH = 8
_UTF16_SHARE = 0.3
"""Of every other byte; a name in Latin letters has all of them zero."""
_NO_TEXT = re.compile("[\x00-\x08\x0e-\x19\x1b-\x1f]")


def decoded(content: bytes) -> str:
    """Return a file's text: by its mark, as UTF-8, as UTF-16 without one, or as Windows saves it.

    Raises:
        ValueError: It is no text; the message says why.
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            text = content.decode(encoding, "replace").removeprefix("\ufeff")
            break
    else:
        text = _without_mark(content)
    if "\x00" in text:
        raise ValueError("it holds NUL characters, so it is no text")
    return text


def _without_mark(content: bytes) -> str:
    start = content[:_LOOKED_AT]
    for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        half = start[first::2]
        if (
            len(half) >= _ENOUGH
            and half.count(0) > _UTF16_SHARE * len(half)
            and not start[1 - first :: 2].count(0)
        ):
            return content.decode(encoding, "replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        pass
    text = _declared(content) or _of_one_byte(content)
    if _NO_TEXT.search(text):
        raise ValueError("it is not text")
    return text


def _declared(content: bytes) -> str | None:
    found = _DECLARED.match(content)
    try:
        return content.decode(found[1].decode()) if found else None
    except (LookupError, UnicodeError):
        return None


def _of_one_byte(content: bytes) -> str:
    text = content.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    if sum(character > "\x7f" for character in text) > 2 * broken:
        return text  # UTF-8 with a few broken characters, whose lines are refused
    try:
        return content.decode("cp1252")
    except UnicodeDecodeError:
        return content.decode("latin-1")
