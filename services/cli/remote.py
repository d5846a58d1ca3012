"""A home on another machine: the same commands over its HTTP API.

``TUBEGRADER_API_URL`` says where, ``TUBEGRADER_API_TOKEN`` who asks.
"""

import json
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

if TYPE_CHECKING:
    from services.errors import TubeGraderError
    from services.work.job_views import JobView

URL, TOKEN = "TUBEGRADER_API_URL", "TUBEGRADER_API_TOKEN"
_TIMEOUT_S = 90.0
"""An analyst's question may take a minute."""
_POLL_S = 1.0
_PAUSES_S = (0.5, 2.0)
"""Before a job is asked for again."""
_AWAY_S = 60.0
"""So long a home may be away while a job of it is followed: a restart, another network."""
_PAGE = 500
_REFUSED = 500
_ELSEWHERE = 300


class Remote:
    """A home that answers over HTTP."""

    def __init__(self, url: str, token: str | None) -> None:
        """Ask ``url``, which is where its pages are, as whoever has the token.

        Raises:
            UsageError: That is no address, or no token.
        """
        self.url = _address(url).rstrip("/").removesuffix("/api/v1")
        self._token = _checked(token or "")

    def get(self, path: str, kind: Any = Any, /, **query: Any) -> Any:
        """Return what is at a path, as ``kind``; what is None is not asked for."""
        return self._as(kind, self._ask("GET", _with(path, query)))

    def items(self, path: str, kind: Any, /, *, most: int | None = None, **query: Any) -> list[Any]:
        """Return a list, however many pages it has, or the first ``most`` of it."""
        found: list[Any] = []
        after = None
        while most is None or len(found) < most:
            limit = _PAGE if most is None else min(_PAGE, most - len(found))
            page = self.get(path, after=after, limit=limit, **query)
            found += page["items"] if isinstance(page, dict) else page
            after = page.get("next") if isinstance(page, dict) else None
            if after is None:
                break
        return [self._as(kind, each) for each in found]

    def post(self, path: str, body: Any = None, kind: Any = Any, /, **query: Any) -> Any:
        """Have something done; a job is asked for again where the answer was lost."""
        from services.errors import InfrastructureError

        content = json.dumps({} if body is None else body).encode()
        # The same each time: what is asked for again by it makes no second job.
        headers = {"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())}
        whole = _with(path, query)
        for pause_s in _PAUSES_S if path == "/jobs" else ():
            try:
                return self._as(kind, self._ask("POST", whole, content, headers))
            except InfrastructureError:
                time.sleep(pause_s)
        return self._as(kind, self._ask("POST", whole, content, headers))

    def upload(
        self, path: str, files: Sequence[tuple[str, str, bytes]], fields: Mapping[str, Any]
    ) -> Any:
        """Send files, each with the name of its field and its own."""
        boundary = uuid.uuid4().hex
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
            if value is not None
        ]
        content = "".join(parts).encode()
        for field, name, data in files:
            content += (
                f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; '
                f'filename="{_escaped(name)}"\r\nContent-Type: application/octet-stream\r\n\r\n'
            ).encode(errors="replace")
            content += data + b"\r\n"
        content += f"--{boundary}--\r\n".encode()
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return self._ask("POST", path, content, headers)

    def delete(self, path: str, kind: Any = Any, /, **query: Any) -> Any:
        """Remove something; return what is said of it, as ``kind``."""
        return self._as(kind, self._ask("DELETE", _with(path, query)))

    def job(self, job_id: str) -> "JobView":
        """Return a job by its id, or how that begins."""
        from services.work.job_views import JobView

        found: JobView = self.get(f"/jobs/{segment(job_id)}", JobView)
        return found

    def followed(self, job_id: str) -> Any:
        """Yield a job now and again, the last time when it has ended.

        Raises:
            InfrastructureError: Nobody has answered for a minute.
        """
        from services.errors import InfrastructureError

        heard = time.monotonic()
        while True:
            try:
                job = self.job(job_id)
            except InfrastructureError:
                if time.monotonic() - heard > _AWAY_S:
                    raise
            else:
                yield job
                if job.ended:
                    return
                heard = time.monotonic()
            time.sleep(_POLL_S)

    def _ask(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        from http.client import HTTPException
        from urllib.request import HTTPErrorProcessor, ProxyHandler, Request, build_opener

        class Stays(HTTPErrorProcessor):
            """Takes each answer as it is: a token goes to nobody whom one redirects to."""

            def http_response(self, request: Request, response: Any) -> Any:  # noqa: ARG002
                return response

            https_response = http_response

        said = dict(headers or {}) | {"Accept": "application/json"}
        if self._token:
            said["Authorization"] = f"Bearer {self._token}"
        url = f"{self.url}/api/v1{path}"
        request = Request(url, data=content, headers=said, method=method)  # noqa: S310 - checked
        opener = build_opener(Stays, ProxyHandler(self._proxies()))
        try:
            with opener.open(request, timeout=_TIMEOUT_S) as answer:
                status, found = answer.status, answer.read()
        except (OSError, ValueError, HTTPException) as error:
            why = getattr(error, "reason", None) or str(error) or type(error).__name__
            raise _away(f"{self.url} does not answer: {ascii(str(why))[1:-1]}") from None
        if status >= _ELSEWHERE:
            raise _of_answer(status, found, self.url)
        try:
            return json.loads(found or b"null")
        except (ValueError, RecursionError):
            raise _away(f"{self.url} answers with no JSON") from None

    def _proxies(self) -> dict[str, str]:
        """Return the environment's proxy for that home: none for one on this machine.

        Raises:
            UsageError: It would read the token.
        """
        from services.errors import UsageError
        from services.youtube.proxies import http_proxy

        proxy = http_proxy(self.url)
        scheme = urlsplit(self.url).scheme
        if proxy is not None and self._token and scheme == "http":
            raise UsageError(
                f"the proxy of the environment would read {TOKEN} on its way to {self.url}",
                reason="tokenInClear",
                hint="take an https address, or except the host by NO_PROXY",
            )
        return {} if proxy is None else {scheme: proxy}

    def _as(self, kind: Any, found: Any) -> Any:
        if kind is Any:
            return found
        from pydantic import TypeAdapter, ValidationError

        try:
            return TypeAdapter(kind).validate_python(found)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise _away(f"{self.url} answers otherwise: {where}: {first['msg']}") from None


def home() -> Remote | None:
    """Return the home on another machine that commands are for, if they are for one."""
    url = os.environ.get(URL)
    return Remote(url, os.environ.get(TOKEN)) if url else None


def misread(error: Exception) -> "TubeGraderError | None":
    """Return one line about an answer that was not of the form expected; None if it was no such."""
    url = os.environ.get(URL)
    if not url or not isinstance(error, KeyError | TypeError | AttributeError):
        return None
    return _away(f"what {url} answers cannot be used: {type(error).__name__}: {error}")


def refuse(what: str = "this") -> None:
    """Refuse what only the home's own machine can do, where commands are for another.

    Raises:
        UsageError: They are.
    """
    if os.environ.get(URL):
        from services.errors import UsageError

        raise UsageError(
            f"{what} cannot be done from another machine ({URL} is set)",
            reason="notRemote",
            hint="do it on the machine of the home, or here without that setting",
        )


def segment(name: str) -> str:
    """Return a name as a part of a path."""
    return quote(name, safe="@")


def channel(typed: str) -> str:
    """Return a channel as a part of a path, however it was typed.

    Raises:
        UsageError: It names no channel.
    """
    from services.naming import parse_channel
    from services.youtube.identifiers import ReferenceKind

    named = parse_channel(typed)
    if named.kind is ReferenceKind.ID:
        return segment(named.value)
    if named.kind is ReferenceKind.HANDLE:
        return segment(f"@{named.value}")
    # Only its address names it, and an escaped slash is a slash there: it is escaped twice.
    mark = "user" if named.kind is ReferenceKind.USERNAME else "c"
    return segment(quote(f"youtube.com/{mark}/{named.value}", safe=""))


def _with(path: str, query: Mapping[str, Any]) -> str:
    """Return a path with what is asked for; what is None is not."""
    asked = urlencode({k: v for k, v in query.items() if v is not None})
    return f"{path}?{asked}" if asked else path


def _escaped(name: str) -> str:
    """Return a file's name as browsers write it into a form."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _address(url: str) -> str:
    """Return an address as it can be asked.

    Raises:
        UsageError: It is none; a password in it is not shown.
    """
    from services.errors import UsageError

    url = url.strip()
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if fits and url.isascii() and url.isprintable() and not set(url) & set(" @?#"):
        return url
    shown = "what it is set to" if "@" in url else ascii(url)
    raise UsageError(
        f"{URL} is no address: {shown}",
        hint="such as https://tubegrader.example.org; who asks is said by a token",
    )


def _checked(token: str) -> str | None:
    """Return a token without what came along around it, None where there is none.

    Raises:
        UsageError: No token looks so; it is not shown.
    """
    token = token.strip()
    if not all("!" <= character <= "~" for character in token):
        from services.errors import UsageError

        raise UsageError(
            f"{TOKEN} is no token: there are blanks or odd characters in it",
            hint="copy it again, as `tubegrader tokens` on the home's machine printed it",
        )
    return token or None


def _away(said: str) -> "TubeGraderError":
    from services.errors import InfrastructureError

    return InfrastructureError(
        said,
        reason="apiAway",
        hint=f"is `tubegrader up` there, of this version, and {URL} its address? "
        "Unset it for this machine",
    )


def _of_answer(status: int, content: bytes, url: str) -> "TubeGraderError":
    """Return the failure that an answer tells of: the product's own words, where it has some."""
    from services.errors import InfrastructureError, NotFoundError, PermanentError, UsageError

    try:
        problem = json.loads(content)
        said, reason, hint = str(problem["detail"]), str(problem["reason"]), problem.get("hint")
    except (ValueError, KeyError, TypeError):
        said, reason, hint = f"{url} answers {status}", "http", f"is {URL} a TubeGrader's?"
    if status == 401 and not hint:  # noqa: PLR2004
        hint = f"set {TOKEN}; `tubegrader tokens` on the home's machine makes one"
    kinds = {400: UsageError, 422: UsageError, 401: UsageError, 403: UsageError, 404: NotFoundError}
    default = InfrastructureError if status >= _REFUSED else PermanentError
    kind: Any = kinds.get(status, default)
    error: TubeGraderError = kind(said, reason=reason, hint=hint)
    return error
