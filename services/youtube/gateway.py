"""The one caller of the YouTube Data API v3: typed facts in, each unit booked before its call."""

import time
from collections.abc import Callable, Iterable
from copy import copy
from typing import Any, Self

import structlog

from services.clock import Clock
from services.errors import (
    BlockedError,
    PermanentError,
    QuotaError,
    TransientError,
)
from services.youtube import failures
from services.youtube.batches import (
    IDS_PER_CALL,
    PAUSE_S,
    USUAL,
    Method,
    Others,
    Tries,
    by_ids,
)
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
from services.youtube.items import Body, FactsT
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

LONGEST_TOKEN = 1_000
"""Characters. YouTube's have about a hundred; a request with many more reaches nobody."""
NOT_KNOWN = Others()
"""Nothing is known beside what is asked for."""


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

    def pause(self) -> None:
        """Pause before what failed is asked for once more."""
        self._wait(PAUSE_S)

    def channels(self, ids: Iterable[str], others: Others = NOT_KNOWN) -> Answer[ChannelFacts]:
        """Ask for channels by id: 1 unit for each 50."""

        def ask(batch: list[str], tries: Tries) -> Body:
            return self._list_channels(tries, id=",".join(batch))

        return by_ids(ids, is_channel_id, self._method(ask, parse_channel), others)

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

    def uploads_page(
        self, playlist_id: str, page_token: str | None = None, tries: Tries = USUAL
    ) -> UploadsPage:
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
                tries,
            )
        except PermanentError as error:
            if error.reason == "playlistNotFound" and page_token is None:
                return UploadsPage(total=0)
            raise
        return _uploads(body)

    def videos(self, ids: Iterable[str], others: Others = NOT_KNOWN) -> Answer[VideoFacts]:
        """Ask for videos by id, whatever their channels: 1 unit for each 50."""

        def ask(batch: list[str], tries: Tries) -> Body:
            return self._list_videos(batch, _VIDEO_PARTS, _VIDEO_FIELDS, tries)

        return by_ids(ids, is_video_id, self._method(ask, parse_video), others)

    def statistics(self, ids: Iterable[str], others: Others = NOT_KNOWN) -> Answer[VideoStatistics]:
        """Ask for the counts of videos by id: 1 unit for each 50, of a bucket of its own.

        Where that bucket is empty or the endpoint lacks ``videos.batchGetStats``, the shared
        bucket pays for ``videos.list`` instead.
        """
        method = self._method(self._ask_statistics, parse_statistics)
        return by_ids(ids, is_video_id, method, others)

    def _method(
        self, ask: Callable[[list[str], Tries], Body], parse: Callable[[Body], FactsT]
    ) -> Method[FactsT]:
        return Method(ask, parse, self._clock, self._wait)

    def _ask_statistics(self, batch: list[str], tries: Tries) -> Body:
        if BATCH_STATS not in self._missing_methods:
            request = self._transport.service.videos().batchGetStats(
                part="statistics", id=",".join(batch), fields=_STATISTICS_FIELDS
            )
            try:
                return self._call(request, BATCH_STATS, tries)
            except QuotaError:
                pass  # the shared bucket may have some left, and says so if not
            except BlockedError as error:
                if error.reason != "methodUnavailable":
                    raise
                self._missing_methods.add(BATCH_STATS)
        return self._list_videos(batch, "statistics", _STATISTICS_FIELDS, tries)

    def _list_channels(self, tries: Tries = USUAL, **selector: str) -> Body:
        return self._call(
            self._transport.service.channels().list(
                part=_CHANNEL_PARTS, maxResults=IDS_PER_CALL, fields=_CHANNEL_FIELDS, **selector
            ),
            SHARED,
            tries,
        )

    def _list_videos(self, batch: list[str], parts: str, fields: str, tries: Tries) -> Body:
        return self._call(
            self._transport.service.videos().list(part=parts, id=",".join(batch), fields=fields),
            SHARED,
            tries,
        )

    def _call(self, request: Any, bucket: Bucket, tries: Tries = USUAL) -> Body:
        """Execute a request of the client, booking each attempt before it is made."""
        most = min(tries.most or self._attempts, self._attempts)
        for attempt in range(1, most + 1):
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
            if not isinstance(failure, TransientError) or attempt == most:
                # Outside the except block: the client's error would carry the key along.
                raise failure
            if tries.pauses(failure):
                self._wait(2.0 ** (attempt - 1))
        raise AssertionError("attempts is at least 1")


def _is_answer(body: object) -> bool:
    """Tell an answer without items, which means "all gone", from an empty page of a proxy."""
    return (
        isinstance(body, dict)
        and isinstance(body.get("items", []), list)
        and bool("items" in body or body.get("kind"))
    )


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
    token = body.get("nextPageToken") or None
    leads_on = isinstance(token, str) and len(token) <= LONGEST_TOKEN
    info = body.get("pageInfo")
    total = info.get("totalResults") if isinstance(info, dict) else None
    return UploadsPage(
        uploads=tuple(uploads.values()),
        next_page_token=clean_text(token) if leads_on and isinstance(token, str) else None,
        is_broken=token is not None and not leads_on,
        total=total if isinstance(total, int) and total >= 0 else None,
        refused=tuple(refused),
    )
