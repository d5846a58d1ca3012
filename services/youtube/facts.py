"""What YouTube said, parsed and typed. A field YouTube left out is None, never 0.

Text is clean for PostgreSQL (no NUL, no lone surrogate), counts fit a signed 64-bit integer,
times are UTC.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from services.errors import TubeGraderError

UNKNOWN_LIVE_STATE = "unknownLiveState"


@dataclass(frozen=True, slots=True)
class Oddity:
    """A value of an item that is well formed and cannot be kept: it is None, the rest is taken.

    Attributes:
        reason: A stable word to count by, such as ``unknownLiveState``.
        field: What it is of, in the API's word.
        value: What came, short and printable.
    """

    reason: str
    field: str
    value: str

    @property
    def message(self) -> str:
        """One line for people."""
        problem = "is unknown" if self.reason.startswith("unknown") else "cannot be kept"
        return f"{self.field} {problem}: {self.value}"


@dataclass(frozen=True, slots=True)
class ChannelFacts:
    """One channel; ``subscriber_count`` is None where the channel hides it.

    YouTube rounds ``subscriber_count`` down to three significant figures: it is the lower end
    of an interval.
    """

    channel_id: str
    title: str | None = None
    handle: str | None = None
    country: str | None = None
    default_language: str | None = None
    published_at: datetime | None = None
    uploads_playlist_id: str | None = None
    subscriber_count: int | None = None
    view_count: int | None = None
    video_count: int | None = None
    odd: tuple[Oddity, ...] = ()


@dataclass(frozen=True, slots=True)
class Upload:
    """One entry of an uploads playlist; ``published_at`` is when the video became public."""

    video_id: str
    published_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """An item of an answer that cannot be taken as it is; the others are not disturbed.

    Attributes:
        item_id: What YouTube called the item, or what was asked for; "" where there is no id.
        reason: A stable word to count by, such as ``malformedCount``.
        message: One line for people.
    """

    item_id: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class UploadsPage:
    """Up to 50 uploads, newest first.

    ``total`` is YouTube's own, approximate count; ``is_broken``: there is a next page, and what
    should lead to it cannot.
    """

    uploads: tuple[Upload, ...] = ()
    next_page_token: str | None = None
    is_broken: bool = False
    total: int | None = None
    refused: tuple[Refusal, ...] = ()

    @property
    def video_ids(self) -> tuple[str, ...]:
        """The videos of this page, in YouTube's order."""
        return tuple(upload.video_id for upload in self.uploads)


@dataclass(frozen=True, slots=True)
class VideoStatistics:
    """The counts of one video at the moment of the call."""

    video_id: str
    view_count: int | None = None
    like_count: int | None = None
    comment_count: int | None = None
    odd: tuple[Oddity, ...] = ()


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """One video.

    ``live_broadcast_content`` is ``none``, ``upcoming`` or ``live``, or None: left out, or (among
    ``odd`` then) another word. The age of a stream runs
    from ``actual_start_at``. ``duration_s`` is in whole seconds and 0 while a stream is running.
    """

    video_id: str
    channel_id: str
    statistics: VideoStatistics
    title: str | None = None
    published_at: datetime | None = None
    duration_s: int | None = None
    category_id: str | None = None
    default_language: str | None = None
    default_audio_language: str | None = None
    live_broadcast_content: str | None = None
    scheduled_start_at: datetime | None = None
    actual_start_at: datetime | None = None
    privacy_status: str | None = None
    upload_status: str | None = None
    made_for_kids: bool | None = None
    odd: tuple[Oddity, ...] = ()

    @property
    def is_live_state_unknown(self) -> bool:
        """Whether YouTube said of it, in a word that we do not know, whether it is live."""
        return any(odd.reason == UNKNOWN_LIVE_STATE for odd in self.odd)


FactsT = TypeVar("FactsT")


@dataclass(frozen=True, slots=True)
class Answer(Generic[FactsT]):
    """What came back for a list of ids. Each id asked for is in exactly one of the four.

    Attributes:
        items: The facts, by id, in the order asked.
        missing: Ids YouTube left out: deleted, private or never there.
        refused: Items that cannot be taken, with the reason.
        unasked: Ids not asked for because ``failure`` came first. Only a list longer than one
            call can have any: what the earlier calls paid for is kept.
        alone: Those of the missing whose call brought nothing at all: it may be the call.
        lasting: Those of the refused that were refused twice in a row: it is no chance.
        failure: Why the rest was not asked, or None.
        answered_at: When the call that an item came with was answered, in UTC, by id.
    """

    items: dict[str, FactsT] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    alone: frozenset[str] = frozenset()
    refused: tuple[Refusal, ...] = ()
    lasting: frozenset[str] = frozenset()
    unasked: tuple[str, ...] = ()
    failure: TubeGraderError | None = None
    answered_at: dict[str, datetime] = field(default_factory=dict)
