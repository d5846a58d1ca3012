"""Where in a file there is speech: all of it decoded once, in the track that is meant."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from ml.arrays import BoolArray
from ml.audio.activity import (
    FRAME,
    FRAME_S,
    ActivityDetector,
    ActivityPolicy,
    Region,
    speech_regions,
)
from ml.audio.arrays import ProbabilityArray, SampleArray
from ml.audio.decoding import decoded
from ml.audio.errors import AudioError
from ml.audio.source import LONGEST_S, AudioFacts, probe

MOST_TRACKS = 8
"""So many of a file's audio tracks are searched for speech."""
SPOKEN_SHARE = 0.05
"""A track with less of it is music or noise, and another one may be meant."""


@dataclass(frozen=True)
class CutPolicy:
    """Which segments are wanted.

    Attributes:
        seconds_wanted: Seconds of speech in total, taken from all over the file; None: all of it.
        shortest_s: No segment's speech is shorter, from its first to its last frame …
        longest_s: … and no segment is longer, context included. More than twice ``shortest_s``.
        joined_gap_s: Speech with a shorter pause between becomes one segment.
        context_s: Seconds kept before and after the speech, where there is room.
        least_speech_share: Segments with a smaller share of speech frames are dropped.
        least_level_dbfs: Quieter segments are dropped.
        examined_s: At most so many seconds are searched for speech, in stretches of
            ``stretch_s`` spread evenly over a longer file; None: everything. A file that does not
            say how long it is is searched from its beginning.
        stretch_s: Length of such a stretch.
        longest_file_s: Longer files are refused.
        activity: When frames are speech.
    """

    seconds_wanted: float | None = 120.0
    shortest_s: float = 3.0
    longest_s: float = 15.0
    joined_gap_s: float = 0.8
    context_s: float = 0.2
    least_speech_share: float = 0.6
    least_level_dbfs: float = -60.0
    examined_s: float | None = 1_200.0
    stretch_s: float = 60.0
    longest_file_s: float = LONGEST_S
    activity: ActivityPolicy = field(default_factory=ActivityPolicy)

    def __post_init__(self) -> None:
        if self.shortest_frames < 1 or 2 * self.shortest_frames > self.longest_frames:
            raise ValueError("shortest_s must be above 0 and at most half of longest_s")
        if self.stretch_s < self.longest_s:
            raise ValueError("stretch_s must be at least longest_s")

    @property
    def shortest_frames(self) -> int:
        """``shortest_s`` in frames, rounded up."""
        return math.ceil(self.shortest_s / FRAME_S)

    @property
    def longest_frames(self) -> int:
        """``longest_s`` in frames, rounded down."""
        return int(self.longest_s / FRAME_S)

    @property
    def stretch_frames(self) -> int:
        """``stretch_s`` in frames."""
        return round(self.stretch_s / FRAME_S)


@dataclass(frozen=True)
class Activity:
    """What a search of a file for speech found.

    Attributes:
        probabilities: Of speech, one a frame of 32 ms over the whole file; 0 where not examined.
        powers: Mean square of the samples of each frame, full scale 1.
        examined: Whether the frame was searched, shape (F,).
        regions: The stretches of speech.
        length_s: Seconds of the file.
        facts: What the file says of itself.
        lost_packets: Packets that did not decode.
        mended_samples: Samples that were no finite numbers and count as silence.
    """

    probabilities: ProbabilityArray
    powers: SampleArray
    examined: BoolArray
    regions: list[Region]
    length_s: float
    facts: AudioFacts
    lost_packets: int
    mended_samples: int

    @cached_property
    def is_speech(self) -> BoolArray:
        """Whether the frame lies in a region of speech, shape (F,)."""
        mask = np.zeros(len(self.probabilities), dtype=np.bool_)
        for region in self.regions:
            mask[region.start : region.end] = True
        return mask

    @property
    def speech_share(self) -> float:
        """Share of the examined frames that are speech."""
        examined = int(self.examined.sum())
        return int(self.is_speech.sum()) / examined if examined else 0.0


def examine(path: Path, policy: CutPolicy | None = None) -> Activity:
    """Decode a file once and find its speech.

    Of several audio tracks it is the default one, or the first after it with more speech where
    hardly anybody speaks in that; each that is looked into is decoded once.

    Raises:
        AudioError: As :func:`ml.audio.decoded`, of the default track where none can be used.
    """
    policy = policy or CutPolicy()
    problem: AudioError | None = None
    best: Activity | None = None
    try:
        best = _examined(path, policy, track=None)
        tracks, default = best.facts.tracks, best.facts.track
    except AudioError as error:
        problem = error
        tracks, default = _tracks(path, error)
    for track in range(min(tracks, MOST_TRACKS)):
        if best is not None and best.speech_share >= SPOKEN_SHARE:
            break
        if track == default:
            continue
        try:
            found = _examined(path, policy, track=track)
        except AudioError:
            continue
        if best is None or found.speech_share > best.speech_share:
            best = found
    if best is None:
        assert problem is not None
        raise problem
    return best


def _tracks(path: Path, error: AudioError) -> tuple[int, int]:
    """Return how many tracks a file has whose default one cannot be used, and which that is."""
    try:
        facts = probe(path)
    except AudioError:
        raise error from error.__cause__
    return facts.tracks, facts.track


def _examined(path: Path, policy: CutPolicy, *, track: int | None) -> Activity:
    stretch_s = policy.stretch_frames * FRAME_S
    decoding = decoded(path, track=track, block_s=stretch_s, longest_s=policy.longest_file_s)
    wanted = _stretches(decoding.facts.duration_s, stretch_s=stretch_s, policy=policy)
    detector = ActivityDetector()
    probabilities: list[ProbabilityArray] = []
    powers: list[SampleArray] = []
    examined: list[BoolArray] = []
    was_searched = False
    for number, block in enumerate(decoding):
        frames = _framed(block)
        powers.append(np.square(frames).mean(axis=1))
        searched = wanted(number)
        examined.append(np.full(len(frames), searched))
        if searched and not was_searched:
            detector.reset()
        was_searched = searched
        probabilities.append(
            detector.feed(frames.reshape(-1))
            if searched
            else np.zeros(len(frames), dtype=np.float32)
        )
    together = np.concatenate(probabilities)
    return Activity(
        probabilities=together,
        powers=np.concatenate(powers),
        examined=np.concatenate(examined),
        regions=speech_regions(together, policy.activity),
        length_s=decoding.decoded_s,
        facts=decoding.facts,
        lost_packets=decoding.lost_packets,
        mended_samples=decoding.mended_samples,
    )


def _stretches(
    duration_s: float | None, *, stretch_s: float, policy: CutPolicy
) -> Callable[[int], bool]:
    """Return which stretches, by number, are searched for speech."""
    if policy.examined_s is None:
        return lambda _: True
    most = max(1, round(policy.examined_s / stretch_s))
    there = 0 if duration_s is None else math.ceil(duration_s / stretch_s)
    if there <= most:
        return lambda number: number < most
    return {int((turn + 0.5) * there / most) for turn in range(most)}.__contains__


def _framed(block: SampleArray) -> SampleArray:
    """Return the block as (F, 512); a last incomplete frame is filled with zeros."""
    missing = -len(block) % FRAME
    return np.pad(block, (0, missing)).reshape(-1, FRAME) if missing else block.reshape(-1, FRAME)
