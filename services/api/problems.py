"""Failures as answers: problem+json (RFC 9457) for programs, a page for people."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from services.api.rendering import page
from services.errors import (
    BlockedError,
    BusyError,
    NotFoundError,
    QuotaError,
    TransientError,
    TubeGraderError,
    UsageError,
)

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
_RETRY_AFTER_S = 5
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; media-src 'self' blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    # With no-referrer browsers say that the origin of our own forms is "null".
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Of every answer."""


@dataclass(frozen=True)
class Problem:
    """What went wrong, as RFC 9457 puts it, with the product's own reason and hint.

    Attributes:
        title: In a few words; the same for all of a status.
        status: Of the answer.
        detail: What happened.
        reason: A stable word to count by, such as ``noModel``.
        hint: What to do about it.
        errors: Which parts of the request are wrong, each with its place and what is wanted.
    """

    title: str
    status: int
    detail: str
    reason: str
    hint: str | None = None
    errors: list[dict[str, Any]] | None = None
    type: str = "about:blank"


_TITLES = {
    400: "That cannot be asked for",
    401: "Say who you are",
    403: "Not allowed",
    404: "There is no such thing",
    405: "Not in this way",
    409: "Not as things stand",
    408: "Too slow",
    413: "Too large",
    421: "Not this server",
    422: "The request is malformed",
    429: "Too much for now",
    431: "Too large",
    500: "Something is broken here",
    503: "Not now",
}
_STATUSES: tuple[tuple[type[TubeGraderError], int], ...] = (
    (NotFoundError, 404),
    (UsageError, 400),
    (QuotaError, 429),
    (BusyError, 409),
    (TransientError, 503),
    (BlockedError, 503),
)


def problem(
    status: int,
    detail: str,
    reason: str,
    *,
    hint: str | None = None,
    errors: list[dict[str, Any]] | None = None,
) -> Problem:
    """Return the problem of a status."""
    return Problem(_TITLES.get(status, "It did not work"), status, detail, reason, hint, errors)


def of_error(error: TubeGraderError) -> Problem:
    """Return what an expected failure is over HTTP."""
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 409)
    return problem(status, str(error), error.reason, hint=error.hint)


async def answer_expected(request: Request, error: Exception) -> Response:
    """Answer a failure that the services expect."""
    assert isinstance(error, TubeGraderError)
    found = of_error(error)
    headers: dict[str, str] = {}
    if isinstance(error, QuotaError):
        left = (error.reset_at - datetime.now(UTC)).total_seconds()
        headers["Retry-After"] = str(max(1, round(left)))
    elif found.status == 503:  # noqa: PLR2004
        headers["Retry-After"] = str(_RETRY_AFTER_S)
    return answer(request, found, headers)


async def answer_malformed(request: Request, error: Exception) -> Response:
    """Answer a request whose parameters or body are not what is documented."""
    assert isinstance(error, RequestValidationError)
    errors = [
        {"where": ".".join(str(part) for part in each["loc"]), "wanted": each["msg"]}
        for each in error.errors()
    ]
    said = "; ".join(f"{each['where']}: {each['wanted']}" for each in errors)
    return answer(request, problem(422, said, "malformed", errors=errors))


async def answer_http(request: Request, error: Exception) -> Response:
    """Answer what the framework refuses: no such address, no such method."""
    assert isinstance(error, HTTPException)
    detail = str(error.detail)
    if error.status_code == 404:  # noqa: PLR2004
        detail = f"there is nothing at {request.url.path}"
    return answer(request, problem(error.status_code, detail, "http"), dict(error.headers or {}))


async def answer_defect(request: Request, error: Exception) -> Response:
    """Answer what nobody expected; what it was is in the log and not in the answer."""
    log.error("api.crashed", path=request.url.path, exc_info=error)
    said = "this is a defect; its trace is in the log of the api"
    # Made outside of the guards, which set them for all others.
    return answer(request, problem(500, said, "defect"), SECURITY_HEADERS)


def answer(request: Request, found: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """Return a problem as whoever asks reads it."""
    if request.url.path.startswith("/api/") or "text/html" not in request.headers.get("accept", ""):
        shown = {name: value for name, value in vars(found).items() if value is not None}
        return JSONResponse(
            shown, status_code=found.status, media_type=MEDIA_TYPE, headers=dict(headers or {})
        )
    response = page(
        "problem.html",
        request,
        problem=found,
        path=request.url.path,
        status_code=found.status,
    )
    response.headers.update(headers or {})
    return response
