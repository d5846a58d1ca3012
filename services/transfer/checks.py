"""Values from files that anybody may have written, one check each."""

import re
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from services.errors import PermanentError
from services.transfer.spool import RejectedRowError
from services.youtube.identifiers import is_channel_id, is_video_id
from services.youtube.images import ImageFacts, inspect_thumbnail
from services.youtube.moments import is_plausible

LARGEST_COUNT = 2**63 - 1
LONGEST_TEXT = 5_000
MOST_BYTES = 20_000_000
_DURATION = re.compile(
    r"P(?:(\d{1,5})D)?(?:T(?:(\d{1,5})H)?(?:(\d{1,5})M)?(?:(\d{1,7})S)?)?", re.ASCII
)


def video_id(text: str) -> str:
    """Return a video id. All checks raise ``RejectedRowError``."""
    if not is_video_id(text):
        raise RejectedRowError("badVideoId", f"{text!r} is no video id")
    return text


def channel_id(text: str) -> str:
    """Return a channel id."""
    if not is_channel_id(text):
        raise RejectedRowError("badChannelId", f"{text!r} is no channel id")
    return text


def words(text: str) -> str | None:
    """Return a text; None for an empty one."""
    if "\0" in text or len(text) > LONGEST_TEXT:
        raise RejectedRowError("badText", f"{text[:40]!r} holds a NUL or is too long")
    return text or None


def count(text: str) -> int | None:
    """Return a count; None where the cell is empty: it was not shown."""
    if text == "":
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(LARGEST_COUNT))):
        raise RejectedRowError("badCount", f"{text[:40]!r} is no count")
    if int(text) > LARGEST_COUNT:
        raise RejectedRowError("badCount", f"{text} is more than the database can hold")
    return int(text)


def moment(text: str, *, now: datetime) -> datetime:
    """Return a time in UTC between the first video and tomorrow; a date is its midnight."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise RejectedRowError("badTime", f"{text[:40]!r} is no time") from None
    if found.tzinfo is None:
        if len(text) > len("2026-01-01"):
            raise RejectedRowError("badTime", f"{text[:40]!r} names no time zone: end it in Z")
        found = found.replace(tzinfo=UTC)
    try:
        found = found.astimezone(UTC)
    except OverflowError:
        raise RejectedRowError("badTime", f"{text[:40]!r} is out of range") from None
    if not is_plausible(found, now=now):
        raise RejectedRowError("badTime", f"{text[:40]!r} is before YouTube or in the future")
    return found


def duration(text: str) -> int | None:
    """Return an ISO 8601 duration in seconds; None where the cell is empty."""
    if text == "":
        return None
    found = _DURATION.fullmatch(text)
    if found is None:
        raise RejectedRowError("badDuration", f"{text[:40]!r} is no duration such as PT3M38S")
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def picture_file(directory: Path, text: str) -> Path:
    """Return the file that a cell names, which lies inside the folder, links followed."""
    named = PurePosixPath(text)
    outside = RejectedRowError("badPath", f"{text[:80]!r} leaves the folder")
    if named.is_absolute() or ".." in named.parts or "\\" in text or "\0" in text:
        raise outside
    file = directory / named
    try:
        if not file.resolve().is_relative_to(directory.resolve()):
            raise outside
        if not file.is_file():
            raise RejectedRowError("pictureMissing", f"{text[:80]!r} does not exist")
    except OSError as error:
        raise RejectedRowError("badPath", f"{text[:80]!r}: {error.strerror}") from None
    except ValueError:  # half a character, for instance
        raise RejectedRowError("badPath", f"{text[:80]!r} is no name of a file") from None
    return file


def picture(file: Path) -> tuple[bytes, ImageFacts]:
    """Return a picture's bytes and what they are, decoded once."""
    try:
        if file.stat().st_size > MOST_BYTES:
            raise RejectedRowError("imageTooLarge", f"{file.name} is too large")
        content = file.read_bytes()
        return content, inspect_thumbnail(content, "")
    except PermanentError as error:
        raise RejectedRowError(error.reason, f"{file.name}: {error}") from None
    except OSError as error:
        raise RejectedRowError("pictureMissing", f"{file.name}: {error.strerror}") from None
