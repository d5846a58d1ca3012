"""Lists of channels as people keep and export them.

Plain lines, tables with any delimiter, OPML, pages of HTML (bookmarks, saved lists of YouTube),
JSON and lines of JSON (NewPipe, FreeTube, Invidious, Takeout): encoding, format and the column that
holds channels are recognised by content. Whatever a file holds, what comes of it is names with
their line numbers, or one ``UsageError`` about the file as a whole.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from xml.sax import SAXException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl, Locator

import defusedxml.sax
from defusedxml.common import DefusedXmlException

from services.crawl import pages, tables
from services.crawl.encodings import decoded
from services.errors import UsageError

LARGEST_FILE = 10_000_000
"""Bytes: some hundred thousand channels."""
_ENCODING = re.compile(r"""\A(<\?xml[^>]{0,200}?)\s+encoding\s*=\s*(?:"[^"]*"|'[^']*')""")
_BARE_AMPERSAND = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#\d{1,7}|#x[0-9a-fA-F]{1,6});)")
_NO_LISTS = {
    b"PK\3\4": "it is an archive (ZIP): unpack it and give the list that is in it",
    b"\x1f\x8b": "it is an archive (gzip): unpack it and give the list that is in it",
    b"SQLite format 3\0": "it is a database: have its program export the subscriptions",
    b"%PDF-": "it is a PDF: give the list as text",
}
"""What people export lists in, or beside them, by how it begins."""
_KEYS = ("channel_id", "channelId", "channelID", "url", "link", "handle", "id", "browseId")
"""Keys of JSON objects under which exports keep a channel, the best first."""


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
        UsageError: It is too large, no text, or no XML or JSON although it begins like it.
    """
    if len(content) > LARGEST_FILE:
        raise _unusable(name, f"it is larger than {LARGEST_FILE // 1_000_000} MB")
    if (
        kind := next((k for start, k in _NO_LISTS.items() if content.startswith(start)), None)
    ) is not None:
        raise _unusable(name, kind)
    try:
        text = decoded(pages.unpacked(content))
    except ValueError as error:
        raise _unusable(name, str(error)) from None
    start = text.lstrip("\ufeff \t\r\n")
    if pages.is_page(start):
        return _from_page(text, name)
    if re.match(r"<(?!https?:|@|UC)", start):
        return _from_opml(text, name)
    if re.match(r"\{|\[\s*[\[{\"\]]", start):
        return list(_from_json(text, name))
    try:
        return [NamedChannel(line, found) for line, found in tables.read(text)]
    except ValueError as error:
        raise _unusable(name, str(error)) from None


def _from_json(text: str, name: str) -> Iterator[NamedChannel]:
    try:
        whole = json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError) as error:
        yield from _from_json_lines(text, name, error)
        return
    # A document has no line numbers left: each name is looked for behind the one before.
    at, line = 0, 1
    for found in _walk(whole, name):
        place = text.find(found, at) if found else -1
        if place >= 0:
            line += text.count("\n", at, place)
            at = place
        yield NamedChannel(line, found)


def _from_json_lines(text: str, name: str, problem: Exception) -> Iterator[NamedChannel]:
    first = True
    for number, line in tables.numbered(text):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            if first:
                shown = str(problem).partition("\n")[0]
                raise _unusable(name, f"it begins like JSON and is none ({shown})") from None
            yield NamedChannel(number, line)
            continue
        first = False
        for found in _walk(value, name):
            yield NamedChannel(number, found)


def _walk(value: Any, name: str) -> Iterator[str]:
    """Yield what each entry of a document says of a channel.

    Raises:
        UsageError: It holds nothing that could be a list of channels.
    """
    known = value.get("subscriptions", value.get("channels")) if isinstance(value, dict) else None
    waiting = [known if isinstance(known, list | dict) else value]
    entries = 0
    while waiting:
        entry = waiting.pop()
        found = _channel_of(entry) if isinstance(entry, dict) else None
        if found is not None:
            entries += 1
            yield found
        elif isinstance(entry, dict) and (inner := _containers(entry)):
            waiting += reversed(inner)
        elif isinstance(entry, list):
            waiting += reversed(entry)
        elif entry != {}:
            entries += 1
            yield entry if isinstance(entry, str) else json.dumps(entry, ensure_ascii=False)[:200]
    if not entries and known is None:
        raise _unusable(name, "its JSON holds no channels")


def _containers(entry: dict[str, Any]) -> list[Any]:
    return [value for value in entry.values() if isinstance(value, list | dict)]


def _channel_of(entry: dict[str, Any]) -> str | None:
    """Return the channel that an object is about; None if it names none."""
    snippet = entry.get("snippet")
    if isinstance(snippet, dict) and isinstance(snippet.get("resourceId"), dict):
        entry = snippet["resourceId"]  # a subscription: its other ids are of who subscribed
    values = [entry[key] for key in _KEYS if isinstance(entry.get(key), str)]
    found = next((value for value in values if tables.holds_channel(value)), None)
    if found is None and values and not _containers(entry):
        return str(values[0])
    return found


def _from_page(text: str, name: str) -> list[NamedChannel]:
    found = [NamedChannel(line, address) for line, address in pages.linked_channels(text)]
    if not found:
        raise _unusable(name, "it is a page that links to no channel")
    return found


def _from_opml(text: str, name: str) -> list[NamedChannel]:
    start = text.lstrip("\ufeff \t\r\n")
    reader = _OpmlReader(before=text[: len(text) - len(start)].count("\n"))
    # It is decoded already; and people write “A & B” into XML by hand.
    plain = _BARE_AMPERSAND.sub("&amp;", _ENCODING.sub(r"\1", start))
    try:
        defusedxml.sax.parseString(plain.encode("utf-8", "replace"), reader, forbid_dtd=False)
    except DefusedXmlException:
        raise _unusable(name, "its XML defines entities, which no list of channels needs") from None
    except (SAXException, ValueError, LookupError, RecursionError) as error:
        raise _unusable(name, f"it begins like XML and is none ({error})") from None
    return reader.found


class _OpmlReader(ContentHandler):
    """Collects the outlines of an OPML that are subscriptions, not folders."""

    def __init__(self, before: int) -> None:
        super().__init__()
        self.found: list[NamedChannel] = []
        self._before = before
        self._locator: Locator | None = None

    def setDocumentLocator(self, locator: Locator) -> None:  # noqa: N802  (SAX's name)
        self._locator = locator

    def startElement(self, name: str, attrs: AttributesImpl) -> None:  # noqa: N802
        if name.lower().rpartition(":")[2] != "outline":
            return
        values = {key.lower(): str(value) for key, value in attrs.items()}
        addresses = [values[key] for key in ("xmlurl", "htmlurl", "url") if values.get(key)]
        if not addresses and values.get("type", "").lower() != "rss":
            return
        text = next(filter(tables.holds_channel, addresses), None)
        if text is None:
            text = addresses[0] if addresses else values.get("title") or values.get("text", "")
        line = (self._locator.getLineNumber() if self._locator else None) or 1
        self.found.append(NamedChannel(self._before + line, text))


def _unusable(name: str, why: str) -> UsageError:
    return UsageError(
        f"{name} cannot be used: {why}",
        reason="unreadableFile",
        hint="give one channel a line, a table with a column of channels, OPML, HTML or JSON",
    )
