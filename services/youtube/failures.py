"""The Data API's failures, sorted into the kinds of ``services.errors``.

The line that matters most runs between *this item* (``PermanentError``: the channel is closed, the
page token is old), *the key* (``ApiKeyError``: nothing will work before somebody acts) and *not
YouTube at all* (``BlockedError``: a proxy's or a wrong server's page). Only the first may ever
change what we believe about a channel.
"""

import http.client
import json
import re
import socket
import ssl
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any

import httplib2
from googleapiclient.errors import HttpError

from services.errors import (
    BlockedError,
    PermanentError,
    QuotaError,
    TransientError,
    TubeGraderError,
    UsageError,
)
from services.youtube.parsing import clean_text
from services.youtube.quota import quota_error, reset_at

CALL_FAILURES = (
    HttpError,
    httplib2.HttpLib2Error,
    http.client.HTTPException,
    OSError,
    ValueError,  # bodies that are no JSON, or no UTF-8
    RecursionError,  # JSON nested thousands deep
    AttributeError,  # the client trips over error bodies of another shape,
    TypeError,  # and over an error that is no object
)
"""All that a call through the client can raise when the other side misbehaves."""

MOST_TRANSIENT = 2
"""Failures in passing in a row after which the rest is not asked for."""

KEY_HINT = (
    "Set TUBEGRADER_YOUTUBE_API_KEY to a key of a Google Cloud project in which the YouTube Data "
    "API v3 is enabled and which may be used from this machine."
)
ENDPOINT_HINT = "Check the network and TUBEGRADER_YOUTUBE_ENDPOINT."

_KEY_REASONS = frozenset(
    reason.lower()
    for reason in (
        "keyMissing",
        "keyInvalid",
        "keyExpired",
        "accessNotConfigured",
        "ipRefererBlocked",
        "dailyLimitExceededUnreg",
        "authError",
        "API_KEY_INVALID",
        "API_KEY_EXPIRED",
        "API_KEY_SERVICE_BLOCKED",
        "API_KEY_HTTP_REFERRER_BLOCKED",
        "API_KEY_IP_ADDRESS_BLOCKED",
        "API_KEY_ANDROID_APP_BLOCKED",
        "API_KEY_IOS_APP_BLOCKED",
        "SERVICE_DISABLED",
        "CONSUMER_INVALID",
        "CONSUMER_SUSPENDED",
        "CREDENTIALS_MISSING",
    )
)
_KEY_WORDS = re.compile(
    r"\bAPI key\b|unregistered callers|Requests from (referer|this)", re.IGNORECASE
)
"""Some refusals of a key say only ``badRequest`` or ``forbidden``, like those of an item."""
_VAGUE_REASONS = frozenset({"", "badrequest", "forbidden"})
_QUOTA_REASONS = frozenset({"quotaexceeded", "dailylimitexceeded"})
_RATE_REASONS = frozenset(
    {"ratelimitexceeded", "userratelimitexceeded", "rate_limit_exceeded", "resource_exhausted"}
)
NO_ANSWER_REASONS = frozenset({"noNetwork", "timeout", "connectionRefused", "redirectRefused"})
"""The host itself said nothing, so that nothing follows for what it was asked for."""
_LONGEST_LINE = 200
_PER_DAY = re.compile(r"per ?day", re.IGNORECASE)
_METHOD_STATUSES = frozenset(
    {HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED}
)
_TRANSIENT_STATUSES = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY})


class ApiKeyError(PermanentError):
    """The key is missing, wrong or not allowed here: no call can work; no item is at fault."""


def concerns_key(reason: str) -> bool:
    """Tell whether a reason, as recorded on an item, is about the key and not about the item."""
    return reason.lower() in _KEY_REASONS


def missing_key() -> ApiKeyError:
    """Return the error for a call without any key."""
    return ApiKeyError("No YouTube API key is set.", reason="keyMissing", hint=KEY_HINT)


def malformed_answer() -> TransientError:
    """Return the error for a success whose body is not the JSON object it should be."""
    return TransientError(
        "YouTube's answer is not the JSON it should be.",
        reason="malformedAnswer",
        hint=ENDPOINT_HINT,
    )


def classify(
    error: BaseException, *, bucket: str, now: datetime, secret: str = ""
) -> TubeGraderError:
    """Return what a failed call means.

    Args:
        error: One of ``CALL_FAILURES``.
        bucket: The quota bucket of the call, named when it is empty.
        now: When the call was made: an empty bucket fills at the next Pacific midnight.
        secret: The API key, blotted out should YouTube's message repeat it.
    """
    if isinstance(error, HttpError):
        return _from_refusal(_Refused.read(error, secret), bucket=bucket, now=now)
    return _from_transport(error)


