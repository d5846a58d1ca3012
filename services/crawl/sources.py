"""Lists of channels as people keep them: plain lines, CSV, and OPML of subscription managers.

The format is recognised by content. Whatever a file holds, what comes of it is names with their
line numbers, or one ``UsageError`` about the file as a whole.
"""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.sax import SAXException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl, Locator

import defusedxml.sax
from defusedxml.common import DefusedXmlException

from services.errors import UsageError
from services.youtube.identifiers import channel_in_feed

LARGEST_FILE = 10_000_000
"""Bytes: some hundred thousand channels."""
_COLUMNS = ("channel_id", "channel", "channel_url", "url", "handle")
"""Headers of the column that names a channel, the best first."""
_DELIMITERS = ",;\t"


@dataclass(frozen=True)
class NamedChannel:
    """What a line says; ``line`` counts from 1."""

    line: int
    text: str


def read_channels(content: bytes, name: str) -> list[NamedChannel]:
    """Return the channels that a file names, in its order, duplicates and nonsense included.

    Args:
        content: The whole file; at most ``LARGEST_FILE`` bytes.
        name: What to call the file in an error.

    Raises:
        UsageError: It is too large, no text, or no XML although it begins like it.
    """
    if len(content) > LARGEST_FILE:
        raise _unusable(name, f"it is larger than {LARGEST_FILE // 1_000_000} MB")
    text = _decoded(content, name)
    if text.lstrip().startswith("<"):
        return _from_opml(text, name)
    delimiter = _delimiter(text)
    if delimiter is not None:
        return _from_csv(text, delimiter, name)
    return list(_from_lines(text))


def _decoded(content: bytes, name: str) -> str:
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        raise _unusable(name, "it is not text in UTF-8") from None
    if "\x00" in text:
        raise _unusable(name, "it holds NUL characters, so it is no text")
    return text


def _from_lines(text: str) -> Iterator[NamedChannel]:
    # Not splitlines: an editor counts lines by line feeds alone.
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text), start=1):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            yield NamedChannel(number, stripped)


def _delimiter(text: str) -> str | None:
    """Return what separates the cells of a table; None if the text is no table."""
    first = next(_from_lines(text), None)
    if first is None:
        return None
    found = max(_DELIMITERS, key=first.text.count)
    if found in first.text:
        return found
    # A table of one column is told by its header.
    return "," if _column([first.text]) is not None else None


def _from_csv(text: str, delimiter: str, name: str) -> list[NamedChannel]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    found: list[NamedChannel] = []
    column: int | None = None
    try:
        for row in reader:
            if not any(cell.strip() for cell in row) or row[0].lstrip().startswith("#"):
                continue
            if column is None:
                column = _column(row)
                if column is not None:
                    continue
                column = 0
            cell = row[column].strip() if column < len(row) else ""
            found.append(NamedChannel(reader.line_num, cell))
    except csv.Error as error:
        raise _unusable(name, f"line {reader.line_num} is no CSV ({error})") from None
    return found


def _column(row: list[str]) -> int | None:
    """Return which column a header says holds channels; None if the row is no header."""
    names = [re.sub(r"\W+", "_", cell.strip().lower()) for cell in row]
    return next((names.index(wanted) for wanted in _COLUMNS if wanted in names), None)


def _from_opml(text: str, name: str) -> list[NamedChannel]:
    reader = _OpmlReader()
    try:
        defusedxml.sax.parseString(text.encode(), reader, forbid_dtd=False)
    except DefusedXmlException:
        raise _unusable(name, "its XML defines entities, which no list of channels needs") from None
    except (SAXException, ValueError, RecursionError) as error:
        raise _unusable(name, f"it begins like XML and is none ({error})") from None
    return reader.found


class _OpmlReader(ContentHandler):
    """Collects the outlines of an OPML that have an address."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[NamedChannel] = []
        self._locator: Locator | None = None

    def setDocumentLocator(self, locator: Locator) -> None:  # noqa: N802  (SAX's name)
        self._locator = locator

    def startElement(self, name: str, attrs: AttributesImpl) -> None:  # noqa: N802
        values = {key.lower(): str(value) for key, value in attrs.items()}
        address = values.get("xmlurl") or values.get("htmlurl") or values.get("url")
        if name.lower() == "outline" and address:
            line = (self._locator.getLineNumber() if self._locator else None) or 1
            self.found.append(NamedChannel(line, channel_in_feed(address)))


def _unusable(name: str, why: str) -> UsageError:
    return UsageError(
        f"{name} cannot be used: {why}",
        reason="unreadableFile",
        hint="give one channel a line, a CSV with a channel column, or OPML",
    )
