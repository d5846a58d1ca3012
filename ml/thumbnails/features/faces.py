"""Faces by OpenCV's Haar cascades (Viola & Jones 2001; Lienhart & Maydt 2002).

Frontal faces only, and cartoons or plates of food are taken for one now and then: good enough to
compare catalogues, not to swear by for one picture. Why these: docs/decisions/0015-pictures.md.

A picture is looked over at half its size first, and looked at properly only around what might be a
face there: docs/decisions/0024-cheaper-measurements.md.
"""

import threading
from pathlib import Path
from typing import Any

import numpy as np

from ml.arrays import ImageArray
from ml.images.pictures import HEIGHT, WIDTH
from ml.thumbnails.features.canvas import Box, Canvas, opencv

SMALLEST = 28
"""Pixels of 180: a smaller face is lost at phone size anyway."""
CASCADE = "haarcascade_frontalface_alt2.xml"
STEP = 1.25
"""From one size of face to the next."""
GLANCE, GLANCE_STEP = 0.5, 1.4
"""How large a picture is looked over, and from size to size of face there."""
AROUND = 0.35
"""Of a face that there might be, how much beyond each side is looked at."""


def find_faces(canvas: Canvas) -> list[Box]:
    """Return the faces, largest first."""
    grey = opencv().equalizeHist(canvas.grey)
    boxes = []
    for (left, top, width, height), largest in _places(grey):
        found = _cascade().detectMultiScale(
            grey[top : top + height, left : left + width].copy(),
            scaleFactor=STEP,
            minNeighbors=3,
            minSize=(SMALLEST, SMALLEST),
            maxSize=(largest, largest),
        )
        boxes += [(left + int(x), top + int(y), int(w), int(h)) for x, y, w, h in found]
    return sorted(boxes, key=lambda box: (-box[2] * box[3], box))


def _places(grey: ImageArray) -> list[tuple[Box, int]]:
    """Return where to look for faces, apart from each other, and for how large ones."""
    cv2 = opencv()
    small = cv2.resize(grey, None, fx=GLANCE, fy=GLANCE, interpolation=cv2.INTER_AREA)
    glanced = _cascade().detectMultiScale(small, scaleFactor=GLANCE_STEP, minNeighbors=0)
    if not len(glanced):
        return []
    found = np.asarray(glanced) / GLANCE
    starts = np.maximum(found[:, :2] - AROUND * found[:, 2:], 0).astype(np.int64)
    ends = np.ceil(found[:, :2] + (1 + AROUND) * found[:, 2:]).astype(np.int64)
    mask = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    for (left, top), (right, bottom) in zip(starts, ends, strict=True):
        mask[top:bottom, left:right] = 1
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    middles = np.minimum((starts + ends) // 2, (WIDTH - 1, HEIGHT - 1))
    owner = labels[middles[:, 1], middles[:, 0]]
    return [
        (
            (int(left), int(top), int(width), int(height)),
            int(found[owner == place, 2].max() * GLANCE_STEP),
        )
        for place, (left, top, width, height, _) in zip(range(1, count), stats[1:], strict=True)
    ]


def face_count(faces: list[Box]) -> float:
    """How many."""
    return float(len(faces))


def largest_face(faces: list[Box]) -> float:
    """The largest face's share of the picture."""
    return faces[0][2] * faces[0][3] / (WIDTH * HEIGHT) if faces else 0.0


def face_position(faces: list[Box]) -> tuple[float, float]:
    """Middle of the largest face, from 0 at the left (top) to 1; the middle where there is none."""
    if not faces:
        return 0.5, 0.5
    left, top, width, height = faces[0]
    return (left + width / 2) / WIDTH, (top + height / 2) / HEIGHT


def _cascade() -> Any:
    """Return this thread's: a cascade keeps the picture that it is looking at."""
    if not hasattr(_of_thread, "cascade"):
        cv2 = opencv()
        _of_thread.cascade = cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / CASCADE))
    return _of_thread.cascade


_of_thread = threading.local()
