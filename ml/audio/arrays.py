"""Names for the arrays of sound."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

SampleArray: TypeAlias = npt.NDArray[np.float32]
"""Mono samples of shape (N,), full scale ±1."""
PcmArray: TypeAlias = npt.NDArray[np.int16]
"""Mono samples of shape (N,), full scale ±32,767: what is stored."""
ProbabilityArray: TypeAlias = npt.NDArray[np.float32]
"""Probability of speech of shape (F,), one a frame of 32 ms."""
