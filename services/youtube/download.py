"""Pooled downloads of small public files: one host, no redirects, a limit on bytes and time."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp

from services.errors import (
    BlockedError,
    PermanentError,
    TransientError,
    TubeGraderError,
    UsageError,
)
from services.youtube.proxies import http_proxy


@dataclass(frozen=True, slots=True)
class Download:
    """An answer's status, its body up to the limit, and its ETag."""

    status: int
    content: bytes
    etag: str | None


class BodyTooLargeError(Exception):
    """The body is larger than allowed; the rest was not read."""


def open_session(*, concurrency: int, timeout_s: float) -> aiohttp.ClientSession:
    """Open a pool of ``concurrency`` connections; each answer must be there in ``timeout_s``."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=concurrency),
        timeout=aiohttp.ClientTimeout(total=timeout_s),
        cookie_jar=aiohttp.DummyCookieJar(),
        # Bytes are stored as they come, and a compressed body could be a bomb.
        auto_decompress=False,
        headers={"Accept-Encoding": "identity"},
    )


async def download(
    session: aiohttp.ClientSession,
    address: str,
    *,
    max_bytes: int,
    headers: Mapping[str, str] | None = None,
) -> Download:
    """Get ``address``, whatever the status.

    Raises:
        BodyTooLargeError: the body has more than ``max_bytes``, announced or not.
        TransientError: the other side cannot be reached, is too slow or breaks off.
    """
    try:
        async with session.get(
            address, headers=headers, allow_redirects=False, proxy=http_proxy(address)
        ) as response:
            if response.content_length is not None and response.content_length > max_bytes:
                raise BodyTooLargeError
            content = bytearray()
            async for piece in response.content.iter_any():
                content += piece
                if len(content) > max_bytes:
                    raise BodyTooLargeError
            return Download(response.status, bytes(content), response.headers.get("ETag"))
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise _unreachable(error) from error


def checked_base(base_url: str) -> str:
    """Return a configured base address, fit to have a path appended.

    Raises:
        UsageError: it is more, less or other than ``http(s)://host[:port][/path]``.
    """
    try:
        parts = urlsplit(base_url)
        fit = (
            parts.scheme in {"http", "https"}
            and bool(parts.hostname)
            and (parts.port is None or parts.port > 0)
            and not (parts.query or parts.fragment or "@" in parts.netloc)
        )
    except ValueError:
        fit = False
    if not fit:
        raise UsageError(
            f"“{base_url}” is no base address.",
            hint="Give one such as https://i.ytimg.com or http://127.0.0.1:8080.",
            reason="badBaseAddress",
        )
    return base_url.rstrip("/")


def refused_status(status: int, what: str) -> TubeGraderError:
    """Return what an HTTP status other than success means for a public file."""
    match status:
        case 404 | 410:
            return PermanentError(f"There is no {what}.", reason=f"{what}Missing")
        case 408 | 425 | 429 | 500 | 501 | 502 | 503 | 504 | 505:
            return TransientError(f"HTTP {status} instead of a {what}.", reason=f"http{status}")
        case 401 | 403:
            return BlockedError(f"HTTP {status} instead of a {what}.", reason=f"http{status}")
        case _ if 300 <= status < 400:  # noqa: PLR2004
            # These hosts never redirect: a network wants somebody to log in first.
            return TransientError(
                f"A redirect (HTTP {status}) instead of a {what}.", reason="redirectRefused"
            )
        case _:
            return PermanentError(f"HTTP {status} instead of a {what}.", reason=f"http{status}")


def _unreachable(error: Exception) -> TransientError:
    match error:
        case TimeoutError():
            return TransientError("The server did not answer in time.", reason="timeout")
        case aiohttp.ClientHttpProxyError():
            return TransientError("The proxy refuses us.", reason="proxyFailed")
        case aiohttp.ClientConnectorDNSError():
            return TransientError("The server's address is unknown.", reason="noNetwork")
        case aiohttp.ClientConnectorError():
            return TransientError("The server cannot be reached.", reason="connectionRefused")
        case aiohttp.ClientPayloadError() | aiohttp.ClientConnectionError() | OSError():
            return TransientError("The connection broke off.", reason="connectionLost")
        case _:
            return TransientError("The answer is not HTTP.", reason="malformedAnswer")
