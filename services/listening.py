"""Listening to what was collected: clips that contradict themselves, their sound, their picture."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from db.models import ModelVersion, SpeechSegment
from db.queries.speech import conflicts as rows
from services.context import Context
from services.errors import NotFoundError, PermanentError

PAGE = 20
"""Clips a page: each of them is listened to."""
LOOKED_AT = 2_000
"""Clips that one page looks for them in: what it costs does not grow with what was collected."""


@dataclass(frozen=True)
class Stretch:
    """A segment of a clip, and what the model hears in it (None: it was not asked yet).

    Attributes:
        segment_id: By which its sound is found.
        start_s: Seconds from the clip's beginning.
        length_s: Seconds.
        at: Where it begins among the clip's segments put together, 0 to 1.
        share: Of these, 0 to 1.
        language: What is heard.
    """

    segment_id: int
    start_s: float
    length_s: float
    at: float
    share: float
    language: str | None


@dataclass(frozen=True)
class Conflict:
    """A clip of which is said one thing and heard another, or said several things.

    Attributes:
        claims: What each source says.
        heard: What the model in use hears; None: it was not asked yet.
        probability: Of that.
        purged_at: When its sound was removed.
        stretches: Its segments.
    """

    clip_id: int
    video_id: str
    title: str | None
    channel_id: str
    channel_title: str | None
    claims: dict[str, str]
    heard: str | None
    probability: float | None
    purged_at: datetime | None
    stretches: list[Stretch]


def conflicts(
    context: Context, model: ModelVersion | None, *, before: int | None = None
) -> tuple[list[Conflict], int | None]:
    """Return a page of clips to decide by hand, and where the next one goes on.

    The page may be empty and another one follow: it looks at so many clips and no more.

    Args:
        context: Where they are.
        model: Who listens; None: only what is said of a clip is compared.
        before: Where the page before ended.
    """
    model_id = None if model is None else model.model_version_id
    with context.transaction() as session:
        reached = rows.looked_at(session, before=before, most=LOOKED_AT)
        found = rows.undecided(
            session, model_version_id=model_id, before=before, down_to=reached, limit=PAGE + 1
        )
        page = found[:PAGE]
        segments = rows.segments_of(
            session, [row["clip_id"] for row in page], model_version_id=model_id
        )
    shown = [
        _conflict(row, [s for s in segments if s["clip_id"] == row["clip_id"]]) for row in page
    ]
    return shown, page[-1]["clip_id"] if len(found) > PAGE else reached


def labelled_last(context: Context) -> list[dict[str, Any]]:
    """Return the newest labels by hand."""
    with context.transaction() as session:
        return rows.labelled_last(session, limit=PAGE)


def sound(context: Context, segment_id: int) -> bytes:
    """Return a segment as FLAC.

    Raises:
        NotFoundError: There is no such segment, or its sound was removed.
    """
    with context.transaction() as session:
        segment = session.get(SpeechSegment, segment_id) if segment_id < 2**63 else None
        sha256 = None if segment is None else segment.flac_sha256
    if sha256 is None:
        raise NotFoundError(f"there is no segment {segment_id}", reason="noSegment")
    try:
        return context.store.get(sha256)
    except PermanentError as error:
        raise NotFoundError(str(error), reason=error.reason, hint=error.hint) from error


def spectrogram(context: Context, clip_id: int) -> bytes:
    """Return a picture (JPEG) of a clip's segments, put together.

    Raises:
        NotFoundError: There is no such clip, or its sound was removed.
    """
    from ml.audio import floats, read_flac  # noqa: PLC0415 - PyAV, of the extra `speech`
    from ml.audio.drawing import Spectrogram  # noqa: PLC0415

    with context.transaction() as session:
        found = rows.segments_of(session, [clip_id], model_version_id=None)
    if not found:
        raise NotFoundError(f"there is no clip {clip_id}", reason="noClip")
    drawn = Spectrogram(sum(row["length_s"] for row in found))
    at = 0.0
    for row in found:
        try:
            drawn.add(at, floats(read_flac(context.store.get(row["flac_sha256"]))))
        except PermanentError as error:
            raise NotFoundError(str(error), reason=error.reason, hint=error.hint) from error
        at += row["length_s"]
    return drawn.jpeg()


def _conflict(row: dict[str, Any], segments: list[dict[str, Any]]) -> Conflict:
    whole = sum(s["length_s"] for s in segments) or 1.0
    stretches, at = [], 0.0
    for s in segments:
        stretches.append(
            Stretch(
                s["segment_id"],
                s["start_s"],
                s["length_s"],
                at,
                s["length_s"] / whole,
                s["language"],
            )
        )
        at += s["length_s"] / whole
    heard = row["heard"]
    names = ("clip_id", "video_id", "title", "channel_id", "channel_title", "claims", "purged_at")
    return Conflict(
        **{name: row[name] for name in names},
        heard=heard,
        probability={"en": row["p_en"], "zh": row["p_zh"]}.get(heard),
        stretches=stretches,
    )
