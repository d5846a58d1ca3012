"""Odd things on demand: each way to bend an item or an answer, and what must come of it.

``--faults odd`` bends five items in a hundred, the same ones each time: which, and how, follows
from their ids. All others are answered exactly.
"""

import copy
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from services.emulator.catalog import Catalog
from services.emulator.resources import Json

Outcome = Literal["exact", "null", "refused", "set aside"]
"""All of it as it is; some of it unknown; nothing of it, with a reason; only it, with a reason."""
Place = Literal["video", "entry", "picture", "channel", "page", "feed"]
"""What is bent: a video's resource, its entry in a list of uploads, its thumbnail; a channel's
resource, the pages of its uploads, its feed."""
Calls = Literal["500", "400", "html", "cut", "deep"]
"""What becomes of each call that names an item."""

HUGE_NUMBER = "__1e400__"
"""Stands for a number that Python cannot hold; written without its quotes."""
AGAIN = "again"
"""A page token that stands for the first page, whatever page it came with."""
STRANGER = "Zz000000001"
NO_ZONE, NO_TIME = "2026-01-02T03:04:05", "the day before yesterday"


@dataclass(frozen=True, slots=True)
class Bend:
    """One way to bend something.

    Attributes:
        name: A stable word.
        place: What it bends.
        outcome: What must come of it.
        unknown: The fields that become unknown, in the API's words.
        item: Changes one resource, or returns something in its place.
        answer: Changes all items of an answer, given the place of the one that is bent.
        frame: Changes an answer beside its items.
        calls: What becomes of each call that names it.
    """

    name: str
    place: Place
    outcome: Outcome
    unknown: tuple[str, ...] = ()
    item: Callable[[Json], Any] | None = None
    answer: Callable[[list[Any], int], None] | None = None
    frame: Callable[[Json], None] | None = None
    calls: Calls | None = None


def _put(*path: str, to: object) -> Callable[[Json], Any]:
    """Set a member where what holds it was asked for."""

    def change(item: Json) -> None:
        *outer, last = path
        for name in outer:
            item = item.get(name, {})
        if item or not outer:
            item[last] = to

    return change


def _without(*path: str) -> Callable[[Json], Any]:
    def change(item: Json) -> None:
        for name in path[:-1]:
            item = item.get(name, {})
        item.pop(path[-1], None)

    return change


def _nested(depth: int) -> object:
    value: object = "deep"
    for _ in range(depth):
        value = [value]
    return value


def _twice(items: list[Any], place: int) -> None:
    second = copy.deepcopy(items[place])
    if "statistics" in second:
        second["statistics"] = {"viewCount": "1"}
    items.append(second)


def _beside_a_stranger(items: list[Any], place: int) -> None:
    stranger = copy.deepcopy(items[place])
    stranger["id"] = STRANGER
    items.insert(0, stranger)


def _backwards(items: list[Any], _place: int) -> None:
    items.reverse()


def _entry_twice(items: list[Any], place: int) -> None:
    items.insert(0, copy.deepcopy(items[place]))


def _a_text(_item: Json) -> object:
    return "a video"


def _nothing(_item: Json) -> object:
    return HUGE_NUMBER


def _v(name: str, outcome: Outcome, item: Callable[[Json], Any], *unknown: str) -> Bend:
    return Bend(name, "video", outcome, unknown, item=item)


_COUNTS = ("viewCount", "likeCount", "commentCount")
_VIEWS = ("statistics", "viewCount")
_DURATION = ("contentDetails", "duration")
_TITLE = ("snippet", "title")
_PUBLISHED = ("snippet", "publishedAt")

