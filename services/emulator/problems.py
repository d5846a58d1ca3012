"""What the Data API answers when it refuses: a status, a reason, and a body of its own shape."""

from typing import Any


class ApiError(Exception):
    """A refusal, raised anywhere below a method and sent as its answer.

    Attributes:
        status: HTTP status.
        reason: The word that clients tell refusals apart by.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        domain: str,
        location: str | None = None,
        location_type: str = "parameter",
        rpc_status: str | None = None,
        detail: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self._domain = domain
        self._location = location
        self._location_type = location_type
        self._rpc_status = rpc_status
        self._detail = detail

    def body(self) -> dict[str, Any]:
        """Return the body: ``error.code``, ``.message``, ``.errors[]`` and, new-style, more."""
        message = str(self)
        one: dict[str, str] = {"message": message, "domain": self._domain, "reason": self.reason}
        if self._location is not None:
            one |= {"location": self._location, "locationType": self._location_type}
        error: dict[str, Any] = {"code": self.status, "message": message, "errors": [one]}
        if self._rpc_status is not None:
            error["status"] = self._rpc_status
        if self._detail is not None:
            error["details"] = [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": self._detail,
                    "domain": "googleapis.com",
                    "metadata": {"service": "youtube.googleapis.com"},
                }
            ]
        return {"error": error}


def missing_key() -> ApiError:
    """No key at all: the caller has no identity, so nothing is charged."""
    return ApiError(
        403,
        "forbidden",
        "Callers without an identity are refused: send an API key with the request.",
        domain="global",
        rpc_status="PERMISSION_DENIED",
    )


def wrong_key() -> ApiError:
    """A key nobody issued.

    YouTube said ``keyInvalid`` until about 2020; it now says ``badRequest`` and leaves the real
    reason in ``details``. We answer as it does today.
    """
    return ApiError(
        400,
        "badRequest",
        "API key not valid. Please pass a valid API key.",
        domain="global",
        rpc_status="INVALID_ARGUMENT",
        detail="API_KEY_INVALID",
    )


def quota_exceeded() -> ApiError:
    """The bucket is empty until Pacific midnight; the message carries HTML, as YouTube's does."""
    link = '<a href="/youtube/v3/getting-started#quota">quota</a>'
    message = f"The request cannot be completed because you have exceeded your {link}."
    return ApiError(403, "quotaExceeded", message, domain="youtube.quota")


def bad_parameter(name: str, message: str, *, reason: str = "invalidParameter") -> ApiError:
    """A parameter whose value makes no sense."""
    return ApiError(400, reason, message, domain="youtube.parameter", location=name)


def bad_filters(reason: str, message: str) -> ApiError:
    """Filters missing, clashing or over their limit."""
    return ApiError(
        400,
        reason,
        message,
        domain="youtube.parameter",
        location="parameters.",
        location_type="other",
    )


def unknown_part(part: str) -> ApiError:
    """A ``part`` that the method does not have; the message is the bare name, quoted."""
    return ApiError(400, "unknownPart", f"'{part}'", domain="youtube.part", location="part")


def not_authorized(what: str) -> ApiError:
    """Something only its owner may see."""
    return ApiError(
        403,
        "forbidden",
        f"{what} is shown to its owner only.",
        domain="youtube.common",
        rpc_status="PERMISSION_DENIED",
    )


def invalid_token() -> ApiError:
    """A page token of another list, of nobody's, or one that has expired."""
    return bad_parameter(
        "pageToken", "The request specifies an invalid page token.", reason="invalidPageToken"
    )


def backend_error() -> ApiError:
    """Something broke on YouTube's side."""
    return ApiError(500, "backendError", "Backend Error", domain="global")


def no_such_playlist() -> ApiError:
    """Unknown, private or empty: YouTube answers all three alike."""
    message = "No playlist was found for the request's <code>playlistId</code> parameter."
    return ApiError(
        404, "playlistNotFound", message, domain="youtube.playlistItem", location="playlistId"
    )


def no_such_method(path: str) -> ApiError:
    """A path or verb that the emulator does not serve."""
    return ApiError(404, "notFound", f"Nothing is served at {path}.", domain="global")
