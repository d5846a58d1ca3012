"""Whether somebody speaks in a clip at all, for models that only tell languages apart."""

import numpy as np

from ml.audio import speech_probabilities
from ml.audio.arrays import SampleArray


def speech_share(samples: SampleArray) -> float:
    """Return Silero's mean probability over the better half of the frames: speech has pauses.

    Args:
        samples: Mono, 16 kHz.
    """
    probabilities = np.sort(speech_probabilities([samples.astype(np.float32)]))
    return float(probabilities[len(probabilities) // 2 :].mean()) if len(probabilities) else 0.0
