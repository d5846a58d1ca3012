"""Light and colour of a picture."""

import numpy as np

from ml.thumbnails.features.canvas import HUE_BINS, Canvas, opencv

_DARK = 20 * 255 / 100


def brightness(canvas: Canvas) -> float:
    """Mean lightness L*."""
    return float(opencv().mean(canvas.lightness)[0] * 100 / 255)


def rms_contrast(canvas: Canvas) -> float:
    """Standard deviation of luma over its range (Peli 1990)."""
    _, deviation = opencv().meanStdDev(canvas.grey)
    return float(deviation.item() / 255)


def michelson_contrast(canvas: Canvas) -> float:
    """(light - dark) / (light + dark), of the 99th and the 1st percentile of luma."""
    counts = np.bincount(canvas.grey.ravel(), minlength=256).cumsum()
    dark, light = np.searchsorted(counts, [0.01 * counts[-1], 0.99 * counts[-1]])
    return float((light - dark) / (light + dark)) if light > 0 else 0.0


def saturation(canvas: Canvas) -> float:
    """Mean saturation of HSV."""
    return float(opencv().mean(canvas.hsv[1])[0] / 255)


def colourfulness(canvas: Canvas) -> float:
    """Hasler & Süsstrunk 2003, "Measuring Colourfulness in Natural Images", metric M3."""
    cv2 = opencv()
    red, green, blue = cv2.split(canvas.rgb)
    opponents = (
        cv2.subtract(red, green, dtype=cv2.CV_32F),
        cv2.subtract(
            cv2.addWeighted(red, 0.5, green, 0.5, 0, dtype=cv2.CV_32F), blue, dtype=cv2.CV_32F
        ),
    )
    means, deviations = np.array([cv2.meanStdDev(each) for each in opponents])[..., 0, 0].T
    return float(np.hypot(*deviations) + 0.3 * np.hypot(*means))


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
    return float((canvas.lightness < _DARK).mean())
