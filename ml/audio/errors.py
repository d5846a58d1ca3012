"""Why a file gives no audio."""

from pathlib import Path

from ml.errors import LearningError


class AudioError(LearningError):
    """A file that holds no audio that can be used.

    Attributes:
        reason: One of ``notFound``, ``notReadable``, ``empty`` (no byte), ``notAudio`` (no format
            we read, or nothing in it decodes), ``noAudio`` (a video without sound),
            ``zeroSeconds``, ``truncated`` (far less than its header says), ``corrupt`` (most of it
            does not decode), ``tooLong`` and ``tooManyChannels``.
        path: The file.
    """

    def __init__(self, path: Path, what: str, *, reason: str) -> None:
        super().__init__(f"{path.name}: {what}", reason=reason)
        self.path = path
