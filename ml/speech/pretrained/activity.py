"""Whether somebody speaks in a clip at all, for models that only tell languages apart."""

import numpy as np

from ml.speech.augmentation.codecs import Waveform


def speech_share(samples: Waveform) -> float:
    """Return Silero's mean probability over the better half of the frames: speech has pauses.

    Args:
        samples: Mono, 16 kHz.
    """
    from ml.audio import speech_probabilities  # noqa: PLC0415 - needs the extra `speech`

    probabilities = np.sort(speech_probabilities([samples.astype(np.float32)]))
    return float(probabilities[len(probabilities) // 2 :].mean()) if len(probabilities) else 0.0
