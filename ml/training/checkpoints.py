"""States of unfinished trainings in a folder: what a killed process had done is not done again.

A state is one file, written as a whole or not at all, under the hash of its content: a damaged one
counts as none. States are for the machine that wrote them. Another processor adds up in another
order, and a training that changed machines half-way would repeat on neither.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ml.runtime.files import replaced

_FACTS = "facts"


@dataclass(frozen=True)
class State:
    """What a training needs to go on: tensors by name, and JSON values."""

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Checkpoints:
    """A folder of states.

    Attributes:
        folder: Made when something is written. Whoever names it answers for that all trainings in
            it are of the same data.
        every_s: How many seconds a training may go without writing its state.
    """

    folder: Path
    every_s: float

    def read(self, name: str) -> State | None:
        """Return a state; None if there is none, or if it is not what was written."""
        try:
            digest, _, content = self._path(name).read_bytes().partition(b"\n")
            if digest.decode() != hashlib.sha256(content).hexdigest():
                return None
            tensors = load(content)
            facts = json.loads(tensors.pop(_FACTS).numpy().tobytes())
        except (OSError, ValueError, KeyError, SafetensorError):
            return None
        return State(tensors, facts)

    def write(self, name: str, state: State) -> None:
        """Keep a state in place of the one that has this name; it survives a crash from now on.

        Raises:
            OSError: It cannot be written; the one before it is still there.
        """
        facts = torch.frombuffer(bytearray(json.dumps(state.facts).encode()), dtype=torch.uint8)
        whole = {key: value.detach().cpu().contiguous() for key, value in state.tensors.items()}
        content = save({**whole, _FACTS: facts})
        self.folder.mkdir(parents=True, exist_ok=True)
        with replaced(self._path(name), durable=True) as partial:
            partial.write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.state"


def digest_of(facts: Mapping[str, Any], *arrays: Any) -> str:
    """Return a short hash of what decides a training, to name its state by.

    Args:
        facts: JSON values.
        arrays: Arrays or tensors on the CPU.
    """
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for array in arrays:
        digest.update(memoryview(array).cast("B"))
    return digest.hexdigest()[:16]
