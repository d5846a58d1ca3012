"""Fetching the audio of one video: the smallest good format, bounded, checked for being there."""

import math
import os
import re
import shutil
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ml.runtime.files import file_sha256
from services.clock import Clock, system_clock
from services.errors import PermanentError, TransientError, UsageError
from services.youtube.audio import choice, tools
from services.youtube.audio.facts import FetchedAudio, NotYetError, OnProgress, Progress
from services.youtube.identifiers import is_video_id
from services.youtube.parsing import clean_text

if TYPE_CHECKING:
    from services.settings import Settings
    from services.youtube.audio.ytdlp import Downloader, Info, Options

DEFAULT_MEDIA_URL = "https://www.youtube.com/watch?v={video_id}"
LARGEST_FILE = 200 * 2**20
"""Bytes. A day of speech at 48 kbit/s has 520 MB, three hours 65 MB."""

_CUTTABLE = frozenset({"webm", "ogg", "opus", "mp3", "aac"})
"""Containers whose beginning alone can be decoded; an mp4 may keep its index at the end."""
_EXTRA = 1.5
_HEAD_BYTES = 131_072
_LONGEST_TEXT, _LONGEST_WORD = 500, 40
_CONTAINER = re.compile(r"[a-z0-9]{1,8}")
_LANGUAGE = re.compile(r"[A-Za-z0-9]{2,8}(-[A-Za-z0-9]{1,8}){0,4}")


