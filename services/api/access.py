"""Who asks, and whether they may: before anything of the request's body is read.

Without any token everybody who reaches the loopback address may do everything, as on a laptop of
one's own. From the first token on, and on any other address, each request needs one.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar
from urllib.parse import quote

import anyio
import structlog
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services import tokens
from services.api.guards import SAFE, is_from_own_page
from services.api.permissions import PUBLIC, WIDEST, Permissions
from services.api.problems import Problem, answer, of_error, problem
from services.api.rates import Rate
from services.api.sessions import Sessions, session_cookie
from services.context import Context
from services.errors import TubeGraderError

REMEMBERED_S: Final = 2.0
"""How long it is remembered what a token may; as long a revoked one lets somebody in yet."""
MOST_REMEMBERED: Final = 1_000
WRONG_PER_MINUTE: Final = 30
"""Wrong tokens that one address may show."""
SIGN_INS_PER_MINUTE: Final = 20
"""Wrong tokens that may be typed at one address."""
OF_SETTING: Final = 0
"""In place of a token's id: the token that the settings name."""
CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="TubeGrader"'}

Found = TypeVar("Found")
log = structlog.get_logger()


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        name: Of the token; what they do is noted under it.
        scope: The widest that they have.
        token_id: The token's; None: none is needed here.
        by_cookie: A browser says who they are, by itself.
    """

    name: str
    scope: str
    token_id: int | None = None
    by_cookie: bool = False


ANYBODY: Final = Caller("anybody", WIDEST)


class Doorkeeper:
    """Knows tokens and sessions, and remembers for moments what the database said of them."""

    def __init__(
        self, context: Context, *, on_loopback: bool, remembered_s: float = REMEMBERED_S
    ) -> None:
        """Ask the database of a context; ``on_loopback`` only may be open to everybody."""
        self._context = context
        self._on_loopback = on_loopback
        self._remembered_s = remembered_s
        self._remembered: dict[str, tuple[float, object]] = {}
        self._right: dict[str, None] = {}
        self.streams = Counter[int | None]()
        """How many answers without an end each token has."""
        self.sign_ins = Rate(SIGN_INS_PER_MINUTE)
        admin = context.settings.api_admin_token
        secret = None if admin is None else admin.get_secret_value()
        self._of_setting = None if secret is None else tokens.digest(secret)
        self.sessions = Sessions(context.settings.home)

    async def caller(self, headers: Headers) -> Caller | None:
        """Return who asks; None where nobody may who does not say so.

        Raises:
            TubeGraderError: The database is away.
        """
        if "authorization" in headers:
            token = _bearer(headers)
            return None if token is None else await self.owner(token)
        cookie = session_cookie(headers)
        if cookie is not None and (found := await self._of_session(cookie)) is not None:
            return found
        return ANYBODY if await self._is_open() else None

    def was_right(self, headers: Headers) -> bool:
        """Tell whether the token of a request has let somebody in before, whatever it does now."""
        token = _bearer(headers)
        return token is not None and tokens.digest(token) in self._right

    async def owner(self, token: str) -> Caller | None:
        """Return whom a token stands for, None if it lets nobody in."""
        sha256 = tokens.digest(token)
        found = await self._of_hash(sha256)
        if found is not None:
            if len(self._right) >= MOST_REMEMBERED and sha256 not in self._right:
                self._right.pop(next(iter(self._right)))
            self._right[sha256] = None
        return found

    async def _of_session(self, cookie: str) -> Caller | None:
        sha256 = self.sessions.token_hash(cookie)
        return None if sha256 is None else await self._of_hash(sha256, by_cookie=True)

    async def _of_hash(self, sha256: str, *, by_cookie: bool = False) -> Caller | None:
        if sha256 == self._of_setting:
            return Caller("TUBEGRADER_API_ADMIN_TOKEN", WIDEST, OF_SETTING, by_cookie)
        found = await self._asked(sha256, lambda: tokens.find_by_hash(self._context, sha256))
        if found is None:
            return None
        return Caller(found.name, found.scope, found.api_token_id, by_cookie)

    async def _is_open(self) -> bool:
        if not self._on_loopback or self._of_setting is not None:
            return False
        return not await self._asked("any", lambda: tokens.any_made(self._context))

    async def _asked(self, what: str, ask: Callable[[], Found]) -> Found:
        """Return what the database says, or said a moment ago."""
        until, known = self._remembered.get(what, (0.0, None))
        if time.monotonic() < until:
            return known  # type: ignore[return-value]  # of the same question
        found = await anyio.to_thread.run_sync(ask)
        # What is wrong is not remembered: of that there is no end.
        if found is None:
            return found
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[what] = (time.monotonic() + self._remembered_s, found)
        return found


class Access:
    """Lets a request through to its route, or says why not."""

    def __init__(
        self, app: ASGIApp, *, doorkeeper: Doorkeeper, permissions: Permissions, per_minute: int
    ) -> None:
        """Stand before ``app``."""
        self._app = app
        self._doorkeeper = doorkeeper
        self._permissions = permissions
        self._rate = Rate(per_minute)
        self._wrong = Rate(WRONG_PER_MINUTE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        needed = self._permissions.needed(scope["method"], scope["path"])
        if needed == PUBLIC:
            await self._app(scope, receive, send)
            return
        address = request.client.host if request.client else ""
        shows_token = "authorization" in request.headers
        wait = self._wrong.left_s(address) if shows_token else 0.0
        # Others may share the address, of a proxy; theirs is known and asked for all the same.
        if wait and not self._doorkeeper.was_right(request.headers):
            await answer(request, *_too_many(wait))(scope, receive, send)
            return
        try:
            caller = await self._doorkeeper.caller(request.headers)
        except TubeGraderError as error:
            await answer(request, of_error(error), {"Retry-After": "5"})(scope, receive, send)
            return
        if caller is None and shows_token:
            self._wrong.wait_s(address)
        if caller is None and _is_page(request):
            whole = scope["path"] + (f"?{request.url.query}" if request.url.query else "")
            after = "" if whole == "/" else f"?next={quote(whole, safe='')}"
            await RedirectResponse(f"/sign-in{after}", 303)(scope, receive, send)
            return
        noted = _Noted(request, caller, send)
        found, headers = self._refusal(request, caller, needed)
        if found is not None:
            await answer(request, found, headers)(scope, receive, noted.send)
            return
        scope.setdefault("state", {})["caller"] = caller
        await self._app(scope, receive, noted.send)

    def _refusal(
        self, request: Request, caller: Caller | None, needed: str
    ) -> tuple[Problem | None, dict[str, str]]:
        if caller is None:
            return _unknown(), CHALLENGE
        if caller.token_id is not None:
            wait = self._rate.wait_s(str(caller.token_id))
            if wait:
                return _too_many(wait)
        if not tokens.allows(caller.scope, needed):
            missing = problem(
                403,
                f"the token {caller.name} may {caller.scope}; this needs {needed}",
                "scopeMissing",
                hint=f"`tubegrader tokens create NAME --scope {needed}` makes one that may",
            )
            return missing, {}
        changes = request.method not in SAFE
        if caller.by_cookie and changes and not is_from_own_page(request.headers):
            return problem(403, "the request comes from no page of ours", "foreignOrigin"), {}
        return None, {}


class _Noted:
    """Notes in the log who changed something, once it is known what came of it."""

    def __init__(self, request: Request, caller: Caller | None, send: Send) -> None:
        self._request = request
        self._caller = caller
        self._send = send

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and self._request.method not in SAFE:
            log.info(
                "api.changed" if message["status"] < 400 else "api.unchanged",  # noqa: PLR2004
                caller=None if self._caller is None else self._caller.name,
                method=self._request.method,
                path=self._request.url.path,
                status=message["status"],
            )
        await self._send(message)


def _unknown() -> Problem:
    return problem(
        401,
        "a token is needed here, and none that is in force was shown",
        "tokenNeeded",
        hint="send `Authorization: Bearer TOKEN`; `tubegrader tokens create` makes one",
    )


def _bearer(headers: Headers) -> str | None:
    kind, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else None


def _too_many(wait_s: float) -> tuple[Problem, dict[str, str]]:
    seconds = max(1, round(wait_s + 0.5))
    return (
        problem(
            429,
            "more is asked than one may a minute",
            "tooManyRequests",
            hint=f"go on after {seconds} s; TUBEGRADER_API_RATE says how often",
        ),
        {"Retry-After": str(seconds)},
    )


def _is_page(request: Request) -> bool:
    """Tell whether a person in a browser asks for a page, who can be asked for the token."""
    return (
        request.method == "GET"
        and not request.url.path.startswith("/api/")
        and "text/html" in request.headers.get("accept", "")
    )
