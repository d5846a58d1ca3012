"""The report: one self-contained HTML page about the newest comparison, with pictures."""

import contextlib
import os
from pathlib import Path

from services.context import Context
from services.errors import PermanentError, UsageError
from services.learning.drift.reading import newest
from services.learning.report.contents import gather
from services.learning.report.speech import Missing, gather_speech
from services.learning.thumbnails.growth import study_growth
from services.learning.thumbnails.swaps import study_swaps

__all__ = ["write_report"]


def write_report(context: Context, path: Path) -> Path:
    """Write the newest comparisons as one HTML file that needs nothing else; return its path.

    Nothing is written unless all of it can be; a file that is there is replaced as a whole.

    Raises:
        PermanentError: Neither was compared yet (``noComparison``), or what was compared is gone
            (``comparisonGone``, ``objectMissing``).
        UsageError: The file cannot be written there.
    """
    page = _page(context)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(page, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise UsageError(
            f"the report cannot be written to {path}: {error.strerror}",
            reason="cannotWrite",
            hint="name a file in a folder that you may write to",
        ) from error
    return path


def _page(context: Context) -> str:
    """Return the page of what was compared: views, with speech if there is any, or speech alone."""
    speech = gather_speech(context)
    try:
        report = gather(context)
    except PermanentError as error:
        if error.reason != "noComparison" or isinstance(speech, Missing):
            raise
        from services.learning.report.speech_page import speech_page  # noqa: PLC0415 - see below

        return speech_page(speech)
    # Matplotlib takes most of a second to import; only this needs it.
    from services.learning.report.page import render  # noqa: PLC0415

    return render(
        report,
        speech,
        newest(context),
        study_swaps(context),
        study_growth(context, threshold=report.threshold),
    )
