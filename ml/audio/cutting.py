"""Speech segments of a file: where they lie, how good they are, and their samples."""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from ml.audio import spans
from ml.audio.activity import FRAME, FRAME_S, Region
from ml.audio.arrays import PcmArray
from ml.audio.decoding import SAMPLE_RATE, decoded
from ml.audio.examining import Activity, CutPolicy, examine
from ml.audio.samples import FULL_SCALE, level_dbfs, pcm, sliced

CUT_VERSION = 1
"""Goes up when the same file and policy would give other segments; stored with each of them."""
CLIPPED_FROM = round(0.99 * FULL_SCALE)
NOISE_WITHIN_S = 10.0
"""How far from a segment its noise may be taken."""
LEAST_NOISE_S = 0.3
NOISE_BELOW = 0.1
"""Probability of speech below which a frame is noise."""
LEAST_SNR_DB = -20.0
"""Where speech is no louder than the noise the estimate ends here."""
_QUANTISATION_POWER = (1 / FULL_SCALE) ** 2 / 12
"""Of the rounding to 16 bits: no noise floor lies below it."""


@dataclass(frozen=True)
class Segment:
    """Where a segment lies and how good it is.

    Attributes:
        start_s: Seconds from the beginning of the file's audio; a multiple of 32 ms.
        length_s: Seconds; a multiple of 32 ms, except at the file's end.
        speech_share: Share of its frames that are speech, 0 to 1.
        level_dbfs: Root mean square in dB below full scale.
        snr_db: Level of its speech over the noise near it; None where too little near it is free of
            speech. See :func:`cut`.
        clipped_share: Share of samples at 99 % of full scale or above, after mixing down: a lower
            bound of what was clipped at recording.
    """

    start_s: float
    length_s: float
    speech_share: float
    level_dbfs: float
    snr_db: float | None
    clipped_share: float


@dataclass(frozen=True)
class Cut:
    """A segment and its samples: int16 at 16 kHz, shape (round(length_s × 16,000),)."""

    segment: Segment
    samples: PcmArray


class Cutting(Iterator[Cut]):
    """The speech segments of a file, in the order of time, and the search that found them.

    Attributes:
        activity: What was found, and how long the file is.
    """

    def __init__(self, path: Path, policy: CutPolicy) -> None:
        self.activity = examine(path, policy)
        self._cuts = _cuts(path, _chosen(self.activity, policy), self.activity)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Cut:
        return next(self._cuts)


def cut(path: Path, policy: CutPolicy | None = None) -> Cutting:
    """Find the speech segments of a file.

    The file is decoded twice: once to find speech and to choose, before this returns; and once for
    the samples of what was chosen, as they are asked for. So memory does not grow with its length
    but for some bytes a second, and a truncated or corrupt file is known before anything is
    yielded. The same file and policy always give the same segments.

    The signal-to-noise ratio is that of frames with speech to those without, told apart by the
    activity detector (Vondrášek and Pollák, "Methods for speech SNR estimation", Radioengineering
    14(1), 2005): ten times the logarithm of (speech power - noise power) / noise power. Noise is
    taken from frames that are clearly no speech within the segment and ten seconds around it.

    Args:
        path: Any audio or video file.
        policy: Which segments are wanted.

    Returns:
        An iterator over the segments; none for a file without speech, which is no error.

    Raises:
        AudioError: As :func:`ml.audio.decoded`, all of it at once.
    """
    return Cutting(path, policy or CutPolicy())


def _chosen(activity: Activity, policy: CutPolicy) -> list[Region]:
    """Return the spans to cut, in order: good enough, spread over the file, no more than wanted."""
    together = spans.joined(
        activity.regions,
        gap=int(policy.joined_gap_s / FRAME_S),
        longest=policy.longest_frames,
    )
    parts = [
        part
        for region in together
        for part in spans.split(
            region,
            activity.probabilities,
            shortest=policy.shortest_frames,
            longest=policy.longest_frames,
        )
    ]
    wide = spans.widened(
        parts,
        context=round(policy.context_s / FRAME_S),
        longest=policy.longest_frames,
        end=len(activity.probabilities),
    )
    good = [
        span
        for part, span in zip(parts, wide, strict=True)
        if part.frames >= policy.shortest_frames and _is_good(span, activity, policy)
    ]
    if policy.seconds_wanted is None:
        return good
    taken: list[Region] = []
    total_s = 0.0
    for index in spans.spread([span.start for span in good], end=len(activity.probabilities)):
        seconds = _speech_frames(good[index], activity) * FRAME_S
        if total_s + seconds <= policy.seconds_wanted:
            taken.append(good[index])
            total_s += seconds
    return sorted(taken, key=lambda span: span.start)


def _is_good(span: Region, activity: Activity, policy: CutPolicy) -> bool:
    power = float(activity.powers[span.start : span.end].mean())
    share = _speech_frames(span, activity) / span.frames
    return share >= policy.least_speech_share and power >= _power(policy.least_level_dbfs)


def _speech_frames(span: Region, activity: Activity) -> int:
    return int(activity.is_speech[span.start : span.end].sum())


def _cuts(path: Path, chosen: Sequence[Region], activity: Activity) -> Iterator[Cut]:
    if chosen:
        for span, samples in _samples_of(path, chosen, track=activity.facts.track):
            yield Cut(_facts(span, samples, activity), samples)


def _samples_of(
    path: Path, chosen: Sequence[Region], *, track: int
) -> Iterator[tuple[Region, PcmArray]]:
    """Decode up to the end of the last span and yield each with its samples."""
    waiting = deque(chosen)
    held = np.zeros(0, dtype=np.int16)
    offset = 0
    decoding = decoded(path, track=track, seconds=chosen[-1].end * FRAME_S)
    try:
        for block in decoding:
            held = np.concatenate([held, pcm(block)])
            while waiting and waiting[0].end * FRAME <= offset + len(held):
                span = waiting.popleft()
                yield span, sliced(held, span.start * FRAME - offset, span.end * FRAME - offset)
            if waiting:
                done = min(len(held), max(0, waiting[0].start * FRAME - offset))
                held, offset = held[done:], offset + done
        # The last frame of a file is incomplete.
        for span in waiting:
            yield span, sliced(held, span.start * FRAME - offset, len(held))
    finally:
        decoding.close()


def _facts(span: Region, samples: PcmArray, activity: Activity) -> Segment:
    return Segment(
        start_s=span.start * FRAME_S,
        length_s=len(samples) / SAMPLE_RATE,
        speech_share=_speech_frames(span, activity) / span.frames,
        level_dbfs=level_dbfs(samples),
        snr_db=_snr_db(span, activity),
        clipped_share=float((np.abs(samples) >= CLIPPED_FROM).mean()),
    )


def _snr_db(span: Region, activity: Activity) -> float | None:
    near = round(NOISE_WITHIN_S / FRAME_S)
    around = slice(max(0, span.start - near), span.end + near)
    is_noise = activity.examined[around] & (activity.probabilities[around] < NOISE_BELOW)
    if is_noise.sum() * FRAME_S < LEAST_NOISE_S:
        return None
    noise = max(float(activity.powers[around][is_noise].mean()), _QUANTISATION_POWER)
    own = slice(span.start, span.end)
    speech = float(activity.powers[own][activity.is_speech[own]].mean())
    return 10 * math.log10(max(speech - noise, noise * _power(LEAST_SNR_DB)) / noise)


def _power(decibels: float) -> float:
    """Return the ratio of powers that so many decibels are."""
    ratio: float = 10.0 ** (decibels / 10)
    return ratio
