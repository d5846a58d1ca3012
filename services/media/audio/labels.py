"""What videos are said to speak: labelled and corrected by hand, every claim kept visible."""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from db.queries.catalog import videos
from db.queries.speech import languages
from db.queries.speech.conflicts import looked_at
from services.context import Context
from services.errors import UsageError
from services.formatting import from_neutral_cell
from services.media.audio.heard import clip_id
from services.paging import Page, cursor, position
from services.youtube.identifiers import is_video_id

LARGEST_FILE = 10_000_000
"""Bytes."""
LOOKED_AT = 2_000
"""Clips that one page looks for conflicts in: what it costs does not grow with all there are."""
WITHDRAWN = "none"
"""In place of a language: the label by hand is withdrawn."""
_ADDRESS = re.compile(r"(?:[?&]v=|youtu\.be/|/shorts/|/live/|/embed/)([A-Za-z0-9_-]{11})")


@dataclass(frozen=True)
class NamedLabel:
    """A video and the language it is said to speak, as a line names them."""

    video: str
    language: str
    line: int | None = None


@dataclass(frozen=True)
class Labelled:
    """How many videos were named, and those whose label changed."""

    named: int
    changed: list[str]


def label(context: Context, named: Sequence[NamedLabel], *, by: str) -> Labelled:
    """Label videos by hand; a video named twice gets what is said last.

    Everything is checked before anything is written. Labelling the same again changes nothing; a
    corrected label stays as a row, with who gave it and when.

    Args:
        context: The database.
        named: Videos (ids or addresses) with languages (ISO 639; ``none`` withdraws the label).
        by: Who says so.

    Raises:
        UsageError: Something is malformed or a video is not known; nothing was changed.
    """
    by = by.strip()
    if not by or not by.isprintable():
        raise UsageError("a label needs to say who gave it", hint="--by NAME")
    if not named:
        raise UsageError("no video was named", hint="give ids or addresses, or --from-file")
    wanted = {video_id(entry): language_code(entry) for entry in named}
    by_language: dict[str, list[str]] = defaultdict(list)
    for video, language in wanted.items():
        by_language[language].append(video)
    now = context.clock()
    changed: list[str] = []
    with context.transaction() as session:
        unknown = sorted(wanted.keys() - videos.known_ids(session, wanted))
        if unknown:
            more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""  # noqa: PLR2004
            raise UsageError(
                f"video {', '.join(unknown[:3])}{more} is not known; nothing was labelled",
                hint="only videos of watched channels can be labelled",
                reason="videoUnknown",
            )
        for language, ids in sorted(by_language.items()):
            if language == WITHDRAWN:
                changed += languages.withdraw(session, ids, now=now)
            else:
                changed += languages.label(session, ids, language, by=by, now=now)
    return Labelled(len(wanted), sorted(changed))


def show(context: Context, typed: Sequence[str]) -> list[dict[str, Any]]:
    """Return the claims on the language of videos, the one in force first, and their history.

    Raises:
        UsageError: Something is no video, or not known.
    """
    ids = [video_id(NamedLabel(text, "")) for text in typed]
    with context.transaction() as session:
        unknown = sorted(set(ids) - videos.known_ids(session, ids))
        if unknown:
            raise UsageError(f"video {unknown[0]} is not known", reason="videoUnknown")
        claims = languages.claims(session, ids)
        history = languages.history(session, ids)
    return [
        {
            "video_id": video,
            "claims": [_without_id(c) for c in claims if c["video_id"] == video],
            "by_hand": [_without_id(h) for h in history if h["video_id"] == video],
        }
        for video in dict.fromkeys(ids)
    ]


def conflicts(context: Context, *, limit: int = 1000) -> list[dict[str, Any]]:
    """Return videos with audio whose claims contradict each other; decided by hand come last."""
    with context.transaction() as session:
        return languages.conflicts(session, limit=limit)


def conflicts_page(
    context: Context, *, after: str | None = None, limit: int = 50
) -> Page[dict[str, Any]]:
    """Return some of the same, the newest clips first.

    A page may be empty and another one follow: it looks at so many clips and no more.

    Raises:
        UsageError: ``after`` is none of ours.
    """
    before = None if after is None else position(after, str, clip_id)[1]
    with context.transaction() as session:
        reached = looked_at(session, before=before, most=LOOKED_AT)
        found = languages.conflicts_among(session, before=before, down_to=reached, limit=limit + 1)
    more = found[limit - 1]["clip_id"] if len(found) > limit else reached
    return Page(found[:limit], None if more is None else cursor(("clip", more)))


def read_csv(content: bytes, name: str) -> list[NamedLabel]:
    """Return the labels that a CSV file holds: columns ``video_id`` (or ``video``), ``language``.

    Raises:
        UsageError: It is too large, no UTF-8, or lacks the columns.
    """
    if len(content) > LARGEST_FILE:
        raise UsageError(f"{name} is larger than {LARGEST_FILE // 1_000_000} MB")
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""))
        columns = reader.fieldnames or ()
        video = next((c for c in ("video_id", "video") if c in columns), None)
        if video is None or "language" not in columns:
            raise UsageError(
                f"{name} lacks the columns of labels",
                hint="the first line must name them: video_id,language",
            )
        return [
            NamedLabel(
                from_neutral_cell(row[video] or ""), row["language"] or "", line=reader.line_num
            )
            for row in reader
        ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{name} is no CSV in UTF-8: {error}") from error


def video_id(entry: NamedLabel) -> str:
    """Return the id that an id or an address names.

    Raises:
        UsageError: It is neither.
    """
    text = entry.video.strip()
    found = _ADDRESS.search(text) if "/" in text else None
    named = found[1] if found else text
    if not is_video_id(named):
        raise UsageError(
            f"{ascii(text)[:80]} is no video{_at(entry)}", hint="give its id or its address"
        )
    return named


def language_code(entry: NamedLabel) -> str:
    """Return a language as ISO 639 in lower case; ``zh-Hans``, ``cmn`` and ``zho`` are ``zh``.

    Raises:
        UsageError: It cannot be a language.
    """
    text = entry.language.strip().lower()
    if text == WITHDRAWN:
        return text
    primary = re.split("[-_]", text)[0]
    if not re.fullmatch("[a-z]{2,3}", primary):
        raise UsageError(
            f"{ascii(entry.language)[:40]} is no language{_at(entry)}",
            hint="write it as ISO 639: en, zh, …; none withdraws the label",
        )
    return {"cmn": "zh", "zho": "zh", "chi": "zh", "eng": "en"}.get(primary, primary)


def _at(entry: NamedLabel) -> str:
    return f" (line {entry.line})" if entry.line is not None else ""


def _without_id(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != "video_id"}
