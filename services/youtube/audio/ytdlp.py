"""The one place that runs yt-dlp: which options it gets, where it may connect, when it stops."""

import ipaddress
import shutil
import socket
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog
from yt_dlp import YoutubeDL
from yt_dlp.extractor import get_info_extractor
from yt_dlp.globals import plugin_dirs
from yt_dlp.networking._urllib import UrllibRH
from yt_dlp.utils import YoutubeDLError

from services.errors import PermanentError, TransientError
from services.youtube.audio.failures import RefusedError
from services.youtube.proxies import environment_proxy, is_here

log = structlog.get_logger()

# Plugins run as soon as they are found; whatever the user has installed is none of ours.
plugin_dirs.value = []

_BLOCK = 65_536
_OUR_OWN = "http", "https"

Info = dict[str, Any]
Choose = Callable[[list[Info]], Mapping[str, Any] | None]


@dataclass(frozen=True, slots=True)
class Options:
    """What is passed through to yt-dlp; see ``AudioSource``."""

    cookies: Path | None = None
    proxy: str | None = field(default=None, repr=False)
    js_runtimes: Mapping[str, Mapping[str, str]] | None = None
    rate_limit: int | None = None
    sleep_s: float = 0.0
    timeout_s: float = 20.0


class Downloader:
    """A yt-dlp of its own for one video: no configuration, cache, plugins or netrc of the user."""

    def __init__(self, dl: YoutubeDL) -> None:
        self._dl = dl

    def describe(self, address: str, choose: Choose) -> Info:
        """Return what yt-dlp knows of the video, with the format that ``choose`` took.

        Raises:
            YoutubeDLError: Anything that yt-dlp raises.
        """

        def selector(context: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
            chosen = choose(list(context["formats"]))
            if chosen is not None:
                yield chosen

        self._dl.format_selector = selector
        info: Info = self._dl.extract_info(address, download=False)
        return info

    def transfer(
        self,
        info: Info,
        path: Path,
        on_bytes: Callable[[int, int | None], bool],
        *,
        max_bytes: int | None,
    ) -> bool:
        """Load the chosen format into ``path``; return whether all of it came.

        Args:
            info: From ``describe``.
            path: Named by us; yt-dlp's own naming is not asked.
            on_bytes: Called with the bytes that came and those announced, every 64 KiB and at the
                end. True says that it is enough: what has come by then stays in ``path``. What it
                raises ends the transfer too.
            max_bytes: A file that is announced to be larger is not begun.

        Raises:
            RefusedError: Carries what ``on_bytes`` raised.
            YoutubeDLError: Anything that yt-dlp raises.
        """

        def hook(status: Mapping[str, Any]) -> None:
            try:
                enough = on_bytes(
                    int(status.get("downloaded_bytes") or 0), status.get("total_bytes")
                )
            except Exception as error:
                raise RefusedError(error) from error
            if enough and status.get("status") != "finished":
                raise _EnoughError

        self._dl.params["max_filesize"] = max_bytes
        self._dl.add_progress_hook(hook)
        try:
            loaded, _ = self._dl.dl(str(path), info)
        except _EnoughError:
            return False
        except YoutubeDLError as error:
            # Of what made it give up, yt-dlp's last word keeps no more than the text.
            error.cause = self._dl.failure
            raise
        if not loaded:  # yt-dlp says no more than that of a file over the limit
            raise RefusedError(too_large(max_bytes))
        return True


class _EnoughError(YoutubeDLError):  # type: ignore[misc]  # yt-dlp is untyped
    """Ends a transfer of which enough has come."""


def too_large(max_bytes: int | None) -> PermanentError:
    """Return the error for audio with more bytes than allowed."""
    return PermanentError(f"The audio has more than {max_bytes} bytes.", reason="tooLarge")


@contextmanager
def downloader(address: str, options: Options) -> Iterator[Downloader]:
    """Open a yt-dlp that is fit for ``address`` and may ask no private address but its host."""
    with tempfile.TemporaryDirectory(prefix="tubegrader-ytdlp-") as folder:
        params = _params(options, address, scratch=Path(folder))
        dl = _GuardedDL(params)
        dl.guard = _Guard(address, proxied=bool(options.proxy))
        dl.add_info_extractor(get_info_extractor("Youtube" if is_youtube(address) else "Generic")())
        try:
            yield Downloader(dl)
        finally:
            # Not dl.close(): that would write the cookies, which are a copy, once more.
            dl.hang_up()


def is_youtube(address: str) -> bool:
    """Tell whether YouTube itself is asked."""
    return bool(get_info_extractor("Youtube").suitable(address))


def _params(options: Options, address: str, *, scratch: Path) -> dict[str, Any]:
    cookies = None
    if options.cookies is not None:
        # yt-dlp writes its cookies back when it ends; the user's file is only read.
        cookies = shutil.copyfile(options.cookies, scratch / "cookies.txt")
    return {
        "logger": _Quiet(),
        "quiet": True,
        "noprogress": True,
        "color": "no_color",
        "cachedir": False,
        "usenetrc": False,
        "cookiefile": None if cookies is None else str(cookies),
        # None asks for the environment's, "" for none at all.
        "proxy": options.proxy or ("" if is_here(urlsplit(address).hostname or "") else None),
        "js_runtimes": dict(options.js_runtimes or {}),
        "ratelimit": options.rate_limit,
        "sleep_interval": options.sleep_s or None,
        "socket_timeout": options.timeout_s,
        # Work items are tried again by their own rules, across workers and restarts.
        "retries": 0,
        "extractor_retries": 0,
        "file_access_retries": 0,
        # Blocks of one size, so that the limit is overstepped by one at most.
        "buffersize": _BLOCK,
        "noresizebuffer": True,
        "nopart": True,
        "continuedl": False,
        "updatetime": False,
        "noplaylist": True,
        "geo_bypass": False,
        "check_formats": False,
        "fixup": "never",
        "external_downloader": {"default": "native"},
        "simulate": True,
        "paths": {"home": str(scratch), "temp": str(scratch)},
    }


class _Quiet:
    """Takes what yt-dlp says; its errors are raised as well."""

    def debug(self, message: str) -> None:
        log.debug("ytdlp", said=message[:500])

    info = warning = error = debug


class _Guard(urllib.request.BaseHandler):
    """Looks at every address, of redirects and manifests too, before it is connected to."""

    handler_order = 10

    def __init__(self, address: str, *, proxied: bool) -> None:
        parts = urlsplit(address)
        self._configured = parts.hostname, parts.port
        self._proxied = proxied

    def check(self, request: urllib.request.Request) -> urllib.request.Request:
        parts = urlsplit(request.full_url)
        if parts.scheme not in _OUR_OWN or not parts.hostname:
            raise _forbidden(f"{parts.scheme}: addresses are not asked")
        proxied = self._proxied or environment_proxy(request.full_url) is not None
        here = (parts.hostname, parts.port) == self._configured
        if not here and not _is_public(parts.hostname, resolves=not proxied):
            raise _forbidden("an address of a private network is not asked")
        return request

    http_request = https_request = ftp_request = data_request = file_request = check


def _is_public(host: str, *, resolves: bool) -> bool:
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        pass
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        return False
    if not resolves:
        return True  # the proxy's view of the network counts, and it is the user's
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return True  # connecting will say why
    return all(ipaddress.ip_address(entry[4][0]).is_global for entry in found)


def _forbidden(why: str) -> RefusedError:
    return RefusedError(
        TransientError(f"The video leads elsewhere: {why}.", reason="redirectRefused")
    )


class _GuardedRH(UrllibRH):  # type: ignore[misc]  # yt-dlp is untyped
    """yt-dlp's way to HTTP, with the guard before it."""

    RH_NAME = "guarded"
    guard: _Guard

    def _create_instance(self, **kwargs: Any) -> urllib.request.OpenerDirector:
        opener: urllib.request.OpenerDirector = super()._create_instance(**kwargs)
        opener.add_handler(self.guard)
        return opener


class _GuardedDL(YoutubeDL):  # type: ignore[misc]  # yt-dlp is untyped
    """A yt-dlp that knows one way to the network, the guarded one."""

    guard: _Guard
    failure: Exception | None = None

    def __init__(self, params: Info) -> None:
        # Without its hundreds of extractors: the page of one site is never taken for another's.
        super().__init__(params, auto_init=False)
        self._responses: list[Any] = []

    def urlopen(self, req: Any) -> Any:
        response = None
        try:
            response = super().urlopen(req)
        except YoutubeDLError as error:
            self.failure = error
            response = getattr(error, "response", None)
            raise
        finally:
            if response is not None:
                self._responses.append(response)
        return response

    def hang_up(self) -> None:
        """End what is still open: yt-dlp leaves a transfer that is broken off to chance."""
        for response in self._responses:
            response.close()
        self._request_director.close()

    def build_request_director(self, _handlers: object, _preferences: object = None) -> Any:
        director = super().build_request_director([_GuardedRH])
        for handler in director.handlers.values():
            handler.guard = self.guard
        return director
