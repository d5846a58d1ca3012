"""The pictures that are graded, from files that may hold anything."""

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ml.arrays import ImageArray
from ml.errors import LearningError
from ml.images.decoding import decode_thumbnail
from ml.images.pictures import HEIGHT, WIDTH
from services.errors import PermanentError, UsageError
from services.youtube.images import PLACEHOLDER_SIZE, inspect_thumbnail

MOST_BYTES = 20_000_000
"""What YouTube itself takes is smaller, except of a few."""
MOST_PICTURES = 12
QUALITY = 90


@dataclass(frozen=True)
class Candidate:
    """A picture to grade.

    Attributes:
        path: Where it was read.
        name: The file's name, or its path where two files have the same name.
        width: Of the file's picture, in pixels.
        height: Likewise.
        format: ``jpeg``, ``png`` or ``webp``.
        frame: As YouTube would show it small, (180, 320, 3) RGB.
    """

    path: str
    name: str
    width: int
    height: int
    format: str
    frame: ImageArray


@dataclass(frozen=True)
class UnusablePicture:
    """A file that cannot be graded.

    Attributes:
        path: The file.
        reason: A word to count by.
        problem: For people; it names the file.
    """

    path: str
    reason: str
    problem: str

    def as_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {"file": self.path, "error": {"reason": self.reason, "message": self.problem}}


def read_candidates(paths: Sequence[Path]) -> tuple[list[Candidate], list[UnusablePicture]]:
    """Read and check pictures; return those that can be graded, and the others.

    Raises:
        UsageError: None can: they are missing, unreadable or no pictures (the reason is that of
            the first, as of :func:`services.youtube.images.inspect_thumbnail`). Or there are too
            many.
    """
    if len(paths) > MOST_PICTURES:
        raise UsageError(
            f"{len(paths)} pictures are more than {MOST_PICTURES}",
            reason="tooManyPictures",
            hint="grade those that you would really use",
        )
    names = Counter(path.name for path in paths)
    candidates, unusable, problems = [], [], []
    for path in paths:
        try:
            candidates.append(_read(path, path.name if names[path.name] == 1 else str(path)))
        except UsageError as error:
            unusable.append(UnusablePicture(str(path), error.reason, str(error)))
            problems.append(error)
    if candidates or not problems:
        return candidates, unusable
    first = problems[0]
    raise UsageError("; ".join(map(str, problems)), reason=first.reason, hint=first.hint)


def as_shown(frame: ImageArray) -> bytes:
    """Encode a frame as YouTube does, so that a model sees it as it saw those it learned from."""
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def _read(path: Path, name: str) -> Candidate:
    content = _bytes(path)
    try:
        # A thumbnail by name and not YouTube's smallest: what is too small is refused.
        facts = inspect_thumbnail(content, "candidate")
        frame = decode_thumbnail(content, name=path.name, size=(WIDTH, HEIGHT))
    except PermanentError as error:
        # Of this size YouTube sends a grey picture for one that is missing. A file is just small.
        is_small = error.reason == "thumbnailMissing"
        width, height = PLACEHOLDER_SIZE
        problem = f"{width} by {height} pixels are too small." if is_small else str(error)
        raise UsageError(
            f"{path} cannot be graded: {problem}",
            reason="imageTooSmall" if is_small else error.reason,
            hint="a thumbnail is a JPEG, PNG or WebP of at most 16 megapixels, best 1280 by 720",
        ) from error
    except LearningError as error:
        raise UsageError(f"{path} cannot be graded: {error}", reason="brokenImage") from error
    return Candidate(str(path), name, facts.width, facts.height, facts.format, np.array(frame))


def _bytes(path: Path) -> bytes:
    if not path.exists():
        raise UsageError(f"there is no file {path}", reason="fileMissing")
    # A pipe or a device may never end.
    if not path.is_file():
        raise UsageError(f"{path} is not a file", reason="notAFile")
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}", reason="fileUnreadable"
        ) from error
    if len(content) > MOST_BYTES:
        raise UsageError(
            f"{path} is larger than {MOST_BYTES // 1_000_000} MB",
            reason="fileTooLarge",
            hint="YouTube takes thumbnails of up to 2 MB",
        )
    return content
