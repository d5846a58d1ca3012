"""Which language is spoken in a file that was sent: done in the process that grades."""

import base64
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from services.api.grading_process import opened, plain_name, without_folders
from services.api.problems import Problem, of_error, problem
from services.api.rendering import fragment
from services.errors import TubeGraderError
from services.learning.artifacts import workspace

if TYPE_CHECKING:
    from ml.audio import Cut
    from ml.audio.drawing import Spectrogram


@dataclass(frozen=True)
class Heard:
    """What is spoken in a file: its values, and how a page shows them."""

    values: dict[str, Any]
    shown: str


def hear(name: str, content: bytes) -> Heard | Problem:
    """Tell the language of a file by the champion, or the best model there is.

    An expected failure is returned, since errors do not travel between processes unharmed.
    """
    try:
        import torchaudio  # noqa: F401, PLC0415 - what computes features; named here if missing

        from services.learning.speech.classifier import from_registry  # noqa: PLC0415 - torch
        from services.learning.speech.detection import (  # noqa: PLC0415
            UnreadableFile,
            detect_language,
        )
    except ImportError as error:
        return problem(
            409,
            f"telling the language needs a package that is not there: {error.name or error}",
            "packageMissing",
            hint="pip install 'tubegrader[speech,learning]'",
        )
    context = opened()
    pen = _Pen()
    with workspace(context, "uploads") as folder:
        file = folder / plain_name(name, 0)
        file.write_bytes(content)
        try:
            chosen = from_registry(context)
            found = detect_language(file, chosen.classifier, progress=pen.begin, look=pen.draw)
        except TubeGraderError as error:
            told = of_error(error)
            return replace(told, detail=without_folders(told.detail, folder))
        called = file.name
    if isinstance(found, UnreadableFile):
        return problem(
            400,
            f"{called}: {found.problem}",
            found.reason,
            hint="send sound or video of another kind, such as MP3, M4A, WAV, WebM or MP4",
        )
    values = found.as_json() | {
        "file": called, "model": str(chosen), "rung": chosen.name, "version": chosen.version
    }  # fmt: skip
    return Heard(values, fragment("heard.html", heard=values, picture=pen.picture()))


class _Pen:
    """Draws a file's speech while it is heard."""

    def __init__(self) -> None:
        self._drawn: Spectrogram | None = None

    def begin(self, _done_s: float, all_s: float) -> None:
        from ml.audio.drawing import Spectrogram  # noqa: PLC0415 - with PyAV

        self._drawn = self._drawn or Spectrogram(all_s)

    def draw(self, part: "Cut") -> None:
        from ml.audio import floats  # noqa: PLC0415

        assert self._drawn is not None, "the beginning is told first"
        self._drawn.add(part.segment.start_s, floats(part.samples))

    def picture(self) -> str:
        """Return a ``data:`` address."""
        assert self._drawn is not None, "the beginning is told first"
        encoded = base64.b64encode(self._drawn.jpeg()).decode("ascii")
        return f"data:image/jpeg;base64,{encoded}"
