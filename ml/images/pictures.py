"""Thumbnails as a viewer sees them: 320 by 180 pixels, without letterbox bars.

Bars tell which size of thumbnail was collected and how old or how tall a video is, and a model
would rather learn that than the picture (docs/decisions/0004). So they are cut off before a
pretrained network or a measurement sees anything, and each picture has the same size then,
whatever it was collected at.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ml.arrays import BoolArray, ImageArray
from ml.images.decoding import decode_thumbnails

WIDTH, HEIGHT = 320, 180
PREPROCESSING = {
    "width": WIDTH,
    "height": HEIGHT,
    "colour": "RGB",
    "crop": "centre 16:9, then black bars on opposite sides",
    "resize": "bilinear",
}
"""What a model's weights rely on; stored with them."""

BLACK = 28
"""A bar's brightest channel stays below this, out of 255: JPEG does not keep black at 0."""
THINNEST = 0.02
"""A bar's least share of the height or the width; JPEG darkens a row at the rim by itself."""
THICKEST = 0.35
"""Its largest share on one side: a 9:16 video in a 16:9 frame has bars of 0.34."""
LOPSIDED = 0.03
"""Bars on opposite sides differ by at most this share: a dark sky is no bar."""


@dataclass(frozen=True)
class Bars:
    """How many black rows and columns frame a picture; 0 where there is no bar."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def share(self, height: int, width: int) -> float:
        """Return the bars' share of the frame's area, 0 to 1."""
        inside = (height - self.top - self.bottom) * (width - self.left - self.right)
        return 1.0 - inside / (height * width)


def decode_pictures(
    names: Sequence[str], read: Callable[[str], bytes], *, workers: int = 2
) -> ImageArray:
    """Decode thumbnails without their bars, (N, 180, 320, 3) in the order of ``names``.

    Args:
        names: One name (SHA-256) a row.
        read: Returns the encoded bytes of a name; called from other threads.
        workers: How many threads.

    Raises:
        LearningError: An image is unreadable; it is named.
    """
    frames = decode_thumbnails(names, read, workers=workers, size=(WIDTH, HEIGHT))
    for row, frame in enumerate(frames):
        frames[row] = without_bars(frame)
    return frames


def without_bars(image: ImageArray) -> ImageArray:
    """Cut black bars off and fill the frame again, (H, W, 3) as before.

    Proportions are kept: what the frame's shape does not hold is cut off on both sides alike.
    """
    height, width = image.shape[:2]
    bars = find_bars(image)
    if bars == Bars():
        return image
    # One pixel more: the row beside a bar is darkened by JPEG and by scaling.
    top, left = bars.top + (bars.top > 0), bars.left + (bars.left > 0)
    bottom = height - bars.bottom - (bars.bottom > 0)
    right = width - bars.right - (bars.right > 0)
    scale = min((right - left) / width, (bottom - top) / height)
    across, down = (right - left - width * scale) / 2, (bottom - top - height * scale) / 2
    box = (left + across, top + down, right - across, bottom - down)
    whole = Image.fromarray(image)
    return np.asarray(whole.resize((width, height), Image.Resampling.BILINEAR, box=box))


def find_bars(image: ImageArray) -> Bars:
    """Find black bars on opposite sides of an image (H, W, 3)."""
    # Channel by channel: reducing over three values a pixel takes five times as long.
    dark = (image[..., 0] <= BLACK) & (image[..., 1] <= BLACK) & (image[..., 2] <= BLACK)
    # Nearly all of a row rather than all: a channel's watermark may stick into the bar.
    top, bottom = _pair(dark.mean(axis=1) > 0.98)  # noqa: PLR2004
    left, right = _pair(dark[top : len(dark) - bottom].mean(axis=0) > 0.98)  # noqa: PLR2004
    return Bars(top, bottom, left, right)


def _pair(dark: BoolArray) -> tuple[int, int]:
    """Return the lengths of the dark runs at both ends; zeros unless they are bars."""
    if dark.all():
        return 0, 0
    first, last = int(np.argmin(dark)), int(np.argmin(dark[::-1]))
    size = len(dark)
    fits = THINNEST * size <= min(first, last) and max(first, last) <= THICKEST * size
    return (first, last) if fits and abs(first - last) <= LOPSIDED * size else (0, 0)
