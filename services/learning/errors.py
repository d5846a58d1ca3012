"""Failures of learning as services tell them: which kind, one word to count by, what to do."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ml.errors import LearningError
from services.errors import PermanentError, TransientError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_HINTS = {
    "backboneWeightsMissing": "or train without: `tubegrader train --no-backbone`",
    "datasetUnusable": "freeze it anew: `tubegrader train --force`",
    "diverged": "nothing was recorded; check the labels: `tubegrader datasets verify`, of speech "
    "`tubegrader label --conflicts`",
    "imageUnreadable": "`tubegrader datasets verify` reads every file again",
    "oneClass": "`tubegrader datasets show` tells how many reach it",
    "tooFewChannels": "collect more: `tubegrader channels add`, then `tubegrader crawl`",
    "tooFewVideos": "collect more: `tubegrader channels add`, then `tubegrader crawl`",
}


def translated(error: LearningError, *, hint: str | None = None) -> PermanentError:
    """Return what a service raises where nothing honest can be learned.

    Args:
        error: What learning raised.
        hint: What to do; None: what always helps with its reason, if anything does.
    """
    return PermanentError(str(error), reason=error.reason, hint=hint or _HINTS.get(error.reason))


@contextmanager
def translate_errors(folder: Path, *, hint: str | None = None) -> Iterator[None]:
    """Turn what learning raises inside into errors of services.

    Args:
        folder: Below which the work writes.
        hint: As of :func:`translated`.

    Raises:
        PermanentError: Nothing honest can be learned.
        TransientError: A disk is full, or over its quota (``diskFull``).
    """
    try:
        yield
    except LearningError as error:
        raise translated(error, hint=hint) from error
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise TransientError(
            _no_room(error, folder),
            reason="diskFull",
            hint="what was finished is kept: it goes on from there, by itself or by `jobs retry`",
        ) from error


def _no_room(error: OSError, folder: Path) -> str:
    if error.errno == errno.ENOSPC:
        there = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(there).free / 1e6
        return f"the disk of {folder} is full ({free:,.1f} MB free): make room on it"
    return f"{folder} may hold no more ({error.strerror}): raise the quota or the limit of a file"
