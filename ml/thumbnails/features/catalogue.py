"""The interpretable measurements of a thumbnail, by name: what each is, in which unit and range.

A description says what a number is and never whether more of it is better: studies contradict each
other, and what holds for a catalogue is for its own data to say.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ml.arrays import FloatArray, ImageArray
from ml.runtime.pools import computing
from ml.thumbnails.features import colour, composition, faces, texture
from ml.thumbnails.features.canvas import Canvas
from ml.thumbnails.features.text import Text, find_text

MEASUREMENT_VERSION = 2
"""Counts up whenever a number would come out differently for the same picture."""


@dataclass(frozen=True)
class Feature:
    """One measurement.

    Attributes:
        name: Column name.
        title: For people.
        unit: What one of it is.
        low: No value is below.
        high: No value is above.
        description: What it measures, in a sentence.
        circular: An angle in degrees: 359 is next to 0.
    """

    name: str
    title: str
    unit: str
    low: float
    high: float
    description: str
    circular: bool = False


def _share(name: str, title: str, description: str, unit: str = "share of the picture") -> Feature:
    return Feature(name, title, unit, 0.0, 1.0, description)


FEATURES = (
    Feature("brightness", "Brightness", "L*", 0, 100, "Mean CIE lightness."),
    _share("dark_share", "Dark area", "How much of the picture is darker than L* 20."),
    Feature(
        "rms_contrast", "Contrast", "of the range of luma", 0, 0.5, "Standard deviation of luma."
    ),
    _share(
        "michelson_contrast",
        "Light against dark",
        "Difference of the lightest and the darkest percent over their sum.",
        unit="ratio",
    ),
    _share("saturation", "Saturation", "Mean saturation of HSV.", unit="HSV saturation"),
    Feature(
        "colourfulness",
        "Colourfulness",
        "Hasler–Süsstrunk M3",
        0,
        470,
        "Spread and strength of the two opponent colours; photographs have about 0 to 110.",
    ),
    Feature(
        "dominant_hue",
        "Dominant hue",
        "degrees",
        0,
        360,
        "Hue that most of the picture's colour has: 0 red, 120 green, 240 blue.",
        circular=True,
    ),
    _share("warmth", "Warm colours", "Share of red to yellow.", unit="share of the colour"),
    Feature(
        "sharpness", "Sharpness", "log10", 0, 6.1, "Variance of the Laplacian, as log10(1 + v)."
    ),
    _share("edge_density", "Edges", "How much of the picture lies on an edge (Canny)."),
    Feature(
        "subband_entropy",
        "Clutter",
        "bits",
        0,
        5,
        "Entropy of three bands of detail: how much there is to take in.",
    ),
    _share("text_share", "Text area", "How much of the picture lines of text take."),
    Feature("text_lines", "Lines of text", "lines", 0, 40, "How many lines of text were found."),
    _share("text_height", "Largest line of text", "Its height.", unit="of the height"),
    _share(
        "text_legible_share",
        "Text legible on a phone",
        "How much of the text is large and strong enough where a phone shows 94 rows; 1 without"
        " text.",
        unit="share of the text",
    ),
    Feature("face_count", "Faces", "faces", 0, 40, "How many frontal faces were found."),
    _share("largest_face", "Largest face", "How much of the picture the largest face takes."),
    _share(
        "face_x",
        "Face, across",
        "Middle of the largest face; 0.5 without one.",
        unit="of the width",
    ),
    _share(
        "face_y", "Face, down", "Middle of the largest face; 0.5 without one.", unit="of the height"
    ),
    _share("focus_x", "Focus, across", "Centre of attention (saliency).", unit="of the width"),
    _share("focus_y", "Focus, down", "Centre of attention (saliency).", unit="of the height"),
    Feature(
        "thirds_distance",
        "Distance from a third",
        "of the width",
        0,
        1,
        "How far the centre of attention is from the nearest crossing of thirds.",
    ),
    _share(
        "focus_spread",
        "Spread of attention",
        "Entropy of the saliency map over that of an even one.",
        unit="ratio",
    ),
    _share(
        "badge_covers",
        "Hidden by the duration badge",
        "How much of the bottom right corner, where the badge goes, is text or a face.",
        unit="share of the badge",
    ),
    Feature(
        "badge_saliency",
        "Attention under the badge",
        "times an even spread",
        0,
        5,
        "Saliency in the bottom right corner.",
    ),
    _share(
        "bars_share", "Black bars", "How much of the frame black bars take.", unit="of the frame"
    ),
)
NAMES = tuple(feature.name for feature in FEATURES)


@dataclass(frozen=True)
class Measured:
    """What was measured on one picture.

    Attributes:
        values: In the order of :data:`FEATURES`, (F,), each within its bounds.
        text: The text found, for edits and pictures of it.
        faces: The faces found, largest first: left, upper, width, height in 320 by 180.
    """

    values: FloatArray
    text: Text
    faces: list[tuple[int, int, int, int]]


def measure(frame: ImageArray, shown: ImageArray | None = None) -> Measured:
    """Measure a thumbnail.

    Args:
        frame: As collected, with its bars, (180, 320, 3) RGB.
        shown: Without its bars, where somebody has cut them off already.

    Raises:
        LearningError: Another size, or OpenCV is missing.
    """
    canvas = Canvas(frame, shown)
    text, found = find_text(canvas), faces.find_faces(canvas)
    face_x, face_y = faces.face_position(found)
    focus_x, focus_y = composition.saliency_centre(canvas)
    values = {
        "brightness": colour.brightness(canvas),
        "dark_share": colour.dark_share(canvas),
        "rms_contrast": colour.rms_contrast(canvas),
        "michelson_contrast": colour.michelson_contrast(canvas),
        "saturation": colour.saturation(canvas),
        "colourfulness": colour.colourfulness(canvas),
        "dominant_hue": colour.dominant_hue(canvas),
        "warmth": colour.warmth(canvas),
        "sharpness": texture.sharpness(canvas),
        "edge_density": texture.edge_density(canvas),
        "subband_entropy": texture.subband_entropy(canvas),
        "text_share": text.share,
        "text_lines": float(len(text.lines)),
        "text_height": text.tallest,
        "text_legible_share": text.legible_share,
        "face_count": faces.face_count(found),
        "largest_face": faces.largest_face(found),
        "face_x": face_x,
        "face_y": face_y,
        "focus_x": focus_x,
        "focus_y": focus_y,
        "thirds_distance": composition.thirds_distance(canvas),
        "focus_spread": composition.saliency_spread(canvas),
        "badge_covers": composition.badge_covers(text, found),
        "badge_saliency": composition.badge_saliency(canvas),
        "bars_share": canvas.bars_share,
    }
    bounded = [np.clip(values[f.name], f.low, f.high) for f in FEATURES]
    return Measured(np.array(bounded, dtype=np.float64), text, found)


def measure_all(
    frames: Sequence[ImageArray], shown: Sequence[ImageArray] | None = None
) -> FloatArray:
    """Measure N thumbnails side by side, (N, F); as :func:`measure`."""
    without = [None] * len(frames) if shown is None else shown
    tasks = [partial(measure, *both) for both in zip(frames, without, strict=True)]
    measured = computing().run(tasks)
    return np.array([each.values for each in measured]).reshape(-1, len(FEATURES))


def columns(values: FloatArray) -> FloatArray:
    """Turn measurements (N, F) into a model's columns: angles become their cosine and sine."""
    result = []
    for position, feature in enumerate(FEATURES):
        column = values[:, position]
        if feature.circular:
            result += [np.cos(np.radians(column)), np.sin(np.radians(column))]
        else:
            result.append(column)
    return np.column_stack(result)
