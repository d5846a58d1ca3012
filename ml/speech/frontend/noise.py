"""How loud the speech of recorded clips is over their noise, estimated once a clip."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from ml.audio import CutPolicy, cut
from ml.errors import LearningCancelledError
from ml.speech.data.lines import append_line, read_lines
from ml.speech.data.manifest import Clip, Manifest
from ml.training.callbacks import Cancelled, Progress

_ANY_SPEECH = CutPolicy(
    seconds_wanted=None, shortest_s=0.25, least_speech_share=0.0, least_level_dbfs=-100.0
)
"""Clips are short: whatever is spoken in them counts."""


def with_noise(
    manifest: Manifest,
    kept: Path,
    *,
    progress: Progress = lambda _step, _total, _message: None,
    cancelled: Cancelled = lambda: False,
) -> Manifest:
    """Return the manifest with the signal-to-noise ratio of every clip that lacked it.

    It is estimated as segments' is, see :func:`ml.audio.cut`: NaN stays where no speech is found
    or too little of a clip is free of it.

    Args:
        manifest: Clips with files.
        kept: A file of JSON lines where estimates are kept; created if needed.
        progress: Told after every clip.
        cancelled: Asked before every clip.

    Raises:
        AudioError: A file that does not decode.
        LearningError: The weights for speech activity are missing (``activityWeightsMissing``).
        LearningCancelledError: ``cancelled`` said so; what was estimated is kept.
    """
    known = {line["clip"]: line["snr_db"] for line in read_lines(kept)}
    missing = [clip for clip in manifest if np.isnan(clip.snr) and clip.clip_id not in known]
    for number, clip in enumerate(missing, start=1):
        if cancelled():
            raise LearningCancelledError
        known[clip.clip_id] = _estimated(clip)
        append_line(kept, {"clip": clip.clip_id, "snr_db": known[clip.clip_id]})
        progress(number, len(missing), "estimating noise")
    return Manifest(
        tuple(
            replace(clip, snr=known[clip.clip_id])
            if np.isnan(clip.snr) and known[clip.clip_id] is not None
            else clip
            for clip in manifest
        )
    )


def _estimated(clip: Clip) -> float | None:
    """Return the mean over the clip's segments, by their length, in decibels."""
    segments = [found.segment for found in cut(Path(clip.path), _ANY_SPEECH)]
    estimates = [(one.snr_db, one.length_s) for one in segments if one.snr_db is not None]
    if not estimates:
        return None
    levels, seconds = np.array(estimates, dtype=np.float64).T
    return round(float(np.average(levels, weights=seconds)), 2)
