"""Changes that the program can try on a picture itself, to see whether its grade moves.

Each takes and gives an image (H, W, 3) of 8 bits and has no memory. They are mild, as a creator
would make them: far from real pictures a model's answer says nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ml.arrays import BoolArray, FloatArray, ImageArray
from ml.errors import LearningError
from ml.images.pictures import HEIGHT, WIDTH, without_bars
from ml.thumbnails.features.canvas import Canvas, opencv
from ml.thumbnails.features.composition import saliency_centre
from ml.thumbnails.features.faces import face_position, find_faces
from ml.thumbnails.features.text import find_text

BRIGHTER = 0.75
"""Exponent on values from 0 to 1: middle grey goes from 0.5 to 0.59."""
DARKER = 1 / BRIGHTER
STRONGER = 1.25
WEAKER = 0.8
CROPPED = 0.8
"""Share of the width and height that stays."""
DIMMED = 0.35
"""Share of the difference from its surroundings that dimmed text keeps."""
LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Edit:
    """A named change.

    Attributes:
        name: Short and stable.
        title: For people: what was done, as in "brighter".
        apply: Maps an image (H, W, 3) to one of the same shape; the same one where there is nothing
            to change, such as no text to dim.
    """

    name: str
    title: str
    apply: Callable[[ImageArray], ImageArray]


def edit_names() -> tuple[str, ...]:
    """Return the names of all edits."""
    return tuple(_BY_NAME)


def edit(name: str) -> Edit:
    """Return an edit.

    Raises:
        LearningError: No such edit.
    """
    if name not in _BY_NAME:
        raise LearningError(
            f"there is no edit {name!r}; there are {', '.join(_BY_NAME)}", reason="unknownEdit"
        )
    return _BY_NAME[name]


def variants(image: ImageArray) -> dict[str, ImageArray]:
    """Apply every edit; those that change nothing are left out."""
    made = {name: each.apply(image) for name, each in _BY_NAME.items()}
    return {name: changed for name, changed in made.items() if not np.array_equal(changed, image)}


def _gamma(exponent: float) -> Callable[[ImageArray], ImageArray]:
    def apply(image: ImageArray) -> ImageArray:
        return _clipped((image / 255) ** exponent * 255)

    return apply


def _contrast(factor: float) -> Callable[[ImageArray], ImageArray]:
    def apply(image: ImageArray) -> ImageArray:
        middle = (image @ LUMA).mean()
        return _clipped(middle + (image - middle) * factor)

    return apply


def _saturation(factor: float) -> Callable[[ImageArray], ImageArray]:
    def apply(image: ImageArray) -> ImageArray:
        grey = (image @ LUMA)[..., None]
        return _clipped(grey + (image - grey) * factor)

    return apply


def _warmth(shift: float) -> Callable[[ImageArray], ImageArray]:
    def apply(image: ImageArray) -> ImageArray:
        return _clipped(image * np.array([1 + shift, 1.0, 1 - shift]))

    return apply


def _sharper(image: ImageArray) -> ImageArray:
    cv2 = opencv()
    smooth = cv2.GaussianBlur(image, (0, 0), image.shape[0] / 120).astype(np.float64)
    return _clipped(image + 0.6 * (image - smooth))


def _cropped_to_subject(image: ImageArray) -> ImageArray:
    """Zoom towards the largest face, else towards the centre of attention."""
    canvas = _canvas(image)
    faces = find_faces(canvas)
    x, y = face_position(faces) if faces else saliency_centre(canvas)
    height, width = image.shape[:2]
    across, down = width * CROPPED, height * CROPPED
    left = float(np.clip(x * width - across / 2, 0, width - across))
    top = float(np.clip(y * height - down / 2, 0, height - down))
    box = (left, top, left + across, top + down)
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC, box=box)
    return np.asarray(resized)


def _mirrored(image: ImageArray) -> ImageArray:
    return np.ascontiguousarray(image[:, ::-1])


def _text_dimmed(image: ImageArray) -> ImageArray:
    """Pull lines of text towards the colours around them."""
    cv2 = opencv()
    bare = without_bars(image)
    mask = find_text(_canvas(bare)).mask
    if not mask.any():
        return image
    height, width = image.shape[:2]
    inside: BoolArray = cv2.resize(mask.astype(np.uint8), (width, height)) > 0
    around = cv2.inpaint(bare, inside.astype(np.uint8), 3, cv2.INPAINT_TELEA)
    smooth = cv2.GaussianBlur(around, (0, 0), height / 30)
    return np.where(inside[..., None], _clipped(smooth + (bare - 1.0 * smooth) * DIMMED), bare)


def _canvas(image: ImageArray) -> Canvas:
    """Return a canvas of the image whatever its size."""
    return Canvas(np.asarray(Image.fromarray(image).resize((WIDTH, HEIGHT))))


def _clipped(values: FloatArray) -> ImageArray:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


EDITS = (
    Edit("brighter", "brighter", _gamma(BRIGHTER)),
    Edit("darker", "darker", _gamma(DARKER)),
    Edit("moreContrast", "more contrast", _contrast(STRONGER)),
    Edit("lessContrast", "less contrast", _contrast(WEAKER)),
    Edit("moreSaturated", "more saturated", _saturation(STRONGER)),
    Edit("lessSaturated", "less saturated", _saturation(WEAKER)),
    Edit("warmer", "warmer colours", _warmth(0.08)),
    Edit("cooler", "cooler colours", _warmth(-0.08)),
    Edit("sharper", "sharper", _sharper),
    Edit("croppedToSubject", "cropped towards the subject", _cropped_to_subject),
    Edit("mirrored", "mirrored", _mirrored),
    Edit("textDimmed", "text dimmed", _text_dimmed),
    Edit("barsRemoved", "black bars removed", without_bars),
)
_BY_NAME = {each.name: each for each in EDITS}
