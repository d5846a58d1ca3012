"""Names for the array types that cross module borders."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
IntArray: TypeAlias = npt.NDArray[np.int64]
ImageArray: TypeAlias = npt.NDArray[np.uint8]
"""Thumbnails as (N, 90, 160, 3): image, row, column, RGB."""
