"""Failures of learning as services tell them: which kind, one word to count by, what to do."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ml.errors import LearningError
from services.errors import (
    HostDiskError,
    HostError,
    OtherHereError,
    PermanentError,
    TransientError,
    TubeGraderError,
)

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
DISK_FULL = "diskFull"
OF_THE_HOST = frozenset(
    {
        "activityWeightsMissing",
        "backboneWeightsMissing",
        "backboneWeightsUnusable",
        "encoderMissing",
        "measurementsMissing",
        "opencvMissing",
        "runtimeDisagrees",
        "textDetectorMissing",
        "whisperMissing",
        "whisperWeightsUnusable",
    }
)
"""Reasons that say what is wrong with a machine, and nothing of what it was to do."""
OF_ITS_INSTALLATION = frozenset({"backboneWeightsOther", "encoderMismatch"})
"""Likewise of one machine; of all of them they say what is wrong with a model or a setting."""
_OF_THE_DISK = (*_FULL, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE)
_HINTS = {
    "backboneWeightsMissing": "or train without: `tubegrader models train --no-backbone`",
    "datasetUnusable": "freeze it anew: `tubegrader models train --force`",
    "diverged": "nothing was recorded; check the labels: `tubegrader datasets verify`, of speech "
    "`tubegrader audio label --conflicts`",
    "imageUnreadable": "`tubegrader datasets verify` reads every file again",
    "oneClass": "`tubegrader datasets show` tells how many reach it",
    "tooFewChannels": "collect more: `tubegrader channels add`, then `tubegrader channels crawl`",
    "tooFewVideos": "collect more: `tubegrader channels add`, then `tubegrader channels crawl`",
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
            reason=DISK_FULL,
            hint="what was finished is kept: it goes on from there, by itself or by `jobs retry`",
        ) from error


@contextmanager
def blaming_the_host() -> Iterator[None]:
    """Tell what this machine lacks from what is wrong with the work, which others could do.

    Raises:
        HostError: Weights or a package are not installed here or are others; a disk is full or
            cannot be written.
    """
    try:
        yield
    except HostError:
        raise
    except TubeGraderError as error:
        if error.reason == DISK_FULL:
            raise HostDiskError(str(error), reason=error.reason, hint=error.hint) from error
        if error.reason in OF_ITS_INSTALLATION:
            raise OtherHereError(str(error), reason=error.reason, hint=error.hint) from error
        if error.reason not in OF_THE_HOST:
            raise
        raise HostError(str(error), reason=error.reason, hint=error.hint) from error
    except ImportError as error:
        hint = "install what this release needs: `tubegrader doctor` there says what is missing"
        raise HostError(str(error), reason="packageMissing", hint=hint) from error
    except OSError as error:
        if error.errno not in _OF_THE_DISK:
            raise
        hint = "see that the home's disk has room and may be written"
        raise HostDiskError(str(error), reason="diskUnusable", hint=hint) from error


def _no_room(error: OSError, folder: Path) -> str:
    if error.errno == errno.ENOSPC:
        there = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(there).free / 1e6
        return f"the disk of {folder} is full ({free:,.1f} MB free): make room on it"
    return f"{folder} may hold no more ({error.strerror}): raise the quota or the limit of a file"
