"""Where in a picture the answer comes from, drawn over it."""

import io

import numpy as np
from PIL import Image

from ml.arrays import FloatArray, ImageArray

WIDTH, HEIGHT = 640, 360
OPACITY = 0.65
RAISES, LOWERS = (208, 96, 43), (53, 114, 158)


def overlay(frame: ImageArray, heat: FloatArray) -> bytes:
    """Draw a map over a picture as a PNG of 640 by 360: orange raises the answer, blue lowers it.

    The strongest part of the map is the most opaque, whatever its size is.

    Args:
        frame: (H, W, 3).
        heat: (rows, columns), positive where the part raises the answer.
    """
    grey = Image.fromarray(frame).convert("L").resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    picture = np.repeat(np.asarray(grey, dtype=np.float64)[..., None], 3, axis=2)
    strongest = float(np.abs(heat).max())
    scaled = heat / strongest if strongest > 0 else np.zeros_like(heat)
    smooth = np.asarray(
        Image.fromarray(scaled.astype(np.float32)).resize(
            (WIDTH, HEIGHT), Image.Resampling.BILINEAR
        ),
        dtype=np.float64,
    )[..., None]
    colour = np.where(smooth > 0, np.array(RAISES), np.array(LOWERS))
    opacity = OPACITY * np.abs(smooth)
    drawn = np.clip(picture * (1 - opacity) + colour * opacity, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(drawn).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
