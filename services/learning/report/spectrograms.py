"""Spectrograms of segments that a model told right and wrong, the surest of each."""

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from db.queries.speech import segments
from ml.arrays import FloatArray
from ml.errors import LearningError
from services.context import Context
from services.errors import PermanentError

SHOWN = 8
"""Segments a side."""
SECONDS = 4.0
"""Of a segment that are drawn."""
WIDTH, HEIGHT = 320, 128
QUALITY = 82
LOUDEST, DEPTH = 99.5, 60.0
"""The percentile that is white, and how many decibels below it are black."""
COLOURS = "magma"

SampleArray = npt.NDArray[np.float32]
Sound = Callable[[dict[str, Any]], SampleArray | None]
"""Gives the samples of a row, mono at 16 kHz; None where they are gone."""


@dataclass(frozen=True)
class Example:
    """One segment.

    Attributes:
        truth: Its label, ``en`` or ``zh``.
        predicted: What the model says, given that it is one of the two.
        probability: Of that.
        source: Whom it is from: a channel or the name of a group, anything at all.
        codec: How it came.
        seconds: Its length.
        snr_db: Its signal-to-noise ratio; None where unknown.
        picture: A ``data:`` address of a JPEG.
    """

    truth: str
    predicted: str
    probability: float
    source: str
    codec: str
    seconds: float
    snr_db: float | None
    picture: str


@dataclass(frozen=True)
class Examples:
    """The surest first, at most one a speaker and side."""

    wrong: Sequence[Example]
    right: Sequence[Example]


def examples(context: Context, dataset_id: str, model_version_id: int) -> Examples:
    """Choose and draw segments of a dataset; none where their sound or the packages are gone.

    Args:
        context: Where scores and sound are.
        dataset_id: What was evaluated.
        model_version_id: Which model's scores.
    """
    if find_spec("torchaudio") is None or find_spec("av") is None:
        return Examples([], [])
    return chosen(
        _rows(context, dataset_id, model_version_id),
        lambda row: _stored(context, row["flac_sha256"]),
    )


def chosen(rows: Sequence[dict[str, Any]], sound: Sound) -> Examples:
    """Choose and draw among rows that are known.

    Args:
        rows: With ``language``, ``predicted``, ``probability``, ``speaker``, ``source``, ``codec``,
            ``seconds`` and ``snr_db``.
        sound: Gives a row's samples.
    """
    surest = sorted(rows, key=lambda row: -row["probability"])
    return Examples(
        wrong=_drawn([row for row in surest if row["predicted"] != row["language"]], sound),
        right=_drawn(_alternating(surest), sound),
    )


def picture(log_mel: FloatArray) -> str:
    """Draw log-mel bands, (frames, bands), as a ``data:`` address; low bands at the bottom."""
    import matplotlib as mpl  # noqa: PLC0415 - takes most of a second

    decibels = 10 / np.log(10) * np.asarray(log_mel, np.float64)
    top = np.percentile(decibels, LOUDEST)
    shade = np.clip((decibels - top + DEPTH) / DEPTH, 0, 1)
    colours = mpl.colormaps[COLOURS](shade.T[::-1], bytes=True)[..., :3]
    image = Image.fromarray(colours).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode("ascii")


def _rows(context: Context, dataset_id: str, model_version_id: int) -> list[dict[str, Any]]:
    """Return the dataset's rows with what the model says of them."""
    from services.learning.speech import datasets  # noqa: PLC0415 - only where there is speech

    try:
        rows = datasets.fetch(context, dataset_id).rows.to_pylist()
    except PermanentError:
        return []  # the figures were recorded; only pictures need the rows
    with context.transaction() as session:
        scores = {
            segment: (en, zh)
            for _, segment, en, zh, _ in segments.scored_segments(
                session, [row["segment_id"] for row in rows], model_version_ids=[model_version_id]
            )
        }
    found = []
    for row in rows:
        en, zh = scores.get(row["segment_id"], (0.0, 0.0))
        if en + zh <= 0:
            continue
        predicted = "zh" if zh > en else "en"
        probability = max(en, zh) / (en + zh)
        found.append(row | {"predicted": predicted, "probability": probability})
    return found


def _alternating(surest: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what was told right, the languages in turn: one of them is mostly the surer."""
    right = [row for row in surest if row["predicted"] == row["language"]]
    turns: dict[str, int] = {}
    keyed = []
    for row in right:
        turn = turns[row["predicted"]] = turns.get(row["predicted"], 0) + 1
        keyed.append((turn, row["predicted"], row))
    return [row for _, _, row in sorted(keyed, key=lambda item: item[:2])]


def _drawn(rows: Sequence[dict[str, Any]], sound: Sound) -> list[Example]:
    found: dict[str, Example] = {}
    for row in rows:
        if len(found) == SHOWN:
            break
        if row["speaker"] in found:
            continue
        samples = sound(row)
        if samples is not None:
            found[row["speaker"]] = Example(
                truth=row["language"],
                predicted=row["predicted"],
                probability=row["probability"],
                source=row["source"],
                codec=row["codec"],
                seconds=row["seconds"],
                snr_db=row["snr_db"],
                picture=picture(_log_mel(samples)),
            )
    return list(found.values())


def _stored(context: Context, sha256: str) -> SampleArray | None:
    from ml.audio import floats, read_flac  # noqa: PLC0415 - PyAV

    try:
        return floats(read_flac(context.store.get(sha256)))
    except (PermanentError, LearningError):
        return None  # its retention ended, or it is damaged: no reason to write no report


def _log_mel(samples: SampleArray) -> FloatArray:
    """Return what the models see of the first seconds, without what they add on pitch."""
    from ml.speech.frontend.features import BANDS, FRAMES_PER_SECOND, features  # noqa: PLC0415 - torch

    frames = round(SECONDS * FRAMES_PER_SECOND)
    log_mel: FloatArray = np.asarray(features(samples)[:frames, :BANDS], np.float64)
    return log_mel
