"""Where there is speech: Silero's network over frames of 32 ms, and the regions it makes.

The weights are those of the wheel ``silero-vad`` (MIT). They are run by onnxruntime directly: the
package itself imports torch, which a process that only cuts does not need. Nor is onnxruntime
loaded before the first detector is made.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ml.audio.arrays import ProbabilityArray, SampleArray
from ml.errors import LearningError
from ml.runtime.onnx import one_thread_session

if TYPE_CHECKING:
    import onnxruntime

FRAME = 512
"""Samples a frame at 16 kHz: 32 ms."""
FRAME_S = FRAME / 16_000
_CONTEXT = 64
"""Samples of the frame before that the network sees too."""
_FRAMES_AT_ONCE = 256
_WEIGHTS = "silero_vad_16k_sequence.onnx"


@dataclass(frozen=True)
class ActivityPolicy:
    """When frames are speech. The defaults are those of Silero's own function.

    Attributes:
        enter: Speech begins with a frame of at least this probability …
        leave: … and ends where it stays below this one.
        least_speech_s: Shorter speech is dropped.
        least_silence_s: Shorter silence does not end speech.
    """

    enter: float = 0.5
    leave: float = 0.35
    least_speech_s: float = 0.25
    least_silence_s: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.leave <= self.enter < 1:
            raise ValueError("0 < leave ≤ enter < 1 is needed")


@dataclass(frozen=True)
class Region:
    """A stretch of speech in frames: from ``start`` up to, not including, ``end``."""

    start: int
    end: int

    @property
    def frames(self) -> int:
        """How many it has."""
        return self.end - self.start


class ActivityDetector:
    """The probability of speech, frame by frame, over a stream of blocks of any length."""

    def __init__(self) -> None:
        self._session = _session()
        self.reset()

    def reset(self) -> None:
        """Forget what came before: the next block begins something new."""
        self._hidden = np.zeros((1, 1, 128), dtype=np.float32)
        self._cell = np.zeros((1, 1, 128), dtype=np.float32)
        self._context = np.zeros(_CONTEXT, dtype=np.float32)
        self._rest = np.zeros(0, dtype=np.float32)

    def feed(self, block: SampleArray) -> ProbabilityArray:
        """Take samples at 16 kHz, return the probabilities of the frames that are complete now."""
        samples = np.concatenate([self._rest, block])
        whole = len(samples) - len(samples) % FRAME
        self._rest = samples[whole:]
        return self._run(samples[:whole].reshape(-1, FRAME))

    def finish(self) -> ProbabilityArray:
        """Return the probability of the last, incomplete frame (padded with zeros), if any."""
        if not len(self._rest):
            return np.zeros(0, dtype=np.float32)
        return self.feed(np.zeros(FRAME - len(self._rest), dtype=np.float32))

    def _run(self, frames: SampleArray) -> ProbabilityArray:
        found = [np.zeros(0, dtype=np.float32)]
        for first in range(0, len(frames), _FRAMES_AT_ONCE):
            some = frames[first : first + _FRAMES_AT_ONCE]
            contexts = np.empty((len(some), _CONTEXT), dtype=np.float32)
            contexts[0] = self._context
            contexts[1:] = some[:-1, -_CONTEXT:]
            self._context = some[-1, -_CONTEXT:].copy()
            inputs = {
                "input": np.concatenate([contexts, some], axis=1),
                "h": self._hidden,
                "c": self._cell,
            }
            probabilities, self._hidden, self._cell = self._session.run(
                ["speech_probs", "hn", "cn"], inputs
            )
            found.append(probabilities)
        return np.concatenate(found)


def speech_probabilities(blocks: Iterable[SampleArray]) -> ProbabilityArray:
    """Return the probability of speech of each frame of 32 ms; the last frame may be padded.

    Args:
        blocks: Consecutive blocks at 16 kHz.
    """
    detector = ActivityDetector()
    found = [detector.feed(block) for block in blocks]
    return np.concatenate([*found, detector.finish()])


def speech_regions(
    probabilities: ProbabilityArray, policy: ActivityPolicy | None = None
) -> list[Region]:
    """Return the stretches of speech, in order, without padding.

    Two thresholds (hysteresis) keep a region whole while the probability wavers; what is too short
    is dropped, as Silero's ``get_speech_timestamps`` does.
    """
    policy = policy or ActivityPolicy()
    least_speech = policy.least_speech_s / FRAME_S
    least_silence = policy.least_silence_s / FRAME_S
    regions: list[Region] = []
    start = quiet_since = None
    for frame, probability in enumerate(map(float, probabilities)):
        if probability >= policy.enter:
            quiet_since = None
            if start is None:
                start = frame
        elif start is not None and probability < policy.leave:
            if quiet_since is None:
                quiet_since = frame
            if frame - quiet_since >= least_silence:
                regions.append(Region(start, quiet_since))
                start = quiet_since = None
    if start is not None:
        regions.append(Region(start, len(probabilities)))
    return [region for region in regions if region.frames > least_speech]


@cache
def _session() -> "onnxruntime.InferenceSession":
    return one_thread_session(_weights())


def _weights() -> Path:
    # Finding a package does not run it.
    package = find_spec("silero_vad")
    if package is not None and package.submodule_search_locations:
        path = Path(package.submodule_search_locations[0]) / "data" / _WEIGHTS
        if path.is_file():
            return path
    raise LearningError(
        "the weights for speech activity are missing: pip install 'tubegrader[speech]'",
        reason="activityWeightsMissing",
    )