@dataclass(frozen=True, slots=True)
class _Refused:
    """An HTTP error: its reasons, the old style's first, and YouTube's own words."""

    status: int
    reasons: tuple[str, ...]
    message: str
    is_from_api: bool
    """Whether the body is the Data API's JSON with its list of errors."""
    names_a_day: bool

    @classmethod
    def read(cls, error: HttpError, secret: str) -> "_Refused":
        try:
            body = json.loads(error.content)
        except (ValueError, RecursionError):
            body = None
        details = body.get("error") if isinstance(body, dict) else None
        if not isinstance(details, dict):
            return cls(int(error.resp.status), (), "", is_from_api=False, names_a_day=False)
        errors = _objects(details.get("errors"))
        infos = _objects(details.get("details"))
        reasons = [entry.get("reason") for entry in (*errors, *infos)]
        message = details.get("message")
        return cls(
            status=int(error.resp.status),
            reasons=tuple(r for r in reasons if isinstance(r, str) and r),
            message=_one_line(message, secret) if isinstance(message, str) else "",
            is_from_api=bool(errors or infos),
            names_a_day=bool(_PER_DAY.search(f"{message} {infos}")),
        )

    def says(self, words: frozenset[str]) -> bool:
        return any(reason.lower() in words for reason in self.reasons)

    @property
    def reason(self) -> str:
        return _one_line(self.reasons[0], "")[:60] if self.reasons else ""


def _from_refusal(refused: _Refused, *, bucket: str, now: datetime) -> TubeGraderError:
    if refused.says(_QUOTA_REASONS):
        return quota_error(bucket, reset_at(now))
    if _is_about_the_key(refused):
        said = refused.message or f"HTTP {refused.status}"
        reason = next((r for r in refused.reasons if r.lower() in _KEY_REASONS), "keyInvalid")
        return ApiKeyError(f"YouTube refuses the API key: {said}", reason=reason, hint=KEY_HINT)
    if refused.status == HTTPStatus.TOO_MANY_REQUESTS or refused.says(_RATE_REASONS):
        if refused.names_a_day:
            return quota_error(bucket, reset_at(now))
        return BlockedError(
            "YouTube says we ask too fast.",
            reason="rateLimitExceeded",
            hint="Crawling pauses and goes on by itself; if it recurs, crawl with fewer workers.",
        )
    if refused.status in _METHOD_STATUSES and not refused.is_from_api:
        return BlockedError(
            f"The server does not know this method of the Data API (HTTP {refused.status}).",
            reason="methodUnavailable",
            hint=ENDPOINT_HINT,
        )
    if (passing := _in_passing(refused)) is not None:
        return passing
    if not refused.is_from_api:
        return BlockedError(
            f"Something that is not the Data API answered with HTTP {refused.status}.",
            reason="notTheDataApi",
            hint=ENDPOINT_HINT,
        )
    return PermanentError(
        f"YouTube refuses: {refused.message or refused.reason}", reason=refused.reason or "refused"
    )


def _in_passing(refused: _Refused) -> TransientError | None:
    if HTTPStatus.MULTIPLE_CHOICES <= refused.status < HTTPStatus.BAD_REQUEST:
        return TransientError(
            f"A redirect (HTTP {refused.status}) came: does the network want somebody to log in?",
            reason="redirectRefused",
            hint=ENDPOINT_HINT,
        )
    if refused.status >= HTTPStatus.INTERNAL_SERVER_ERROR or refused.status in _TRANSIENT_STATUSES:
        return TransientError(
            f"YouTube fails at the moment (HTTP {refused.status}).",
            reason=refused.reason or f"http{refused.status}",
        )
    return None


def _is_about_the_key(refused: _Refused) -> bool:
    if refused.says(_KEY_REASONS) or refused.status == HTTPStatus.UNAUTHORIZED:
        return True
    vague = all(reason.lower() in _VAGUE_REASONS for reason in refused.reasons)
    return vague and bool(_KEY_WORDS.search(refused.message))


def _from_transport(error: BaseException) -> TubeGraderError:
    match error:
        case ssl.SSLCertVerificationError():
            return BlockedError(
                "The server cannot prove that it is YouTube (its certificate is not trusted).",
                reason="certificateRefused",
                hint=ENDPOINT_HINT,
            )
        case socket.gaierror():
            return _unreachable("YouTube's address cannot be looked up.", "noNetwork")
        case TimeoutError():
            return _unreachable("YouTube did not answer in time.", "timeout")
        case ConnectionRefusedError():
            return _unreachable("The connection was refused.", "connectionRefused")
        case http.client.HTTPException() | ConnectionError():
            return _unreachable("The connection broke off.", "connectionLost")
        case OSError():
            return _unreachable("YouTube cannot be reached.", "noNetwork")
        case _:
            return malformed_answer()


def _unreachable(message: str, reason: str) -> TransientError:
    return TransientError(message, reason=reason, hint=ENDPOINT_HINT)


def _objects(value: object) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _one_line(message: str, secret: str) -> str:
    """Strip tags (YouTube's quota message has links), the key, and whatever breaks a line."""
    plain = re.sub(r"<[^<>]*>", "", message)
    if secret:
        plain = plain.replace(secret, "…")
    plain = " ".join("".join(c if c.isprintable() else " " for c in clean_text(plain)).split())
    return plain if len(plain) <= _LONGEST_LINE else plain[: _LONGEST_LINE - 1] + "…"


class Streak:
    """Failures of one item after another: is there use in asking for the next?"""

    def __init__(self) -> None:
        self._transient = 0

    def ends_with(self, error: TubeGraderError) -> bool:
        """Note a failure; tell whether the items that follow would fail alike.

        They would when it concerns every item, or when so many in a row failed in passing: each
        takes a minute to time out, and the lease runs.
        """
        self._transient = self._transient + 1 if isinstance(error, TransientError) else 0
        concerns_all = isinstance(error, ApiKeyError | QuotaError | BlockedError | UsageError)
        return concerns_all or self._transient == MOST_TRANSIENT

    def broken(self) -> None:
        """Note that an item went well."""
        self._transient = 0
