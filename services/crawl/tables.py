"""Lines and tables of channels: delimiter, header and the column of channels, by what they hold."""

import csv
import io
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.errors import UsageError
from services.naming import LONGEST, parse_channel, undressed
from services.youtube.identifiers import ReferenceKind, is_channel_id
from services.youtube.identifiers import tidied as tidied_whole

_COLUMNS = ("channel_id", "channelid", "channel", "channel_url", "url", "link", "handle")
"""Headers of the column that names a channel, the best first; asked if no cell names one."""
_DELIMITERS = ",;\t|"
_SAMPLE = 200
"""Lines by which the delimiter and the column are chosen."""
_SEP = re.compile(r"sep=(.)", re.IGNORECASE)
"""Excel's first line, which says what separates the cells."""
_HEADER = re.compile(
    r"(?:.* )?(?:youtube|channels?|kanal\w*|kanaal|chaines?|canal\w*|channel\w*|urls?|links?|lien|"
    r"handles?|names?|nom|nome|nombre|titles?|titel|titulo|titre|ids?|address|adresse|канал\w*|"
    r"频道\w*|頻道\w*|チャンネル\w*|채널\w*)(?: .*)?",
)
_BROKEN = re.compile(r"[@＠﹫]|/|\byoutu|^UC.{6,}", re.IGNORECASE)
"""Text that was meant to name a channel."""
_COMMENT = re.compile(r"(\S+)\s+(?:#|//|--?\s|[–—(|←<]).*", re.DOTALL)
_MARKER = re.compile(r"(?:[-*+•·‣–—]|[0-9]{1,6}[.)])\s+")
"""In front of an entry of a list."""
_LONGEST_HEADER, _WORDS_OF_HEADER = 40, 3