VIDEO_BENDS = (
    # Parts and members.
    _v("noSnippet", "refused", _without("snippet")),
    _v("nullSnippet", "refused", _put("snippet", to=None)),
    _v("textSnippet", "refused", _put("snippet", to="a video")),
    _v("noStatistics", "null", _without("statistics"), *_COUNTS),
    _v("nullStatistics", "null", _put("statistics", to=None), *_COUNTS),
    _v("listStatistics", "refused", _put("statistics", to=[])),
    _v("noContentDetails", "null", _without("contentDetails"), "duration"),
    _v("noChannelId", "refused", _without("snippet", "channelId")),
    _v("wrongKind", "exact", _put("kind", to="youtube#playlist")),
    _v("itemIsText", "refused", _a_text),
    _v("itemIsANumber", "refused", _nothing),
    _v("noId", "refused", _without("id")),
    _v("numberId", "refused", _put("id", to=17)),
    # Counts.
    _v("viewsAreANumber", "refused", _put(*_VIEWS, to=17)),
    _v("viewsAreNegative", "refused", _put(*_VIEWS, to="-17")),
    _v("viewsAreOfUint64", "null", _put(*_VIEWS, to=str(2**64 - 1)), "viewCount"),
    _v("viewsAre1e400", "refused", _put(*_VIEWS, to=HUGE_NUMBER)),
    _v("viewsAreOf400Digits", "refused", _put(*_VIEWS, to="9" * 400)),
    _v("viewsAreAFraction", "refused", _put(*_VIEWS, to="1.5")),
    _v("viewsAreWords", "refused", _put(*_VIEWS, to="many")),
    _v("viewsAreWide", "refused", _put(*_VIEWS, to="１２")),
    _v("viewsAreNull", "null", _put(*_VIEWS, to=None), "viewCount"),
    _v("likesAreAnObject", "refused", _put("statistics", "likeCount", to={"low": 1})),
    # Words and durations.
    _v("unknownLiveState", "null", _put("snippet", "liveBroadcastContent", to="soon"), "live"),
    _v("durationInMonths", "null", _put(*_DURATION, to="P1M"), "duration"),
    _v("durationIsNull", "null", _put(*_DURATION, to=None), "duration"),
    _v("durationPT", "refused", _put(*_DURATION, to="PT")),
    _v("durationIsEmpty", "refused", _put(*_DURATION, to="")),
    _v("durationIsWords", "refused", _put(*_DURATION, to="ten minutes")),
    _v("durationIsANumber", "refused", _put(*_DURATION, to=65)),
    _v("flagIsAWord", "refused", _put("status", "madeForKids", to="yes")),
    _v("categoryIsANumber", "refused", _put("snippet", "categoryId", to=22)),
    # Moments. That of its list of uploads stays.
    _v("publishedIn1970", "exact", _put(*_PUBLISHED, to="1970-01-01T00:00:00Z")),
    _v("publishedIn9999", "exact", _put(*_PUBLISHED, to="9999-01-01T00:00:00Z")),
    _v("publishedAtTheEnd", "refused", _put(*_PUBLISHED, to="9999-12-31T23:59:59-01:00")),
    _v("publishedWithoutZone", "refused", _put(*_PUBLISHED, to=NO_ZONE)),
    _v("publishedInWords", "refused", _put(*_PUBLISHED, to=NO_TIME)),
    # Texts and what nobody reads.
    _v("titleIsEmpty", "exact", _put(*_TITLE, to="")),
    _v("titleIsHuge", "exact", _put(*_TITLE, to="A long title. " * 8_000)),
    _v("titleObeys", "exact", _put(*_TITLE, to="\x01\x1b[31mred\x07\r\n")),
    _v("titleWithNul", "exact", _put(*_TITLE, to="a\x00b")),
    _v("titleWithHalfAnEmoji", "exact", _put(*_TITLE, to="a\ud83db")),
    _v("titleIsANumber", "refused", _put(*_TITLE, to=5)),
    _v("tagsAreText", "exact", _put("snippet", "tags", to="one, two")),
    _v("noThumbnails", "exact", _put("snippet", "thumbnails", to=None)),
    _v(
        "oddThumbnails",
        "exact",
        _put("snippet", "thumbnails", to={"medium": {"url": "file:///etc/passwd", "width": -1}}),
    ),
    _v("relativeThumbnails", "exact", _put("snippet", "thumbnails", to={"high": {"url": "a.jpg"}})),
    _v("nested", "exact", _put("snippet", "localized", to=_nested(100))),
    # The answer it is in.
    Bend("twice", "video", "exact", answer=_twice),
    Bend("besideAStranger", "video", "exact", answer=_beside_a_stranger),
    Bend("backwards", "video", "exact", answer=_backwards),
    Bend("calls500", "video", "set aside", calls="500"),
    Bend("calls400", "video", "set aside", calls="400"),
    Bend("callsHtml", "video", "set aside", calls="html"),
    Bend("callsCut", "video", "set aside", calls="cut"),
    Bend("callsNested", "video", "set aside", calls="deep"),
    # Its entry in a list of uploads.
    Bend("entryOf1970", "entry", "refused",
         item=_put("contentDetails", "videoPublishedAt", to="1970-01-01T00:00:00Z")),
    Bend("entryWithoutZone", "entry", "refused",
         item=_put("contentDetails", "videoPublishedAt", to=NO_ZONE)),
    Bend("entryWithoutDetails", "entry", "refused", item=_without("contentDetails")),
    Bend("entryIsNumber", "entry", "refused", item=lambda _item: 5),
    Bend("entryTwice", "entry", "exact", answer=_entry_twice),
    # Its thumbnail; see services/emulator/odd_pictures.py.
    *(Bend(name, "picture", "refused") for name in (
        "pictureIsEmpty", "pictureIsCut", "pictureIsZeros", "pictureIsGiant",
        "pictureIsATinyOne", "pictureIsThePlaceholder", "pictureIsATextFile",
    )),
    *(Bend(name, "picture", "exact") for name in (
        "pictureOfTwo", "pictureIsGrey16", "pictureIsWebp", "pictureWithATail",
    )),
    Bend("pictureIsHtml", "picture", "set aside"),
    Bend("pictureFails", "picture", "set aside"),
)  # fmt: skip


def _c(name: str, outcome: Outcome, item: Callable[[Json], Any], *unknown: str) -> Bend:
    return Bend(name, "channel", outcome, unknown, item=item)


