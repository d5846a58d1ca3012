"""yt-dlp's failures, sorted into the kinds of ``services.errors``.

yt-dlp reports what YouTube said in prose, so the prose is read. What concerns this video is
permanent; being asked to prove that we are no robot concerns every video and every worker.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from yt_dlp.cookies import CookieLoadError
from yt_dlp.networking import exceptions as network
from yt_dlp.utils import ContentTooShortError, GeoRestrictedError, UnsupportedError

from services.errors import (
    BlockedError,
    PermanentError,
    TransientError,
    TubeGraderError,
    UsageError,
)
from services.youtube.audio.facts import NotYetError
from services.youtube.download import refused_status

_COOKIES = "A cookies file of an account that may see it (TUBEGRADER_YTDLP_COOKIES) can help."
_NETWORK = "Check the network, TUBEGRADER_MEDIA_URL and TUBEGRADER_YTDLP_PROXY."
_SLOW_DOWN = (
    "Downloads pause for an hour or more, then one is tried. Waiting alone rarely heals it: ask "
    "less often (TUBEGRADER_YTDLP_SLEEP_S), from another address (TUBEGRADER_YTDLP_PROXY), or with "
    "cookies (TUBEGRADER_YTDLP_COOKIES)."
)
_LONGEST_LINE = 200


class RefusedError(network.RequestError):  # type: ignore[misc]  # yt-dlp is untyped
    """Carries an error of ours through yt-dlp, which lets only its own kinds pass unchanged."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def classify(error: BaseException, *, now: datetime, transferring: bool = False) -> Exception:
    """Return what a failure of yt-dlp means: an error of ``services.errors``.

    An error that travelled in a ``RefusedError`` comes back as it was.

    Args:
        error: What was raised.
        now: The present moment; what is announced is reckoned from it.
        transferring: The page was read and the file was being loaded. Its address is good for a
            while only, so a refusal of it says nothing about the video.
    """
    chain = list(_chain(error))
    carried = next((one.error for one in chain if isinstance(one, RefusedError)), None)
    if carried is not None:
        return carried
    text = " ".join(str(one) for one in chain)
    for known in _KNOWN:
        if known.words.search(text):
            return known.make()
    if _UPCOMING.search(text):
        return NotYetError(
            "The video is announced and not there yet.",
            reason="upcoming",
            not_before=_announced(text, now),
        )
    if any(isinstance(one, GeoRestrictedError) for one in chain):
        return _geo_blocked()
    if any(isinstance(one, CookieLoadError) for one in chain):
        return UsageError(
            "The cookies file cannot be used.",
            hint="TUBEGRADER_YTDLP_COOKIES names a file in Netscape's format.",
            reason="badCookiesFile",
        )
    if any(isinstance(one, UnsupportedError) for one in chain):
        return TransientError("The page shows no video.", reason="malformedAnswer", hint=_NETWORK)
    return _from_network(chain, text, transferring=transferring)


@dataclass(frozen=True, slots=True)
class _Known:
    """Words of YouTube's or yt-dlp's, and what they mean."""

    words: re.Pattern[str]
    make: Callable[[], TubeGraderError]


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.replace("'", "['’]"), re.IGNORECASE)


def _permanent(message: str, reason: str, hint: str | None = None) -> Callable[[], TubeGraderError]:
    return lambda: PermanentError(message, reason=reason, hint=hint)


def _blocked(message: str, reason: str, hint: str) -> Callable[[], TubeGraderError]:
    return lambda: BlockedError(message, reason=reason, hint=hint)


def _geo_blocked() -> PermanentError:
    return PermanentError(
        "The video may not be seen from here.",
        reason="geoBlocked",
        hint="A proxy elsewhere (TUBEGRADER_YTDLP_PROXY) sees it, if you may use one.",
    )


