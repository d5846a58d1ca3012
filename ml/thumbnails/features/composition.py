"""Where things are in a picture, and what the duration badge hides."""

import numpy as np

from ml.images.pictures import HEIGHT, WIDTH
from ml.thumbnails.features.canvas import Box, Canvas
from ml.thumbnails.features.text import Text

BADGE: Box = (272, 152, 40, 20)
"""Where YouTube draws a video's duration over the frame's bottom right corner, in 320 by 180."""
THIRDS = ((1 / 3, 1 / 3), (1 / 3, 2 / 3), (2 / 3, 1 / 3), (2 / 3, 2 / 3))


def saliency_centre(canvas: Canvas) -> tuple[float, float]:
    """Centre of attention, from 0 at the left (top) to 1."""
    rows, columns = canvas.saliency.shape
    across = (np.arange(columns) + 0.5) / columns
    down = (np.arange(rows) + 0.5) / rows
    weight = canvas.saliency
    return float(weight.sum(axis=0) @ across), float(weight.sum(axis=1) @ down)


def thirds_distance(canvas: Canvas) -> float:
    """Distance of the centre of attention from the nearest third's crossing, in widths."""
    x, y = saliency_centre(canvas)
    return float(min(np.hypot(x - a, (y - b) * HEIGHT / WIDTH) for a, b in THIRDS))


def saliency_spread(canvas: Canvas) -> float:
    """How evenly attention is spread: its entropy over that of an even spread."""
    shares = canvas.saliency[canvas.saliency > 0]
    return float(min(-(shares * np.log(shares)).sum() / np.log(canvas.saliency.size), 1.0))


def badge_covers(text: Text, faces: list[Box]) -> float:
    """Share of the badge's place that text or a face takes, whichever is more."""
    left, top, width, height = BADGE
    texts = float(text.mask[top : top + height, left : left + width].mean())
    return max([texts, *(_shared(face, BADGE) for face in faces)])


def badge_saliency(canvas: Canvas) -> float:
    """Attention on the badge's place over what an even spread would put there, at most 5."""
    rows, columns = canvas.saliency.shape
    left, top, width, height = BADGE
    patch = canvas.saliency[
        round(top / HEIGHT * rows) : round((top + height) / HEIGHT * rows),
        round(left / WIDTH * columns) : round((left + width) / WIDTH * columns),
    ]
    return float(min(patch.mean() * canvas.saliency.size, 5.0))


def _shared(box: Box, place: Box) -> float:
    """Return the share of a place that a box covers."""
    across = min(box[0] + box[2], place[0] + place[2]) - max(box[0], place[0])
    down = min(box[1] + box[3], place[1] + place[3]) - max(box[1], place[1])
    return max(across, 0) * max(down, 0) / (place[2] * place[3])
