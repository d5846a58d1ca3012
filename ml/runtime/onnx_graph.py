"""Write a network as ONNX, with the few parts of the format that a convolutional network takes.

The packages that do so (`onnx`, and torch's exporter, which stands on it) are large, and their
graphs change with their versions; ours is the same bytes for the same weights. The format is that
of protocol buffers: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

OPERATORS = 17
"""The set of operators that nodes are of; onnxruntime and OpenVINO have known it since 2022."""
_FORMAT = 8
_TYPES = {np.dtype(np.float32): 1, np.dtype(np.uint8): 2, np.dtype(np.int64): 7}
_FLOAT, _INT, _STRING, _INTS = 1, 2, 3, 7
Attribute = float | int | str | Sequence[int]


class OnnxGraph:
    """A graph under construction: values have names, nodes make values of others."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._constants: dict[bytes, str] = {}
        self._inputs: list[bytes] = []
        self._outputs: list[bytes] = []
        self._named = 0

    def input(self, name: str, dtype: npt.DTypeLike, shape: Sequence[int | str]) -> str:
        """Declare an input; a size that is a word is free."""
        self._inputs.append(_value_info(name, dtype, shape))
        return name

    def output(
        self, name: str, value: str, dtype: npt.DTypeLike, shape: Sequence[int | str]
    ) -> None:
        """Declare an output of this name that a value is."""
        self._nodes.append(_node("Identity", [value], name, {}))
        self._outputs.append(_value_info(name, dtype, shape))

    def constant(self, values: npt.NDArray[Any]) -> str:
        """Keep an array in the graph, equal ones once; return its name."""
        content = (
            b"".join(_integer(1, size) for size in values.shape)
            + _integer(2, _TYPES[values.dtype])
            + _bytes(9, values.tobytes())
        )
        if content not in self._constants:
            self._constants[content] = self._name("constant")
        return self._constants[content]

    def node(self, operator: str, *inputs: str, **attributes: Attribute) -> str:
        """Add an operation of ONNX's; return the name of what it makes."""
        made = self._name(operator)
        self._nodes.append(_node(operator, inputs, made, attributes))
        return made

    def encoded(self) -> bytes:
        """Return the file's content."""
        graph = b"".join(
            [
                *(_bytes(1, node) for node in self._nodes),
                _bytes(2, b"graph"),
                *(_bytes(5, c + _bytes(8, name.encode())) for c, name in self._constants.items()),
                *(_bytes(11, each) for each in self._inputs),
                *(_bytes(12, each) for each in self._outputs),
            ]
        )
        operators = _bytes(1, b"") + _integer(2, OPERATORS)
        return _integer(1, _FORMAT) + _bytes(7, graph) + _bytes(8, operators)

    def _name(self, kind: str) -> str:
        self._named += 1
        return f"{kind}{self._named}"


def _node(
    operator: str, inputs: Sequence[str], made: str, attributes: Mapping[str, Attribute]
) -> bytes:
    return b"".join(
        [
            *(_bytes(1, each.encode()) for each in inputs),
            _bytes(2, made.encode()),
            _bytes(3, made.encode()),
            _bytes(4, operator.encode()),
            *(_bytes(5, _attribute(name, value)) for name, value in attributes.items()),
        ]
    )


def _attribute(name: str, value: Attribute) -> bytes:
    head = _bytes(1, name.encode())
    match value:
        case float():
            return head + _key(2, 5) + struct.pack("<f", value) + _integer(20, _FLOAT)
        case int():
            return head + _integer(3, value) + _integer(20, _INT)
        case str():
            return head + _bytes(4, value.encode()) + _integer(20, _STRING)
        case _:
            return head + b"".join(_integer(8, each) for each in value) + _integer(20, _INTS)


def _value_info(name: str, dtype: npt.DTypeLike, shape: Sequence[int | str]) -> bytes:
    sizes = b"".join(
        _bytes(1, _bytes(2, size.encode()) if isinstance(size, str) else _integer(1, size))
        for size in shape
    )
    tensor = _integer(1, _TYPES[np.dtype(dtype)]) + _bytes(2, sizes)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, tensor))


def _key(field: int, kind: int) -> bytes:
    return _varint(field << 3 | kind)


def _integer(field: int, value: int) -> bytes:
    return _key(field, 0) + _varint(value & 0xFFFF_FFFF_FFFF_FFFF)


def _bytes(field: int, content: bytes) -> bytes:
    return _key(field, 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    digits = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)
