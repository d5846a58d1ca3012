"""The report: one self-contained HTML page about the newest comparison, with pictures."""

from pathlib import Path

from services.context import Context
from services.errors import PermanentError
from services.learning.drift.reading import newest
from services.learning.output import write_wanted_file
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
    page = _page(context).encode()
    write_wanted_file(path, page, failure=f"the report cannot be written to {path}")
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
