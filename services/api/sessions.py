"""Sessions of people who typed their token once: a signed cookie, which holds no secret."""

import hmac
import re
import secrets
import time
from hashlib import sha256
from pathlib import Path
from typing import Final

import structlog
from starlette.datastructures import Headers
from starlette.types import Scope

from services.embedded.home import read_json, write_json

COOKIE: Final = "tubegrader_session"
"""How the cookie's name begins; a port follows where the address has one."""
log = structlog.get_logger()
LIFETIME_S: Final = 7 * 86_400
_PORT: Final = re.compile(r":(\d{1,5})$")
_VALUE: Final = re.compile(r"[0-9a-f.]{1,250}")


def cookie_name(headers: Headers) -> str:
    """Return what the session's cookie is called at the address that a request asks.

    A browser sends the cookies of all ports of a host, so that two homes on one machine would
    sign each other out.
    """
    port = _PORT.search(headers.get("host", ""))
    return COOKIE if port is None else f"{COOKIE}_{port[1]}"


def keep_own_cookie(scope: Scope) -> None:
    """Take all other cookies out of a request, so that nothing that reads cookies sees them.

    Those of other programs on this host come along. The standard library gives up at the first
    that is odd, and takes seconds of processor for one that is long and quoted.
    """
    headers = Headers(scope=scope)
    if "cookie" not in headers:
        return
    name = cookie_name(headers)
    pairs = (
        pair.partition("=") for header in headers.getlist("cookie") for pair in header.split(";")
    )
    own = next(
        (v.strip() for n, _, v in pairs if n.strip() == name and _VALUE.fullmatch(v.strip())), None
    )
    scope["headers"] = [each for each in scope["headers"] if each[0] != b"cookie"]
    if own is not None:
        scope["headers"].append((b"cookie", f"{name}={own}".encode("latin-1")))


def session_cookie(headers: Headers) -> str | None:
    """Return the session's cookie of a request of which only that was kept, if it has one."""
    return headers.get("cookie", "").partition("=")[2] or None


class Sessions:
    """Signs and reads cookies; a token that ends takes its sessions along."""

    def __init__(self, folder: Path) -> None:
        """Keep the key, and which sessions were ended, in a file that nobody else reads."""
        self._file = folder / "sessions.json"
        kept = read_json(self._file)
        self._key = bytes.fromhex(kept.get("key") or secrets.token_hex(32))
        self._ended: dict[str, float] = kept.get("ended") or {}
        if "key" not in kept:
            self._keep()

    def begin(self, sha256: str) -> str:
        """Return the value of a new session's cookie, of whoever has the token of a hash."""
        body = f"{sha256}.{int(time.time()) + LIFETIME_S}.{secrets.token_hex(8)}"
        return f"{body}.{self._signature(body)}"

    def token_hash(self, cookie: str) -> str | None:
        """Return whose session it is; None if it is none of ours, has expired or was ended."""
        body, _, signature = cookie.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(body).encode()):
            return None
        of_token, until, _ = body.split(".")
        if float(until) <= time.time() or signature in self._ended:
            return None
        return of_token

    def end(self, cookie: str) -> None:
        """Take back a session whose owner signs out."""
        if self.token_hash(cookie) is not None:
            now = time.time()
            self._ended = {each: until for each, until in self._ended.items() if until > now}
            self._ended[cookie.rpartition(".")[2]] = now + LIFETIME_S
            self._keep()

    def _keep(self) -> None:
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_json(self._file, {"key": self._key.hex(), "ended": self._ended})
        except OSError as error:
            # Then they end with the process.
            log.warning("api.sessions_not_kept", file=str(self._file), reason=str(error))

    def _signature(self, body: str) -> str:
        return hmac.new(self._key, body.encode("utf-8", "surrogatepass"), sha256).hexdigest()
