"""Why a file gives no audio."""

from pathlib import Path

from ml.errors import LearningError


class AudioError(LearningError):
    """A file that holds no audio that can be used.

    Attributes:
        reason: One of ``notFound``, ``notReadable``, ``empty`` (no byte), ``notAudio`` (no format
            we read, or nothing in it decodes), ``noAudio`` (a video without sound),
            ``zeroSeconds``, ``tooShort`` (for speech), ``truncated`` (far less than the length that
            it states exactly), ``corrupt`` (most of it does not decode, or samples are no numbers),
            ``decoderFailed`` (a library gave up), ``tooLong`` and ``tooManyChannels``.
        path: The file.
    """

    def __init__(self, path: Path, what: str, *, reason: str) -> None:
        super().__init__(f"{path.name}: {what}", reason=reason)
        self.path = path
