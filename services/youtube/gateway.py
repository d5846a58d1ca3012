"""The one caller of the YouTube Data API v3: typed facts in, each unit booked before its call."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, Self, TypeVar

import structlog

from services.clock import Clock
from services.errors import (
    BlockedError,
    PermanentError,
    QuotaError,
    TransientError,
    TubeGraderError,
)
from services.youtube import failures
from services.youtube.facts import (
    Answer,
    ChannelFacts,
    Refusal,
    Upload,
    UploadsPage,
    VideoFacts,
    VideoStatistics,
)
from services.youtube.identifiers import (
    ReferenceKind,
    is_channel_id,
    is_video_id,
    parse_channel_reference,
)
from services.youtube.parsing import (
    MalformedItemError,
    clean_text,
    parse_channel,
    parse_statistics,
    parse_upload,
    parse_video,
)
from services.youtube.quota import BATCH_STATS, SHARED, Bucket, Purpose, QuotaLedger
from services.youtube.transport import Transport

if TYPE_CHECKING:
    from datetime import datetime

IDS_PER_CALL = 50
"""YouTube's limit, for ids and for entries of a page alike."""

# Short on purpose: beyond 2,048 characters the client turns a GET into a POST.
_CHANNEL_PARTS = "snippet,contentDetails,statistics"
_CHANNEL_FIELDS = (
    "kind,items(id,snippet(title,customUrl,publishedAt,country,defaultLanguage),"
    "contentDetails/relatedPlaylists/uploads,"
    "statistics(viewCount,subscriberCount,hiddenSubscriberCount,videoCount))"
)
_UPLOAD_FIELDS = (
    "kind,nextPageToken,pageInfo/totalResults,items/contentDetails(videoId,videoPublishedAt)"
)
_VIDEO_PARTS = "snippet,contentDetails,status,statistics,liveStreamingDetails"
_VIDEO_FIELDS = (
    "kind,items(id,snippet(channelId,title,publishedAt,categoryId,defaultLanguage,"
    "defaultAudioLanguage,liveBroadcastContent),contentDetails/duration,"
    "status(privacyStatus,uploadStatus,madeForKids),"
    "statistics(viewCount,likeCount,commentCount),"
    "liveStreamingDetails(scheduledStartTime,actualStartTime))"
)
_STATISTICS_FIELDS = "kind,items(id,statistics(viewCount,likeCount,commentCount))"

log = structlog.get_logger()

FactsT = TypeVar("FactsT", ChannelFacts, VideoFacts, VideoStatistics)
Body = Mapping[str, Any]


