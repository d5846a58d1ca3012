"""Text drawn on a picture: the detection network of PP-OCR, from the wheel ``rapidocr``.

Differentiable binarisation (Liao et al. 2020, "Real-time Scene Text Detection with Differentiable
Binarization"): the network gives each pixel the probability that it lies in the shrunken core of a
line of text. It knows Latin, Han, Hangul and many other scripts. Only the weights are the wheel's
(Apache-2.0, PaddlePaddle); none of its code is run.
"""

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ml.arrays import BoolArray, FloatArray, ImageArray
from ml.errors import LearningError
from ml.images.pictures import HEIGHT, WIDTH
from ml.runtime.onnx import load_onnxruntime, one_thread_session
from ml.thumbnails.features.canvas import Box, Canvas, opencv

PHONE_ROWS = 94
"""Rows of a thumbnail in a phone's list: 168 by 94 points."""
LEGIBLE_ROWS = 8.0
"""A line of text needs about as many there."""
STRONG_CONTRAST = 0.3
"""Weaker contrast costs legibility as small size does (Legge et al. 1987)."""
IN_TEXT = 0.3
"""A pixel of a line's core is at least this probable,"""
IS_TEXT = 0.6
"""and all of a core's pixels are on average."""
SHRUNKEN = 1.6
"""Cores are grown by this times their area over their perimeter."""
SMALLEST_CORE = 3
"""Pixels across."""
LARGEST_LINE = 0.6
"""Of the picture's height: before a blur the network takes all of it for one letter."""
DRAWN = 0.03
"""Letters have edges: on at least this share of a line's pixels."""
STRIDE = 32
"""The network takes multiples of this."""


@dataclass(frozen=True)
class Text:
    """What text a picture shows.

    Attributes:
        mask: Where the lines are, (180, 320).
        lines: The upright boxes around them, in reading order.
        rows: Each line's height across its direction, in rows of 180.
        areas: Each line's share of the picture.
        contrasts: Each line's difference between letters and ground, in luma from 0 to 1.
    """

    mask: BoolArray
    lines: list[Box]
    rows: FloatArray
    areas: FloatArray
    contrasts: FloatArray

    @property
    def share(self) -> float:
        """Share of the picture inside lines of text."""
        return float(self.mask.mean())

    @property
    def legible_share(self) -> float:
        """Share of the text that a phone's list shows large enough for its contrast.

        1 where there is no text: nothing is illegible.
        """
        if not len(self.lines):
            return 1.0
        shown = self.rows * PHONE_ROWS / HEIGHT
        needed = LEGIBLE_ROWS * np.maximum(1, STRONG_CONTRAST / np.maximum(self.contrasts, 0.03))
        return float(self.areas[shown >= needed].sum() / self.areas.sum())

    @property
    def tallest(self) -> float:
        """Height of the largest line over the picture's, 0 without text."""
        return float(self.rows.max(initial=0.0) / HEIGHT)


def find_text(canvas: Canvas) -> Text:
    """Find lines of text.

    Raises:
        LearningError: The network's weights or its runtime are not installed.
    """
    cv2 = opencv()
    probable = _probabilities(canvas.rgb)
    cores, _ = cv2.findContours(
        (probable > IN_TEXT).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    found = [line for core in cores if (line := _line(core, probable, canvas)) is not None]
    found.sort(key=lambda line: (line.box[1], line.box[0], line.box))
    for line in found:
        cv2.fillPoly(mask, [line.corners], 1)
    return Text(
        mask.astype(np.bool_),
        [line.box for line in found],
        np.array([line.rows for line in found]),
        np.array([line.area for line in found]),
        np.array([line.contrast for line in found]),
    )


@dataclass(frozen=True)
class _Line:
    corners: npt.NDArray[np.int32]
    box: Box
    rows: float
    area: float
    contrast: float


def _line(core: Any, probable: npt.NDArray[np.float32], canvas: Canvas) -> _Line | None:
    """Grow a core to the line of text it stands for; None when it is none."""
    cv2 = opencv()
    middle, (width, height), angle = cv2.minAreaRect(core)
    if min(width, height) < SMALLEST_CORE:
        return None
    left, top, across, down = cv2.boundingRect(core)
    inside = np.zeros((down, across), dtype=np.uint8)
    cv2.drawContours(inside, [core], -1, 1, thickness=-1, offset=(-left, -top))
    if probable[top : top + down, left : left + across][inside > 0].mean() < IS_TEXT:
        return None
    grown = SHRUNKEN * width * height / (2 * (width + height))
    width, height = width + 2 * grown, height + 2 * grown
    corners = np.rint(cv2.boxPoints((middle, (width, height), angle))).astype(np.int32)
    left, top = np.maximum(corners.min(axis=0), 0)
    right, bottom = np.minimum(corners.max(axis=0), (WIDTH, HEIGHT))
    drawn = canvas.edges[top:bottom, left:right].mean()
    if min(width, height) > LARGEST_LINE * HEIGHT or drawn < DRAWN:
        return None
    return _Line(
        corners,
        (int(left), int(top), int(right - left), int(bottom - top)),
        float(min(width, height)),
        float(width * height / (WIDTH * HEIGHT)),
        _contrast(canvas.grey[top:bottom, left:right]),
    )


def _contrast(patch: ImageArray) -> float:
    """Return the distance between the two classes of luma that Otsu's threshold (1979) makes."""
    cv2 = opencv()
    threshold, _ = cv2.threshold(patch, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    values: FloatArray = patch.astype(np.float64)
    above, below = values[patch > threshold], values[patch <= threshold]
    return float((above.mean() - below.mean()) / 255) if len(above) and len(below) else 0.0


def _probabilities(rgb: ImageArray) -> npt.NDArray[np.float32]:
    """Return each pixel's probability of being in a line's core, (180, 320)."""
    # Trained on blue, green, red, from -1 to 1. Written once, where the network reads it.
    planes = np.empty((1, 3, HEIGHT + -HEIGHT % STRIDE, WIDTH), dtype=np.float32)
    planes[0, :, :HEIGHT] = rgb.transpose(2, 0, 1)[::-1]
    planes[0, :, HEIGHT:] = planes[0, :, HEIGHT - 1 : HEIGHT]
    planes /= 127.5
    planes -= 1
    session = _session()
    (answer,) = session.run(None, {session.get_inputs()[0].name: planes})
    result: npt.NDArray[np.float32] = answer[0, 0, :HEIGHT]
    return result


@cache
def _session() -> Any:
    try:
        load_onnxruntime()
    except ImportError as error:
        raise _missing("onnxruntime") from error
    # Looked up, not imported: the package brings a logger and settings of its own.
    spec = find_spec("rapidocr")
    folder = Path(spec.origin or "").parent / "models" if spec else Path()
    weights = sorted(folder.glob("*_det_*.onnx")) if spec else []
    if not weights:
        raise _missing("rapidocr")
    # One thread a picture: pictures are many and cores few.
    return one_thread_session(weights[0])


def _missing(package: str) -> LearningError:
    return LearningError(
        f"finding text in thumbnails needs {package}, which is not installed; run:"
        ' pip install onnxruntime rapidocr "opencv-python-headless<5"',
        reason="textDetectorMissing",
    )
