"""Programs that audio needs beside Python: ffmpeg, and a JavaScript runtime for YouTube."""

import importlib.util
import shutil
from dataclasses import dataclass
from functools import cache

from services.errors import BlockedError, UsageError

OLDEST = {"deno": (2, 3, 0), "node": (22, 0, 0), "bun": (1, 2, 11), "quickjs": (2023, 12, 9)}
"""Runtimes that yt-dlp takes, with the oldest versions, in the order in which we look."""

RUNTIME_HINT = (
    "Install deno 2.3 or Node.js 22 (or newer), and `pip install yt-dlp-ejs`; "
    "TUBEGRADER_YTDLP_JS_RUNTIME=node:/path/to/node names one that is not on the PATH."
)


def ffmpeg_path() -> str | None:
    """Return the system's ffmpeg, else that of the imageio-ffmpeg wheel, else None."""
    found = shutil.which("ffmpeg")
    if found is not None:
        return found
    try:
        import imageio_ffmpeg  # noqa: PLC0415 - an extra

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):  # no wheel, or a wheel without a binary for this platform
        return None


@dataclass(frozen=True, slots=True)
class JavaScript:
    """A JavaScript runtime that yt-dlp takes, and where it is."""

    name: str
    path: str
    version: str

    def as_option(self) -> dict[str, dict[str, str]]:
        """Return yt-dlp's ``js_runtimes``."""
        return {self.name: {"path": self.path}}


def javascript_runtime(setting: str | None = None) -> JavaScript:
    """Return the runtime that ``setting`` names, else the first one found that is new enough.

    Args:
        setting: ``NAME`` or ``NAME:PATH``, NAME one of ``OLDEST``; None looks for any.

    Raises:
        UsageError: ``setting`` names no runtime that yt-dlp knows.
        BlockedError: There is none, it is too old, or yt-dlp's script package is missing
            (``noJavaScriptRuntime``): no video of YouTube can be fetched until somebody acts.
    """
    name, _, path = (setting or "").partition(":")
    if setting and name not in OLDEST:
        raise UsageError(
            f"“{setting}” is no JavaScript runtime.",
            hint=f"TUBEGRADER_YTDLP_JS_RUNTIME is NAME or NAME:PATH, NAME one of "
            f"{', '.join(OLDEST)}.",
        )
    too_old = []
    for candidate in [name] if name else OLDEST:
        info = _looked_up(candidate, path or None)
        if info is None:
            continue
        found, new_enough = info
        if not new_enough:
            too_old.append(f"{found.name} {found.version} is too old")
        elif importlib.util.find_spec("yt_dlp_ejs") is None:
            raise _missing("yt-dlp's scripts for it (yt-dlp-ejs) are not installed")
        else:
            return found
    raise _missing(too_old[0] if too_old else f"{name or 'none'} was found")


@cache
def _looked_up(name: str, path: str | None) -> tuple[JavaScript, bool] | None:
    """Ask a runtime for its version, once a process; yt-dlp itself would ask for each video."""
    from yt_dlp.globals import supported_js_runtimes  # noqa: PLC0415 - an extra

    where = path or shutil.which("qjs" if name == "quickjs" else name)
    if where is None:
        return None
    info = supported_js_runtimes.value[name](path=where).info
    return None if info is None else (JavaScript(name, where, info.version), bool(info.supported))


def _missing(why: str) -> BlockedError:
    return BlockedError(
        f"YouTube's audio needs a JavaScript runtime; {why}.",
        reason="noJavaScriptRuntime",
        hint=RUNTIME_HINT,
    )