def numbered(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that hold something, stripped, with their numbers from 1."""
    # Not splitlines: an editor counts lines by line feeds alone.
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text), start=1):
        stripped = line.strip("\ufeff \t\v\f\u00a0\u200b\x1a")
        if stripped:
            yield number, stripped


def holds_channel(cell: str) -> bool:
    """Tell whether a cell names a channel, be it with a comment."""
    return channel_in(cell) is not None


def channel_in(cell: str) -> str | None:
    """Return the channel that a cell names, without a comment beside it; None if it names none."""
    whole = undressed(tidied(cell))
    for entry in (whole, tidied(_MARKER.sub("", whole, count=1)) if _MARKER.match(whole) else None):
        if entry is None:
            continue
        if _names_channel(entry):
            return entry
        commented = _COMMENT.fullmatch(entry)
        if commented and _names_channel(commented[1]):
            return tidied(commented[1])
    # Among other words only an id or an address is surely meant: “@two words” is a mistake.
    for word in re.split(r"[\s()\[\]<>|]+", whole):
        bare = word.strip("\"'“”.,;:")
        if (is_channel_id(bare) or "/" in bare) and _names_channel(bare):
            return bare
    return None


def tidied(cell: str) -> str:
    """Return a cell without what came along unseen; of one that is too long for a name a part."""
    return tidied_whole(cell[:LONGEST])


def read(text: str) -> list[tuple[int, str]]:
    """Return line and name of what each line or row says; what names no channel as it is written.

    A line without a header above it may list several channels: each is returned with its number.
    Comments, empty lines and a header are left out.

    Raises:
        ValueError: A cell is too large for a table.
    """
    lines = list(numbered(text))
    delimiter = None
    if lines and (said := _SEP.fullmatch(lines[0][1].strip('"')) or lines[0][1].lower() == "sep="):
        delimiter = said[1] if isinstance(said, re.Match) else "\t"
        skipped = lines.pop(0)[0]
    else:
        skipped = 0
    sample = [line for _, line in lines if not line.startswith("#")][:_SAMPLE]
    if delimiter is None:
        delimiter = _delimiter(sample)
    if delimiter is None:
        rows = [_Row(number, line, [line]) for number, line in lines]
    else:
        rows = [row for row in _rows(text, delimiter) if row.line > skipped]
    return list(_named(rows))


@dataclass(frozen=True)
class _Row:
    line: int
    text: str
    cells: Sequence[str]

    def channel_at(self, column: int) -> str | None:
        """Return the channel that a cell names."""
        return channel_in(self.cells[column]) if column < len(self.cells) else None

    def channel(self) -> str | None:
        """Return the first channel that any cell names."""
        return next(filter(None, map(channel_in, self.cells)), None)

    def listed(self) -> list[str]:
        """Return what a line lists, if it lists channels beside each other; else nothing.

        Two ids, or two handles, are two channels; an id beside a handle or an address may well be
        the same one.
        """
        cells = [cell for whole in self.cells for cell in _apart(whole)]
        found = [(cell, channel_in(cell)) for cell in cells]
        values: dict[ReferenceKind, set[str]] = {}
        for _, name in found:
            if name is not None:
                reference = parse_channel(name)
                values.setdefault(reference.kind, set()).add(reference.value.casefold())
        if all(len(names) < 2 for names in values.values()):  # noqa: PLR2004
            return []
        # What was meant to be one is told as malformed; titles beside them are no harm.
        return [name or tidied(cell) for cell, name in found if name or _BROKEN.search(cell)]


def _named(rows: list[_Row]) -> Iterator[tuple[int, str]]:
    plain = [row for row in rows if not row.text.startswith("#")]
    column = _column(plain[:_SAMPLE])
    first = plain[0] if plain else None
    titled = first is not None and _is_header(first, column, plain[1:_SAMPLE])
    for row in rows:
        own = row.channel_at(column)
        if row.text.startswith("#") and (column == 0 or own is None):
            continue
        found = own or row.channel()
        # Below a header one column names the channels, whatever others hold.
        if not titled and (listed := row.listed()):
            yield from ((row.line, name) for name in listed)
        elif found is not None:
            yield row.line, found
        elif row is not first or not titled:
            cell = row.cells[column].strip() if column < len(row.cells) else ""
            yield row.line, tidied(cell) or row.text


def _is_header(row: _Row, column: int, others: Sequence[_Row]) -> bool:
    if any(_BROKEN.search(cell) for cell in row.cells):
        return False
    if any(_HEADER.fullmatch(_words(cell)) for cell in row.cells):
        return len(row.cells) > 1 or len(row.text.split()) <= _WORDS_OF_HEADER
    # A table's first row that names nothing, above rows that do.
    return len(row.cells) > 1 and any(other.channel_at(column) for other in others)


def _words(cell: str) -> str:
    """Write ``channelId`` and ``Kanal-ID`` alike: ``channel id``, ``kanal id``."""
    if len(cell) > _LONGEST_HEADER:
        return ""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", tidied(cell))
    plain = "".join(c for c in unicodedata.normalize("NFKD", apart) if not unicodedata.combining(c))
    return re.sub(r"[\W_]+", " ", unicodedata.normalize("NFC", plain)).strip().casefold()


def _column(rows: Sequence[_Row]) -> int:
    """Return the column that holds channels; of several the one of ids, which cost least."""
    worth: dict[int, tuple[int, int, int, int]] = {}
    for row in rows:
        for at, cell in enumerate(row.cells):
            found = channel_in(cell)
            if found is not None:
                n, ids, addresses, _ = worth.get(at, (0, 0, 0, 0))
                worth[at] = (n + 1, ids + is_channel_id(found), addresses + ("/" in found), -at)
    if worth:
        return max(worth, key=lambda at: worth[at])
    header = [_words(cell).replace(" ", "_") for cell in rows[0].cells] if rows else []
    return next((header.index(wanted) for wanted in _COLUMNS if wanted in header), 0)


def _delimiter(sample: Sequence[str]) -> str | None:
    """Return what separates cells; None if lines are no table."""
    best: tuple[int, int, int] = (0, 0, 0)
    found = None
    for place, delimiter in enumerate(_DELIMITERS):
        n = sum(delimiter in line for line in sample)
        if not n:
            continue
        rows = list(csv.reader(_shortened(sample), delimiter=delimiter))
        columns = max((len(row) for row in rows), default=0)
        held = [
            sum(_names_channel(row[at]) for row in rows if at < len(row)) for at in range(columns)
        ]
        # The most channels in a column; then what divides the most lines.
        worth = (max(held, default=0), n, -place)
        if worth > best:
            best, found = worth, delimiter
    return found


def _shortened(sample: Sequence[str]) -> list[str]:
    return [line[:2000] + "\n" for line in sample]


def _rows(text: str, delimiter: str) -> Iterator[_Row]:
    try:
        found = list(_parsed(text, delimiter, csv.QUOTE_MINIMAL))
    except csv.Error:
        # A quote that is never closed would swallow lines: then quotes are characters.
        try:
            found = list(_parsed(text, delimiter, csv.QUOTE_NONE))
        except csv.Error as error:
            raise ValueError(f"it is no CSV ({error})") from None
    yield from found


def _parsed(text: str, delimiter: str, quoting: int) -> Iterator[_Row]:
    lines = re.sub(r"\r\n?", "\n", text)
    reader = csv.reader(
        io.StringIO(lines, newline=""),
        delimiter=delimiter,
        quoting=quoting,  # type: ignore[arg-type]
        strict=quoting != csv.QUOTE_NONE,
        skipinitialspace=delimiter != "\t",
    )
    for row in reader:
        if any(tidied(cell) for cell in row):
            whole = delimiter.join(row).strip("\ufeff \t\u00a0\u200b\x1a")
            yield _Row(reader.line_num, whole, row)


def _apart(cell: str) -> list[str]:
    """Return the channels that a cell lists by spaces or other delimiters, else the cell."""
    parts = [part for part in re.split(r"[\s,;|]+", tidied(cell)) if part]
    return parts if len(parts) > 1 and all(map(_names_channel, parts)) else [cell]


def _names_channel(text: str) -> bool:
    try:
        parse_channel(text)
    except UsageError:
        return False
    return True
