"""Faces by OpenCV's Haar cascades (Viola & Jones 2001; Lienhart & Maydt 2002).

Frontal faces only, and cartoons or plates of food are taken for one now and then: good enough to
compare catalogues, not to swear by for one picture. Why these: docs/decisions/0015-pictures.md.
"""

from functools import cache
from pathlib import Path
from typing import Any

from ml.images.pictures import HEIGHT, WIDTH
from ml.thumbnails.features.canvas import Box, Canvas, opencv

SMALLEST = 28
"""Pixels of 180: a smaller face is lost at phone size anyway."""
CASCADE = "haarcascade_frontalface_alt2.xml"


def find_faces(canvas: Canvas) -> list[Box]:
    """Return the faces, largest first."""
    cv2 = opencv()
    grey = cv2.equalizeHist(canvas.grey)
    found = _cascade().detectMultiScale(
        grey, scaleFactor=1.25, minNeighbors=3, minSize=(SMALLEST, SMALLEST)
    )
    boxes = [(int(x), int(y), int(w), int(h)) for x, y, w, h in found]
    return sorted(boxes, key=lambda box: (-box[2] * box[3], box))


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


@cache
def _cascade() -> Any:
    cv2 = opencv()
    return cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / CASCADE))