@dataclass(frozen=True, slots=True)
class AudioSource:
    """Where audio comes from, and how it is asked for.

    Attributes:
        media_url: Address of a video's page; ``{video_id}`` stands for the video.
        cookies: A cookies file in Netscape's format; it is read, never written.
        proxy: Such as ``socks5://user:password@host:1080``. The environment's is not used.
        js_runtime: ``NAME`` or ``NAME:PATH``; None looks for one. Only YouTube itself needs it.
        rate_limit: Bytes a second, or None.
        sleep_s: Seconds to wait before each transfer.
        timeout_s: Seconds without a byte after which the other side is given up.
        least_kbps: See ``choice.smallest_good``.
        clock: Tells when an announced video is there.
    """

    media_url: str = DEFAULT_MEDIA_URL
    cookies: Path | None = None
    proxy: str | None = field(default=None, repr=False)
    js_runtime: str | None = None
    rate_limit: int | None = None
    sleep_s: float = 0.0
    timeout_s: float = 20.0
    least_kbps: float = choice.LEAST_KBPS
    clock: Clock = system_clock

    @classmethod
    def from_settings(cls, settings: "Settings", *, clock: Clock = system_clock) -> Self:
        """Return the source that the settings describe."""
        proxy = settings.ytdlp_proxy
        return cls(
            media_url=settings.media_url,
            cookies=settings.ytdlp_cookies,
            proxy=None if proxy is None else proxy.get_secret_value(),
            js_runtime=settings.ytdlp_js_runtime,
            rate_limit=settings.ytdlp_rate_limit,
            sleep_s=settings.ytdlp_sleep_s,
            clock=clock,
        )

    def fetch(
        self,
        video_id: str,
        *,
        into: Path,
        seconds_wanted: float | None = None,
        max_bytes: int = LARGEST_FILE,
        max_seconds: float = 600.0,
        progress: OnProgress | None = None,
    ) -> FetchedAudio:
        """Fetch the audio of a video into a folder; blocks. On failure nothing is left there.

        Args:
            video_id: Whose audio.
            into: An existing folder.
            seconds_wanted: So much from the beginning is enough: where the format allows it the
                transfer ends when that has surely come. None: all of it.
            max_bytes: No more is kept, and at most 64 KiB more are read.
            max_seconds: So long the whole may take; a server that trickles is given up then.
            progress: See ``OnProgress``; what it raises ends the transfer and is raised here.

        Raises:
            PermanentError: ``geoBlocked``, ``ageGated``, ``membersOnly``, ``private``,
                ``removed``, ``unavailable``, ``loginRequired``, ``drmProtected``, ``noAudio``,
                ``tooLarge``, ``malformedId``.
            NotYetError: ``upcoming``, ``live``.
            TransientError: ``truncated``, ``emptyFile``, ``notAudio``, ``timeout``,
                ``networkDown``, ``connectionLost``, ``malformedAnswer``, ``redirectRefused``,
                ``http5…``.
            BlockedError: ``rateLimited``, ``botCheck``, ``http403``, ``noJavaScriptRuntime``:
                no other video would fare better now.
            UsageError: A setting cannot be used.
        """
        if not is_video_id(video_id):
            raise PermanentError("That is no video id.", reason="malformedId")
        ytdlp, failures = _modules()
        limits = _Limits(max_bytes, seconds_wanted, time.monotonic() + max_seconds, progress)
        scratch = Path(tempfile.mkdtemp(prefix=".fetching-", dir=into))
        loaded = None
        try:
            with ytdlp.downloader(self.address(video_id), self._options(video_id)) as downloader:
                info = self._described(downloader, video_id)
                loaded = scratch / f"{video_id}.{_container(info)}"
                is_whole = limits.transfer(downloader, info, loaded)
            _check(loaded)
            return self._fetched(video_id, info, loaded.replace(into / loaded.name), is_whole)
        except (ytdlp.YoutubeDLError, OSError) as error:
            # Without its cause, which repeats addresses and may repeat a proxy's password.
            raise failures.classify(
                error, now=self.clock(), transferring=loaded is not None
            ) from None
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def address(self, video_id: str) -> str:
        """Return the page of a video.

        Raises:
            UsageError: ``media_url`` is no template of an HTTP address.
        """
        if not re.fullmatch(r"https?://[^\s/]+/[^\s]*\{video_id\}[^\s]*", self.media_url):
            raise UsageError(
                f"“{self.media_url}” is no address of videos.",
                hint=f"Set TUBEGRADER_MEDIA_URL to one such as {DEFAULT_MEDIA_URL}",
                reason="badBaseAddress",
            )
        return self.media_url.replace("{video_id}", video_id)

    def _options(self, video_id: str) -> "Options":
        ytdlp, _ = _modules()
        if self.cookies is not None and not os.access(self.cookies, os.R_OK):
            raise UsageError(
                f"There is no cookies file {self.cookies}, or it cannot be read.",
                hint="TUBEGRADER_YTDLP_COOKIES names a file in Netscape's format.",
                reason="badCookiesFile",
            )
        runtimes = None
        if ytdlp.is_youtube(self.address(video_id)):
            runtimes = tools.javascript_runtime(self.js_runtime).as_option()
        options: Options = ytdlp.Options(
            cookies=self.cookies,
            proxy=self.proxy,
            js_runtimes=runtimes,
            rate_limit=self.rate_limit,
            sleep_s=self.sleep_s,
            timeout_s=self.timeout_s,
        )
        return options

    def _described(self, downloader: "Downloader", video_id: str) -> "Info":
        info = downloader.describe(
            self.address(video_id),
            lambda formats: choice.smallest_good(formats, least_kbps=self.least_kbps),
        )
        match info.get("live_status"):
            case "is_upcoming":
                raise NotYetError(
                    "The video is announced and not there yet.",
                    reason="upcoming",
                    not_before=_moment(info.get("release_timestamp")),
                )
            case "is_live" | "post_live":
                raise NotYetError("The video is on air.", reason="live", not_before=None)
        return info

    def _fetched(self, video_id: str, info: "Info", path: Path, is_whole: bool) -> FetchedAudio:
        return FetchedAudio(
            video_id=video_id,
            path=path,
            sha256=file_sha256(path),
            byte_size=path.stat().st_size,
            is_whole=is_whole,
            container=path.suffix[1:],
            codec=_word(info.get("acodec")),
            abr_kbps=choice.bit_rate(info),
            duration_s=_positive(info.get("duration")),
            language=_language(info.get("language")),
            title=_text(info.get("title")),
            format_id=_text(info.get("format_id")) or "?",
            source_url=self.address(video_id),
        )


