"""Packs: the vectors of many pictures as one safetensors file, which says itself of which.

``pictures`` holds the SHA-256 of each picture and ``vectors`` its half floats, row by row; the
recipe stands in the header. A row can be read by its place alone, and whoever has lost the index
can make it anew.
"""

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ml.thumbnails.backbones.local import HalfArray

FORMAT = "1"
BYTES = 8 * 2**20
"""About as much as comes, from a store far away, in the time in which it answers at all."""
MOST_ROWS = 2_000
_HEADER = 8
_HASH = 32


@dataclass(frozen=True)
class Pack:
    """A file's bytes, and where in it the first vector begins."""

    content: bytes
    first_byte: int


def rows_of_pack(width: int) -> int:
    """Return how many vectors of a width one pack holds."""
    return min(MOST_ROWS, max(1, BYTES // (2 * width)))


def pack(recipe: str, pictures: Sequence[bytes], vectors: HalfArray) -> Pack:
    """Return a pack of the vectors of pictures, (N, width)."""
    from safetensors.numpy import save  # noqa: PLC0415  (an extra; only who makes packs needs it)

    names = np.frombuffer(b"".join(pictures), dtype=np.uint8).reshape(-1, _HASH)
    content = save(
        {"pictures": names, "vectors": np.ascontiguousarray(vectors)},
        # One entry: several are written in an order of chance, and a pack is named by its bytes.
        metadata={"pack": json.dumps({"format": FORMAT, "recipe": recipe})},
    )
    return Pack(content, _header(content) + _offset(content))


def unpack(content: bytes) -> tuple[list[bytes], HalfArray]:
    """Return the pictures and vectors of a pack."""
    from safetensors.numpy import load  # noqa: PLC0415

    tensors = load(content)
    names: npt.NDArray[np.uint8] = tensors["pictures"]
    return [row.tobytes() for row in names], tensors["vectors"]


def checksum(picture: bytes, vector: bytes | memoryview) -> int:
    """Return the CRC-32 of a picture's hash and its vector, as a signed number of 32 bits."""
    found = zlib.crc32(vector, zlib.crc32(picture))
    return found - 2**32 if found >= 2**31 else found


def _header(content: bytes) -> int:
    return _HEADER + int.from_bytes(content[:_HEADER], "little")


def _offset(content: bytes) -> int:
    header = json.loads(content[_HEADER : _header(content)])
    return int(header["vectors"]["data_offsets"][0])