class YouTubeGateway:
    """Channels, uploads, videos and statistics from YouTube, or from an endpoint like it.

    Safe to share between threads. Every method raises ``ApiKeyError`` (the key does not work),
    ``QuotaError`` (with the time of the reset), ``BlockedError``, ``TransientError`` (after
    ``attempts`` attempts, each booked) or ``PermanentError`` (this request cannot work).
    """

    def __init__(
        self,
        api_key: str,
        ledger: QuotaLedger,
        clock: Clock,
        *,
        endpoint: str | None = None,
        timeout_s: float = 20.0,
        attempts: int = 3,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        if not api_key.strip():
            raise failures.missing_key()
        self._api_key = api_key.strip()
        self._ledger = ledger
        self._clock = clock
        self._attempts = attempts
        self._wait = wait
        self._transport = Transport(self._api_key, endpoint, timeout_s)
        self._missing_methods: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections kept open between calls."""
        self._transport.close()

    def for_purpose(self, purpose: Purpose) -> Self:
        """Return this gateway, booking its calls for ``purpose``; connections are shared."""
        view = copy(self)
        view._ledger = self._ledger.for_purpose(purpose)  # noqa: SLF001  (our own copy)
        return view

    def channels(self, ids: Iterable[str]) -> Answer[ChannelFacts]:
        """Ask for channels by id: 1 unit for each 50."""

        def ask(batch: list[str]) -> Body:
            return self._list_channels(id=",".join(batch))

        return _by_ids(ids, is_channel_id, ask, parse_channel, self._clock)

    def channel_by_handle(self, handle: str) -> ChannelFacts:
        """Ask for the channel with a handle (with or without ``@``): 1 unit.

        Raises:
            PermanentError: ``channelNotFound``, or the reason why the answer cannot be taken.
        """
        name = "@" + handle.removeprefix("@")
        return _only_channel(self._list_channels(forHandle=name), name)

    def resolve(self, typed: str) -> ChannelFacts:
        """Find the channel that somebody typed as an id, a handle or an address: 1 unit.

        A custom address (``/c/name``) has no look-up of its own; most of them became the handle
        of the same name, which is asked for instead.

        Raises:
            UsageError: the text names no channel.
            PermanentError: ``channelNotFound``, or the reason why the answer cannot be taken.
        """
        reference = parse_channel_reference(typed)
        match reference.kind:
            case ReferenceKind.ID:
                body = self._list_channels(id=reference.value)
            case ReferenceKind.USERNAME:
                body = self._list_channels(forUsername=reference.value)
            case ReferenceKind.HANDLE | ReferenceKind.CUSTOM:
                body = self._list_channels(forHandle="@" + reference.value)
        return _only_channel(body, typed.strip())

    def uploads_page(self, playlist_id: str, page_token: str | None = None) -> UploadsPage:
        """Ask for 50 entries of an uploads playlist: 1 unit.

        YouTube answers ``playlistNotFound`` for a living channel without uploads; that is an
        empty first page here. Whether the channel lives, ``channels`` tells.

        Raises:
            PermanentError: ``invalidPageToken`` and other reasons concerning this playlist.
        """
        try:
            body = self._call(
                self._transport.service.playlistItems().list(
                    part="contentDetails",
                    playlistId=playlist_id,
                    maxResults=IDS_PER_CALL,
                    fields=_UPLOAD_FIELDS,
                    **({"pageToken": page_token} if page_token else {}),
                ),
                SHARED,
            )
        except PermanentError as error:
            if error.reason == "playlistNotFound" and page_token is None:
                return UploadsPage(total=0)
            raise
        return _uploads(body)

    def videos(self, ids: Iterable[str]) -> Answer[VideoFacts]:
        """Ask for videos by id, whatever their channels: 1 unit for each 50."""

        def ask(batch: list[str]) -> Body:
            return self._list_videos(batch, _VIDEO_PARTS, _VIDEO_FIELDS)

        return _by_ids(ids, is_video_id, ask, parse_video, self._clock)

    def statistics(self, ids: Iterable[str]) -> Answer[VideoStatistics]:
        """Ask for the counts of videos by id: 1 unit for each 50, of a bucket of its own.

        Where that bucket is empty or the endpoint lacks ``videos.batchGetStats``, the shared
        bucket pays for ``videos.list`` instead.
        """
        return _by_ids(ids, is_video_id, self._ask_statistics, parse_statistics, self._clock)

    def _ask_statistics(self, batch: list[str]) -> Body:
        if BATCH_STATS not in self._missing_methods:
            request = self._transport.service.videos().batchGetStats(
                part="statistics", id=",".join(batch), fields=_STATISTICS_FIELDS
            )
            try:
                return self._call(request, BATCH_STATS)
            except QuotaError:
                pass  # the shared bucket may have some left, and says so if not
            except BlockedError as error:
                if error.reason != "methodUnavailable":
                    raise
                self._missing_methods.add(BATCH_STATS)
        return self._list_videos(batch, "statistics", _STATISTICS_FIELDS)

    def _list_channels(self, **selector: str) -> Body:
        return self._call(
            self._transport.service.channels().list(
                part=_CHANNEL_PARTS, maxResults=IDS_PER_CALL, fields=_CHANNEL_FIELDS, **selector
            ),
            SHARED,
        )

    def _list_videos(self, batch: list[str], parts: str, fields: str) -> Body:
        return self._call(
            self._transport.service.videos().list(part=parts, id=",".join(batch), fields=fields),
            SHARED,
        )

    def _call(self, request: Any, bucket: Bucket) -> Body:
        """Execute a request of the client, booking each attempt before it is made."""
        for attempt in range(1, self._attempts + 1):
            now = self._clock()
            try:
                body = self._transport.execute(request, lambda: self._ledger.reserve(bucket, 1))
            except failures.CALL_FAILURES as error:
                failure = failures.classify(error, bucket=bucket, now=now, secret=self._api_key)
            else:
                if _is_answer(body):
                    return body  # type: ignore[no-any-return]
                failure = failures.malformed_answer()
            if isinstance(failure, QuotaError):
                self._ledger.exhausted(bucket, failure.reset_at)
            if not isinstance(failure, TransientError) or attempt == self._attempts:
                # Outside the except block: the client's error would carry the key along.
                raise failure
            self._wait(2.0 ** (attempt - 1))
        raise AssertionError("attempts is at least 1")


def _is_answer(body: object) -> bool:
    """Tell an answer without items, which means "all gone", from an empty page of a proxy."""
    return (
        isinstance(body, dict)
        and isinstance(body.get("items", []), list)
        and bool("items" in body or body.get("kind"))
    )


def _by_ids(
    ids: Iterable[str],
    is_valid: Callable[[str], bool],
    ask: Callable[[list[str]], Body],
    parse: Callable[[Body], FactsT],
    clock: Clock,
) -> Answer[FactsT]:
    """Ask for any number of ids, 50 a call, and account for each of them."""
    wanted = list(dict.fromkeys(ids))
    valid = [item_id for item_id in wanted if is_valid(item_id)]
    refused = {
        item_id: Refusal(clean_text(item_id), "malformedId", "not an id of YouTube's form")
        for item_id in wanted
        if not is_valid(item_id)
    }
    found: dict[str, FactsT] = {}
    answered_at: dict[str, datetime] = {}
    alone: set[str] = set()
    failure: TubeGraderError | None = None
    asked = 0
    while asked < len(valid):
        batch = valid[asked : asked + IDS_PER_CALL]
        try:
            taken, not_taken = _sorted_items(ask(batch), set(batch), parse)
        except TubeGraderError as error:
            if asked == 0:
                raise
            failure = error
            break
        asked += len(batch)
        alone.update([] if taken else batch)
        answered_at |= dict.fromkeys(taken, clock())
        found |= taken
        refused |= not_taken
    _note_oddities(found)
    missing = tuple(i for i in valid[:asked] if i not in found and i not in refused)
    return Answer(
        items={item_id: found[item_id] for item_id in valid if item_id in found},
        missing=missing,
        alone=frozenset(alone.intersection(missing)),
        refused=tuple(refused.values()),
        unasked=tuple(valid[asked:]),
        failure=failure,
        answered_at=answered_at,
    )


def _sorted_items(
    body: Body, batch: set[str], parse: Callable[[Body], FactsT]
) -> tuple[dict[str, FactsT], dict[str, Refusal]]:
    """Sort the items of one answer into found and refused; what nobody asked for is neither.

    Raises:
        TransientError: The answer is about others only. That says nothing about these ids, least
            of all that they are gone.
    """
    found: dict[str, FactsT] = {}
    refused: dict[str, Refusal] = {}
    for item in body.get("items", ()):
        item_id = _id_in(item)
        if item_id not in batch or item_id in found or item_id in refused:
            continue
        try:
            found[item_id] = parse(item)
        except MalformedItemError as error:
            refused[item_id] = error.refusal(item_id)
    if body.get("items") and not found and not refused:
        raise failures.malformed_answer()
    return found, refused


def _note_oddities(found: Mapping[str, ChannelFacts | VideoFacts | VideoStatistics]) -> None:
    """Count what is odd in an answer, with an example of each reason."""
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for item_id, facts in found.items():
        for odd in facts.odd:
            counts[odd.reason] += 1
            examples.setdefault(odd.reason, f"{item_id}: {odd.message}")
    for reason, n in counts.items():
        log.warning("youtube.odd_value", reason=reason, items=n, example=examples[reason])


def _only_channel(body: Body, named: str) -> ChannelFacts:
    items = body.get("items", ())
    if not items:
        raise PermanentError(
            f"YouTube knows no channel “{named}”.",
            reason="channelNotFound",
            hint="Open the channel's page and copy its @handle, or its id (UC…).",
        )
    try:
        return parse_channel(items[0] if isinstance(items[0], dict) else {})
    except MalformedItemError as error:
        raise PermanentError(
            f"YouTube's answer for “{named}” cannot be taken: {error}", reason=error.reason
        ) from None


def _uploads(body: Body) -> UploadsPage:
    uploads: dict[str, Upload] = {}
    refused: list[Refusal] = []
    for item in body.get("items", ()):
        try:
            upload = parse_upload(item if isinstance(item, dict) else {})
        except MalformedItemError as error:
            refused.append(error.refusal(""))
        else:
            uploads.setdefault(upload.video_id, upload)
    if refused and not uploads:
        raise failures.malformed_answer()  # else it would look like a channel without uploads
    token = body.get("nextPageToken")
    info = body.get("pageInfo")
    total = info.get("totalResults") if isinstance(info, dict) else None
    return UploadsPage(
        uploads=tuple(uploads.values()),
        next_page_token=clean_text(token) if isinstance(token, str) and token else None,
        total=total if isinstance(total, int) and total >= 0 else None,
        refused=tuple(refused),
    )


def _id_in(item: object) -> str:
    value = item.get("id") if isinstance(item, dict) else None
    return value if isinstance(value, str) else ""
