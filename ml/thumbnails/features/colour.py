"""Light and colour of a picture."""

import numpy as np

from ml.thumbnails.features.canvas import HUE_BINS, Canvas


def brightness(canvas: Canvas) -> float:
    """Mean lightness L*."""
    return float(canvas.lab[..., 0].mean())


def rms_contrast(canvas: Canvas) -> float:
    """Standard deviation of luma over its range (Peli 1990)."""
    return float(canvas.grey.std() / 255)


def michelson_contrast(canvas: Canvas) -> float:
    """(light - dark) / (light + dark), of the 99th and the 1st percentile of luma."""
    dark, light = np.percentile(canvas.grey, [1, 99])
    return float((light - dark) / (light + dark)) if light > 0 else 0.0


def saturation(canvas: Canvas) -> float:
    """Mean saturation of HSV."""
    return float(canvas.hsv[..., 1].mean())


def colourfulness(canvas: Canvas) -> float:
    """Hasler & Süsstrunk 2003, "Measuring Colourfulness in Natural Images", metric M3."""
    red, green, blue = np.moveaxis(canvas.rgb.astype(np.float64), 2, 0)
    opponents = np.stack([red - green, (red + green) / 2 - blue])
    spread = np.hypot(*opponents.std(axis=(1, 2)))
    return float(spread + 0.3 * np.hypot(*opponents.mean(axis=(1, 2))))


def dominant_hue(canvas: Canvas) -> float:
    """The fullest of 36 bins of hue, each pixel weighing its saturation times its value."""
    histogram = canvas.hues
    return float((np.argmax(histogram) + 0.5) * 360 / HUE_BINS) if histogram.any() else 0.0


def warmth(canvas: Canvas) -> float:
    """Share of the colour (saturation times value) with a hue from magenta-red to yellow."""
    histogram = canvas.hues
    total = histogram.sum()
    # 330 to 360 and 0 to 70 degrees.
    warm = histogram[:7].sum() + histogram[33:].sum()
    return float(warm / total) if total > 0 else 0.5


def dark_share(canvas: Canvas) -> float:
    """Share of pixels with L* below 20."""
    return float((canvas.lab[..., 0] < 20).mean())  # noqa: PLR2004