_KNOWN = (
    _Known(
        _words(r"not a bot\b|captcha challenge"),
        _blocked("YouTube asks for proof that we are no robot.", "botCheck", _SLOW_DOWN),
    ),
    _Known(
        _words(r"HTTP Error 429\b|rate-limited|isn't available, try again later"),
        _blocked("YouTube says we ask too often.", "rateLimited", _SLOW_DOWN),
    ),
    _Known(
        _words(r"HTTP Error 407\b"),
        _blocked("The proxy refuses us.", "proxyRefused", "Check TUBEGRADER_YTDLP_PROXY."),
    ),
    _Known(
        _words(r"confirm your age|age-restricted|inappropriate for some users"),
        _permanent("The video is for adults who signed in.", "ageGated", _COOKIES),
    ),
    _Known(
        _words(r"members-only|join this channel|available to this channel's members"),
        _permanent("The video is for the channel's members.", "membersOnly", _COOKIES),
    ),
    _Known(
        _words(r"private video|video is private"),
        _permanent("The video is private.", "private", _COOKIES),
    ),
    _Known(
        _words(
            r"available in your country|available from your location|geo.?restrict"
            r"|HTTP Error 451\b"
        ),
        _geo_blocked,
    ),
    _Known(
        _words(r"\bDRM\b"),
        _permanent("The video is encrypted.", "drmProtected"),
    ),
    _Known(
        _words(r"has been removed|no longer available|has been terminated|video does not exist"),
        _permanent("The video is gone.", "removed"),
    ),
    _Known(
        _words(r"requested format is not available|no video formats found|only images are"),
        _permanent("The video has no sound that could be taken.", "noAudio"),
    ),
    _Known(
        _words(r"unable to (open for writing|write data)|No space left"),
        lambda: TransientError(
            "The audio cannot be written.", reason="cannotWrite", hint="Is the disk full?"
        ),
    ),
    _Known(
        _words(r"did not get any data blocks"),
        lambda: TransientError("The file is empty.", reason="emptyFile"),
    ),
    _Known(
        _words(r"\bsign in\b|login required"),
        _permanent("The video is shown to those who signed in.", "loginRequired", _COOKIES),
    ),
    _Known(
        _words(r"video unavailable|video is (not available|unavailable)"),
        _permanent("The video is not available.", "unavailable"),
    ),
)
"""In order: the first whose words occur decides."""

_UPCOMING = _words(
    r"premieres? (in|will begin)|live event will begin|live stream will begin|begin shortly"
)
_IN_TIME = re.compile(r"\bin (?P<n>\d{1,4}) (?P<unit>second|minute|hour|day|week|month)s?\b")
_UNITS = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
    "month": timedelta(days=30),
}


def _announced(text: str, now: datetime) -> datetime | None:
    """Return when it begins, where YouTube says so, such as ``in 3 hours``."""
    found = _IN_TIME.search(text)
    return None if found is None else now + int(found["n"]) * _UNITS[found["unit"]]


def _from_network(chain: list[BaseException], text: str, *, transferring: bool) -> TubeGraderError:
    refused = next((one for one in chain if isinstance(one, network.HTTPError)), None)
    if refused is not None:
        status = int(refused.status)
        if refused.redirect_loop:
            return TransientError("Redirects without end.", reason="redirectRefused")
        if status in _GONE and not transferring:
            return PermanentError("The video is gone.", reason="removed")
        if status in _OUTDATED and transferring:
            return TransientError(
                f"The audio's address is refused (HTTP {status}); the next attempt gets another.",
                reason=f"http{status}",
            )
        return refused_status(status, "file" if transferring else "page")
    for kinds, words, make in _BROKEN:
        if any(isinstance(one, kinds) for one in chain) or words.search(text):
            return make()
    return TransientError(
        f"yt-dlp failed: {_one_line(text)}",
        reason="downloaderFailed",
        hint="A newer yt-dlp often mends it: pip install --upgrade yt-dlp",
    )


def _transient(message: str, reason: str, hint: str | None = None) -> Callable[[], TubeGraderError]:
    return lambda: TransientError(message, reason=reason, hint=hint)


_GONE = frozenset({404, 410})
_OUTDATED = frozenset({401, 403, 404, 410})
_NEVER = _words(r"(?!)")
_BROKEN: tuple[tuple[tuple[type, ...], re.Pattern[str], Callable[[], TubeGraderError]], ...] = (
    (
        (network.CertificateVerifyError,),
        _NEVER,
        _blocked(
            "The server cannot prove who it is (its certificate is not trusted).",
            "certificateRefused",
            _NETWORK,
        ),
    ),
    (
        (ContentTooShortError, network.IncompleteRead),
        _words("bytes, expected|more expected"),
        _transient("The audio broke off.", "truncated"),
    ),
    ((network.ProxyError,), _NEVER, _transient("The proxy fails.", "proxyFailed", _NETWORK)),
    (
        (TimeoutError,),
        _words("timed out"),
        _transient("YouTube did not answer in time.", "timeout", _NETWORK),
    ),
    (
        (ConnectionResetError, BrokenPipeError),
        _words("closed connection without response|connection reset|broken pipe"),
        _transient("The connection broke off.", "connectionLost"),
    ),
    (
        (network.TransportError, OSError),
        _NEVER,
        _transient("YouTube cannot be reached.", "networkDown", _NETWORK),
    ),
)
"""In order: exceptions in the chain or words in the message, and what they mean."""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that yt-dlp says it came of, each once."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        inner = getattr(one, "exc_info", None)
        causes = [
            inner[1] if isinstance(inner, tuple) else None,
            getattr(one, "cause", None),
            getattr(one, "reason", None),
            one.__cause__,
        ]
        waiting += [cause for cause in causes if isinstance(cause, BaseException)]


def _one_line(text: str) -> str:
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return plain if len(plain) <= _LONGEST_LINE else plain[: _LONGEST_LINE - 1] + "…"