CHANNEL_BENDS = (
    _c("channelWithoutStatistics", "null", _without("statistics"), "subscribers", "videos"),
    _c("subscribersAreNegative", "refused", _put("statistics", "subscriberCount", to="-1")),
    _c("videosAreOfUint64", "null", _put("statistics", "videoCount", to=str(2**64 - 1)), "videos"),
    _c("hiddenIsAWord", "refused", _put("statistics", "hiddenSubscriberCount", to="yes")),
    _c("handleIsANumber", "refused", _put("snippet", "customUrl", to=5)),
    _c("channelOf1970", "exact", _put("snippet", "publishedAt", to="1970-01-01T00:00:00Z")),
    _c("uploadsAreAnAddress", "exact",
       _put("contentDetails", "relatedPlaylists", "uploads", to="../../etc")),
    Bend("channelTwice", "channel", "exact", answer=_twice),
    Bend("pageTokenRepeats", "page", "set aside", frame=_put("nextPageToken", to=AGAIN)),
    Bend("pageTokenIsNegative", "page", "set aside", frame=_put("nextPageToken", to="-1")),
    Bend("pageTokenIsOverlong", "page", "set aside", frame=_put("nextPageToken", to="A" * 100_000)),
    Bend("pageTokenIsANumber", "page", "set aside", frame=_put("nextPageToken", to=5)),
    Bend("totalIsNegative", "page", "exact", frame=_put("pageInfo", to={"totalResults": -5})),
    Bend("pageInfoIsText", "page", "exact", frame=_put("pageInfo", to="much")),
    Bend("pageBackwards", "page", "exact", answer=_backwards),
    Bend("feedIsBroken", "feed", "exact"),
    Bend("feedOfAnotherNamespace", "feed", "exact"),
    Bend("feedOfEntities", "feed", "exact"),
    Bend("channelCalls500", "channel", "set aside", calls="500"),
)  # fmt: skip


@dataclass(frozen=True)
class Oddities:
    """Which channels and videos of a catalogue are bent, and how."""

    bends: Mapping[str, Bend]

    @classmethod
    def of(cls, catalog: Catalog, share: float, *, seed: int = 0) -> "Oddities":
        """Bend a share of the channels and of the videos, by the hash of their ids, in turns."""
        chosen = _chosen(catalog.channels, CHANNEL_BENDS, share, seed)
        return cls(chosen | _chosen(catalog.videos, VIDEO_BENDS, share, seed))

    def at(self, place: Place, item_id: str) -> Bend | None:
        """Return how something is bent at a place; None where it is not."""
        bend = self.bends.get(item_id)
        return bend if bend is not None and bend.place == place else None

    def of_calls(self, ids: Iterable[str]) -> Calls | None:
        """Return what becomes of a call that names these; None where nothing does."""
        found = (bend.calls for i in ids if (bend := self.bends.get(i)) is not None)
        return next((calls for calls in found if calls is not None), None)

    def bend(self, method: str, body: Json, named: Iterable[str]) -> bool:
        """Bend an answer of a method in place, before it is written; tell whether anything was."""
        items = body.get("items")
        if not isinstance(items, list):
            return False
        is_page = method == "playlistItems.list"
        place: Place = "entry" if is_page else "channel" if method == "channels.list" else "video"
        bent = False
        for original in list(items):
            item_id = _id_of(original, is_entry=is_page)
            if (bend := self.at(place, item_id)) is not None:
                _bend_item(items, items.index(original), bend)
                bent = True
        for channel_id in named if is_page else ():
            if (bend := self.at("page", channel_id)) is not None:
                if bend.frame is not None:
                    bend.frame(body)
                if bend.answer is not None:
                    bend.answer(items, 0)
                bent = True
        return bent

    def report(self) -> dict[str, dict[str, object]]:
        """Return for the truth how each is bent and what must come of it."""
        return {
            item_id: {
                "how": bend.name,
                "place": bend.place,
                "outcome": bend.outcome,
                "unknown": list(bend.unknown),
            }
            for item_id, bend in self.bends.items()
        }


def _bend_item(items: list[Any], place: int, bend: Bend) -> None:
    if bend.item is not None:
        items[place] = copy.deepcopy(items[place])
        if (instead := bend.item(items[place])) is not None:
            items[place] = instead
    if bend.answer is not None:
        bend.answer(items, place)


def _id_of(item: Json, *, is_entry: bool) -> str:
    found = item.get("contentDetails", {}).get("videoId") if is_entry else item.get("id")
    return str(found)


def _chosen(
    ids: Iterable[str], bends: tuple[Bend, ...], share: float, seed: int
) -> dict[str, Bend]:
    ordered = sorted(ids, key=lambda item_id: _hash(item_id, seed))
    return {
        item_id: bends[n % len(bends)]
        for n, item_id in enumerate(ordered[: round(share * len(ordered))])
    }


@cache
def _hash(item_id: str, seed: int) -> bytes:
    return hashlib.sha256(f"odd {seed} {item_id}".encode()).digest()
