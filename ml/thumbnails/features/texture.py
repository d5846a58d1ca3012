"""How sharp and how busy a picture is."""

import numpy as np

from ml.thumbnails.features.canvas import Canvas, opencv

LEVELS = 3
BINS = 32


def sharpness(canvas: Canvas) -> float:
    """log10(1 + variance of the Laplacian), on which autofocus relies (Pech-Pacheco 2000)."""
    cv2 = opencv()
    _, deviation = cv2.meanStdDev(cv2.Laplacian(canvas.grey, cv2.CV_16S))
    return float(np.log10(1 + deviation.item() ** 2))


def edge_density(canvas: Canvas) -> float:
    """Share of pixels on an edge."""
    return float(canvas.edges.mean())


def subband_entropy(canvas: Canvas) -> float:
    """Mean entropy of the bands of a Laplacian pyramid of L*, in bits.

    After Rosenholtz, Li & Nakano 2007, "Measuring visual clutter", who use a steerable pyramid: a
    cluttered picture cannot be told in few bits.
    """
    cv2 = opencv()
    current = canvas.lightness.astype(np.float32) * np.float32(100 / 255)
    entropies = []
    for _ in range(LEVELS):
        smaller = cv2.pyrDown(current)
        band = current - cv2.pyrUp(smaller, dstsize=current.shape[1::-1])
        counts = cv2.calcHist([band], [0], None, [BINS], [-50, 50]).astype(np.float64)
        shares = counts[counts > 0] / counts.sum()
        entropies.append(-(shares * np.log2(shares)).sum())
        current = smaller
    return float(np.mean(entropies))