@dataclass(frozen=True, slots=True)
class _Limits:
    """When a transfer ends, whatever the other side says."""

    max_bytes: int
    seconds_wanted: float | None
    until: float
    progress: OnProgress | None

    def transfer(self, downloader: "Downloader", info: "Info", path: Path) -> bool:
        """Load ``path``; return whether all of it came."""
        ytdlp, _ = _modules()
        head = self._enough(info)

        def on_bytes(done: int, total: int | None) -> bool:
            if done > self.max_bytes:
                raise ytdlp.too_large(self.max_bytes)
            if time.monotonic() > self.until:
                raise TransientError("The audio takes too long to come.", reason="timeout")
            if self.progress is not None:
                self.progress(Progress(done, total))
            return head is not None and done >= head

        return downloader.transfer(
            info, path, on_bytes, max_bytes=self.max_bytes if head is None else None
        )

    def _enough(self, info: "Info") -> int | None:
        """Return the bytes that surely hold the seconds wanted; None asks for all."""
        rate = choice.bit_rate(info)
        if self.seconds_wanted is None or rate is None or _container(info) not in _CUTTABLE:
            return None
        return round(self.seconds_wanted * rate * 1000 / 8 * _EXTRA) + _HEAD_BYTES


def _modules() -> tuple[Any, Any]:
    """Import what needs yt-dlp, an extra that workers of other queues do without."""
    try:
        from services.youtube.audio import failures, ytdlp  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "yt_dlp":
            raise
        raise UsageError(
            "yt-dlp is not installed.",
            hint="pip install 'tubegrader[speech]'",
            reason="noDownloader",
        ) from None
    return ytdlp, failures


def _check(path: Path) -> None:
    """Look whether what came is audio at all; yt-dlp calls anything a success.

    Raises:
        PermanentError: A video without sound.
        TransientError: Nothing, no second of sound, or something else, such as a page.
    """
    from ml.audio.decoding import decoded  # noqa: PLC0415 - PyAV is an extra
    from ml.audio.errors import AudioError  # noqa: PLC0415
    from ml.audio.source import probe  # noqa: PLC0415

    try:
        if probe(path).duration_s is None:
            with closing(decoded(path, seconds=1.0)) as blocks:
                next(blocks, None)
    except AudioError as error:
        what = str(error).partition(": ")[2]
        match error.reason:
            case "noAudio" | "tooLong" | "tooManyChannels":
                raise PermanentError(f"Of no use: {what}.", reason=error.reason) from error
            case "empty" | "zeroSeconds":
                raise TransientError("The audio is empty.", reason="emptyFile") from error
            case "notAudio" if isinstance(error.__cause__, EOFError):  # a header and nothing else
                raise TransientError("The audio is empty.", reason="emptyFile") from error
            case reason:
                raise TransientError(f"No audio came: {what}.", reason=reason) from error


def _container(info: "Info") -> str:
    """Return the container as a short word that can end a file name."""
    word = str(info.get("ext") or "").lower().removeprefix("x-")
    return word if _CONTAINER.fullmatch(word) else "audio"


def _text(value: object) -> str | None:
    return (clean_text(value).strip()[:_LONGEST_TEXT] or None) if isinstance(value, str) else None


def _word(value: object) -> str | None:
    text = _text(value)
    return text if text is not None and text != "none" and len(text) <= _LONGEST_WORD else None


def _language(value: object) -> str | None:
    return value if isinstance(value, str) and _LANGUAGE.fullmatch(value) else None


def _positive(value: object) -> float | None:
    usable = isinstance(value, int | float) and math.isfinite(value) and value > 0
    return float(value) if usable and isinstance(value, int | float) else None


def _moment(value: object) -> datetime | None:
    try:
        seconds = _positive(value)
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None
