"""The pretrained network as onnxruntime runs it on a CPU: the same numbers in a third of the time.

A graph is made of the weights once, compared with torch on a few drawn pictures, and kept by the
weights' hash, so that the next process needs neither the weights nor torch's network. Figures:
docs/performance.md.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache, partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ml.arrays import ImageArray
from ml.errors import LearningError
from ml.images.pictures import HEIGHT, WIDTH
from ml.runtime.files import replaced
from ml.runtime.onnx import one_thread_session
from ml.runtime.pools import computing
from ml.thumbnails.backbones.export import PICTURES, VERSION

TOLERANCE = 1e-3
"""By how much a number may differ from torch's, or by that part of it: a step of the half precision
in which embeddings are kept. What was measured is a twentieth of it."""
BATCH = 2
"""Pictures a pass: more of them fall out of a core's cache between layers."""
Graph = Callable[[], bytes]
Reference = Callable[[ImageArray], npt.NDArray[Any]]


def can_compile() -> bool:
    """Tell whether the runtime is installed."""
    return find_spec("onnxruntime") is not None


class CompiledNetwork:
    """A graph of a network's in onnxruntime, opened when first asked; safe among threads."""

    def __init__(self, kind: str, weights: str, folder: Path | None) -> None:
        """Name a graph.

        Args:
            kind: What it makes of pictures, in a word.
            weights: SHA-256 of the network's weights.
            folder: Where graphs are kept; None keeps none.
        """
        self._file = None
        if folder is not None:
            # What was compared with torch was this runtime.
            tag = f"v{VERSION}-{weights[:16]}-ort{version('onnxruntime')}"
            self._file = folder / f"{kind}-{tag}.onnx"
        self._session: Any = None
        self._guard = threading.Lock()

    @property
    def kept(self) -> bool:
        """Whether the graph is there already, so that nobody need make it."""
        return self._session is not None or (self._file is not None and self._file.exists())

    def open(self, graph: Graph, reference: Reference) -> None:
        """Load the graph, or make it and see that it computes what torch does.

        Args:
            graph: Makes it.
            reference: What torch makes of pictures.

        Raises:
            LearningError: The runtime's numbers are others than torch's.
        """
        with self._guard:
            if self._session is not None:
                return
            if self._file is not None and self._file.exists():
                with suppress(Exception):  # onnxruntime's own kinds: a damaged file is made anew
                    self._session = one_thread_session(self._file)
                    return
            content = graph()
            session = one_thread_session(content)
            pictures = drawn_pictures()
            _compare(_run(session, pictures), reference(pictures))
            if self._file is not None:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                with replaced(self._file) as partial_file:
                    partial_file.write_bytes(content)
            self._session = session

    def run(self, pictures: ImageArray) -> npt.NDArray[np.float32]:
        """Return what the graph makes of pictures without bars (N, 180, 320, 3), float32.

        Side by side, a core a few pictures; :meth:`open` comes before.
        """
        parts = [pictures[start : start + BATCH] for start in range(0, len(pictures), BATCH)]
        made = computing().run([partial(_run, self._session, part) for part in parts])
        return np.concatenate(made) if made else _run(self._session, pictures)


def compiled_network(kind: str, weights: str, folder: Path | None) -> CompiledNetwork:
    """Return a network's graph; those that are kept on disk are also open once in a process.

    Takes what :class:`CompiledNetwork` takes.
    """
    return CompiledNetwork(kind, weights, None) if folder is None else _kept(kind, weights, folder)


@lru_cache(maxsize=4)
def _kept(kind: str, weights: str, folder: Path) -> CompiledNetwork:
    return CompiledNetwork(kind, weights, folder)


def drawn_pictures() -> ImageArray:
    """Return three pictures on which runtimes are compared: smooth, noisy and all but black."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    waves = [np.sin(rows / (9 + 7 * c)) + np.cos(columns / (5 + 11 * c)) for c in range(3)]
    smooth = (np.stack(waves, axis=2) + 2) * 63
    noisy = random.integers(0, 256, (HEIGHT // 4, WIDTH // 4, 3)).repeat(4, 0).repeat(4, 1)
    dark = random.integers(0, 9, (HEIGHT, WIDTH, 3))
    return np.stack([smooth, noisy, dark]).astype(np.uint8)


def _run(session: Any, pictures: ImageArray) -> npt.NDArray[np.float32]:
    (result,) = session.run(None, {PICTURES: np.ascontiguousarray(pictures)})
    return np.asarray(result)


def _compare(found: npt.NDArray[Any], expected: npt.NDArray[Any]) -> None:
    off = np.abs(found - expected.astype(np.float32)) - TOLERANCE * np.abs(expected)
    # Not ">": a number that is none is no agreement.
    if not off.max() <= TOLERANCE:
        raise LearningError(
            f"onnxruntime {version('onnxruntime')} computes other image features here than torch,"
            f" {off.max():.3g} beyond what is allowed; install another version of it, or none:"
            " torch computes them then, in three times the time",
            reason="runtimeDisagrees",
        )
