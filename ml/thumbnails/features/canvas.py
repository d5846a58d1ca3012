"""One picture and what several measurements share of it, each computed at most once."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ml.arrays import BoolArray, FloatArray, ImageArray
from ml.errors import LearningError
from ml.images.decoding import Size
from ml.images.pictures import HEIGHT, WIDTH, find_bars, without_bars

Box = tuple[int, int, int, int]
"""Left, upper, width, height in pixels."""

SALIENCY_SIZE: Size = (64, 36)
HUE_BINS = 36
_HUE_BIN = np.arange(256) * HUE_BINS // 256
COLOURLESS = 0.01
"""Mean saturation times value below which a picture is grey: its hues are of rounding only."""


def opencv() -> Any:
    """Return OpenCV, set to one thread: pictures are many and cores few.

    Raises:
        LearningError: It is not installed.
    """
    try:
        import cv2  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise LearningError(
            "measuring thumbnails needs OpenCV 4, which is not installed; run:"
            ' pip install "opencv-python-headless<5"',
            reason="opencvMissing",
        ) from error
    cv2.setNumThreads(1)
    return cv2


@dataclass(frozen=True)
class Canvas:
    """A frame as collected, (180, 320, 3) RGB, and views of its picture without bars."""

    frame: ImageArray
    shown: ImageArray | None = None
    """The picture without bars, where somebody has cut them off already."""

    def __post_init__(self) -> None:
        if self.frame.shape != (HEIGHT, WIDTH, 3):
            raise LearningError(
                f"measurements take pictures of ({HEIGHT}, {WIDTH}, 3), not {self.frame.shape};"
                " decode them with ml.images.pictures",
                reason="imageSize",
            )

    @cached_property
    def bars_share(self) -> float:
        """Share of the frame that black bars take, 0 to 1."""
        return find_bars(self.frame).share(HEIGHT, WIDTH)

    @cached_property
    def rgb(self) -> ImageArray:
        """The picture without bars, (180, 320, 3)."""
        return without_bars(self.frame) if self.shown is None else self.shown

    @cached_property
    def grey(self) -> ImageArray:
        """Luma of ITU-R BT.601, 0 to 255, (180, 320)."""
        result: ImageArray = opencv().cvtColor(self.rgb, opencv().COLOR_RGB2GRAY)
        return result

    @cached_property
    def lightness(self) -> ImageArray:
        """L* of CIE L*a*b* under D65 in steps of 100/255, (180, 320)."""
        cv2 = opencv()
        whole = cv2.cvtColor(self.rgb, cv2.COLOR_RGB2LAB)
        result: ImageArray = cv2.extractChannel(whole, 0)
        return result

    @cached_property
    def hsv(self) -> tuple[ImageArray, ImageArray, ImageArray]:
        """Hue in 256ths of a circle, saturation and value to 255, (180, 320) each."""
        cv2 = opencv()
        hue, saturated, value = cv2.split(cv2.cvtColor(self.rgb, cv2.COLOR_RGB2HSV_FULL))
        return hue, saturated, value

    @cached_property
    def hues(self) -> FloatArray:
        """How much colour (saturation times value) has each of 36 hues, (36,); zeros if grey."""
        cv2 = opencv()
        hue, saturated, value = self.hsv
        weight = cv2.multiply(saturated, value, dtype=cv2.CV_32F).ravel()
        counted = np.bincount(hue.ravel(), weights=weight, minlength=256) / 255**2
        if counted.sum() <= COLOURLESS * hue.size:
            return np.zeros(HUE_BINS)
        binned = np.bincount(_HUE_BIN, weights=counted, minlength=HUE_BINS)
        return binned.astype(np.float64)

    @cached_property
    def edges(self) -> BoolArray:
        """Where Canny's detector (1986) sees an edge at thresholds 100 and 200, (180, 320)."""
        return np.asarray(opencv().Canny(self.grey, 100, 200) > 0)

    @cached_property
    def saliency(self) -> FloatArray:
        """Share of attention by place, (36, 64), summing to 1.

        The spectral residual (Hou & Zhang 2007, "Saliency Detection: A Spectral Residual
        Approach"): what departs from the smooth amplitude spectrum that all pictures share.
        """
        cv2 = opencv()
        small = cv2.resize(self.grey, SALIENCY_SIZE, interpolation=cv2.INTER_AREA)
        spectrum = np.fft.fft2(small.astype(np.float64))
        log_amplitude = np.log1p(np.abs(spectrum))
        residual = log_amplitude - cv2.blur(log_amplitude, (3, 3))
        back = np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
        smooth = cv2.GaussianBlur(back, (0, 0), 2.5)
        # Away from the rim: the transform wraps around and sees an edge there.
        smooth[:2] = smooth[-2:] = 0
        smooth[:, :2] = smooth[:, -2:] = 0
        total = smooth.sum()
        uniform = np.full(smooth.shape, 1 / smooth.size)
        flat = float(np.ptp(small)) < 2  # noqa: PLR2004 - nothing to see in a plain picture
        return uniform if flat or total <= 0 else np.asarray(smooth / total)
