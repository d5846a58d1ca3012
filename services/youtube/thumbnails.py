"""Fetching thumbnails by the hundred: pooled, bounded, each checked and hashed.

The address is built from the configured base and a valid video id, never taken from an answer, so
no answer can make us contact another host.
"""

import asyncio
import hashlib
import re
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import aiohttp

from services.errors import PermanentError, TransientError, TubeGraderError, UsageError
from services.youtube.download import (
    BodyTooLargeError,
    Download,
    checked_base,
    download,
    open_session,
    refused_status,
)
from services.youtube.identifiers import is_video_id
from services.youtube.images import inspect_thumbnail

DEFAULT_BASE = "https://i.ytimg.com"
_VARIANT = re.compile(r"[a-z0-9_]{1,32}")
_ETAG = re.compile(r'(W/)?"[!#-~]{0,250}"')
_INLINE_BYTES = 65_536
"""Decoding this much takes under a millisecond, less than handing it to a thread and back."""


@dataclass(frozen=True, slots=True)
class ThumbnailRequest:
    """A video's thumbnail; with the ``etag`` of the last fetch it is sent only if changed."""

    video_id: str
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class FetchedThumbnail:
    """A checked picture, byte for byte; ``sha256`` is in hex, the size in pixels."""

    video_id: str
    content: bytes
    sha256: str
    perceptual_hash: int
    width: int
    height: int
    format: str
    variant: str
    etag: str | None


@dataclass(frozen=True, slots=True)
class UnchangedThumbnail:
    """The picture is still the one that came with ``etag``."""

    video_id: str
    etag: str


@dataclass(frozen=True, slots=True)
class FailedThumbnail:
    """Why there is no picture: permanent (``thumbnailMissing``, …) or transient."""

    video_id: str
    error: TubeGraderError


ThumbnailResult = FetchedThumbnail | UnchangedThumbnail | FailedThumbnail


async def fetch_thumbnails(
    requests: Sequence[ThumbnailRequest],
    *,
    base_url: str = DEFAULT_BASE,
    variant: str = "mqdefault",
    concurrency: int = 64,
    max_bytes: int = 2_000_000,
    timeout_s: float = 20.0,
) -> AsyncGenerator[ThumbnailResult, None]:
    """Yield one result a request, in the order in which they arrive.

    Memory is bounded: at most ``concurrency`` results wait for the consumer. One bad picture
    never disturbs the others.

    Raises:
        UsageError: ``base_url`` or ``variant`` is malformed.
    """
    fetcher = _Fetcher(checked_base(base_url), checked_variant(variant), max_bytes)
    results: asyncio.Queue[ThumbnailResult | BaseException] = asyncio.Queue(concurrency)
    pending = iter(requests)
    async with open_session(concurrency=concurrency, timeout_s=timeout_s) as session:
        tasks = [
            asyncio.create_task(_work(fetcher, session, pending, results))
            for _ in range(min(concurrency, len(requests)))
        ]
        try:
            for _ in requests:
                result = await results.get()
                if isinstance(result, BaseException):
                    raise result
                yield result
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def fetch_all_thumbnails(
    requests: Sequence[ThumbnailRequest],
    *,
    base_url: str = DEFAULT_BASE,
    variant: str = "mqdefault",
    concurrency: int = 64,
    max_bytes: int = 2_000_000,
    timeout_s: float = 20.0,
) -> list[ThumbnailResult]:
    """Fetch a batch from synchronous code; see ``fetch_thumbnails``. All contents are held."""

    async def collect() -> list[ThumbnailResult]:
        arriving = fetch_thumbnails(
            requests,
            base_url=base_url,
            variant=variant,
            concurrency=concurrency,
            max_bytes=max_bytes,
            timeout_s=timeout_s,
        )
        async with aclosing(arriving):
            return [result async for result in arriving]

    return asyncio.run(collect())


def checked_variant(variant: str) -> str:
    """Return ``variant`` if it can be one of YouTube's names for a size, such as ``mqdefault``.

    Raises:
        UsageError: it cannot.
    """
    if not _VARIANT.fullmatch(variant):
        raise UsageError(
            f"“{variant}” is no thumbnail variant.",
            hint="Use mqdefault, hqdefault, sddefault or maxresdefault.",
            reason="badVariant",
        )
    return variant


async def _work(
    fetcher: "_Fetcher",
    session: aiohttp.ClientSession,
    pending: Iterator[ThumbnailRequest],
    results: "asyncio.Queue[ThumbnailResult | BaseException]",
) -> None:
    """Fetch what is pending until nothing is; an unexpected error ends the whole batch."""
    for request in pending:
        try:
            result = await fetcher.fetch(session, request)
        except Exception as error:  # noqa: BLE001 - raised again by the consumer
            await results.put(error)
            return
        await results.put(result)


@dataclass(frozen=True, slots=True)
class _Fetcher:
    base_url: str
    variant: str
    max_bytes: int

    async def fetch(
        self, session: aiohttp.ClientSession, request: ThumbnailRequest
    ) -> ThumbnailResult:
        """Fetch, check and hash one thumbnail; every expected failure is a result."""
        video_id = request.video_id
        if not is_video_id(video_id):
            error = PermanentError("That is no video id.", reason="malformedId")
            return FailedThumbnail(video_id, error)
        # An ETag that came from elsewhere must not be able to end the header line.
        etag = request.etag if request.etag and _ETAG.fullmatch(request.etag) else None
        try:
            answer = await download(
                session,
                f"{self.base_url}/vi/{video_id}/{self.variant}.jpg",
                max_bytes=self.max_bytes,
                headers={"If-None-Match": etag} if etag else None,
            )
            if answer.status == 304 and etag:  # noqa: PLR2004
                return UnchangedThumbnail(video_id, etag)
            if answer.status != 200:  # noqa: PLR2004
                # A missing size is a 404 whose body is the placeholder; the status says it all.
                return FailedThumbnail(video_id, refused_status(answer.status, "thumbnail"))
            if len(answer.content) <= _INLINE_BYTES:
                return self._checked(video_id, answer)
            return await asyncio.to_thread(self._checked, video_id, answer)
        except BodyTooLargeError:
            error = PermanentError(
                f"The picture has more than {self.max_bytes} bytes.", reason="imageTooLarge"
            )
            return FailedThumbnail(video_id, error)
        except (PermanentError, TransientError) as error:
            return FailedThumbnail(video_id, error)

    def _checked(self, video_id: str, answer: Download) -> FetchedThumbnail:
        if answer.content.lstrip()[:1] == b"<":
            raise TransientError("A page instead of a picture.", reason="malformedAnswer")
        facts = inspect_thumbnail(answer.content, self.variant)
        return FetchedThumbnail(
            video_id=video_id,
            content=answer.content,
            sha256=hashlib.sha256(answer.content).hexdigest(),
            perceptual_hash=facts.perceptual_hash,
            width=facts.width,
            height=facts.height,
            format=facts.format,
            variant=self.variant,
            etag=answer.etag if answer.etag and _ETAG.fullmatch(answer.etag) else None,
        )
