"""The pairwise cross-fitted ensemble of thumbnail networks that two rungs build on."""

import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from ml.arrays import FloatArray, ImageArray, IntArray
from ml.errors import LearningError
from ml.evaluation.splits import fold_pairs
from ml.runtime.device import Device, choose_device, side_by_side
from ml.thumbnails.backbones.cnn import CnnConfig, Member
from ml.thumbnails.data.rows import Features, Targets
from ml.thumbnails.stacking.cnn_training import train_member, training_steps
from ml.thumbnails.stacking.crossfit import Pair, training_rows
from ml.thumbnails.stacking.residual import beyond_the_rest
from ml.training.callbacks import Cancelled, Progress
from ml.training.checkpoints import Checkpoints

MIN_TRAINING_ROWS = 16
Made = TypeVar("Made")


@dataclass(frozen=True)
class Ensemble:
    """Members by the pair of folds they left out.

    Attributes:
        folds: K.
        config: The networks' hyperparameters.
        members: K (K - 1) / 2 networks.
        training_rows: Rows of the dataset that each member was trained on; empty after loading.
    """

    folds: int
    config: CnnConfig
    members: Mapping[Pair, Member]
    training_rows: Mapping[Pair, IntArray]

    def member_outputs(
        self, images: ImageArray, folds_by_row: IntArray
    ) -> dict[Pair, tuple[IntArray, FloatArray]]:
        """Run every member on the rows of the folds it left out.

        Returns:
            By pair: row indices (R,) and outputs (R, 3) in the order of :class:`Member`.
        """
        return outputs_of(self.members, images, folds_by_row)

    def tensors(self) -> dict[str, npt.NDArray[Any]]:
        """Return all weights as arrays by name, such as ``member.0.1.stem.0.weight``."""
        return tensors_of(self.members, "member")

    @classmethod
    def from_tensors(
        cls, tensors: Mapping[str, npt.NDArray[Any]], *, folds: int, config: CnnConfig
    ) -> "Ensemble":
        """Build an ensemble from :meth:`tensors`."""
        members = {
            pair: Member.from_tensors(pair, mine, config)
            for pair, mine in tensors_by_pair(tensors, "member", folds=folds).items()
        }
        return cls(folds, config, members, {})


class CrossFitted(Protocol):
    """A network of an ensemble, whichever kind it is of."""

    def predict(self, inputs: Any, device: Device, /) -> FloatArray:
        """Return outputs (N, 3) of N inputs."""
        ...

    def tensors(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return all weights as arrays by name."""
        ...


def outputs_of(
    members: Mapping[Pair, CrossFitted], inputs: npt.NDArray[Any], folds_by_row: IntArray
) -> dict[Pair, tuple[IntArray, FloatArray]]:
    """Run every member on the rows of the folds it left out; by pair rows (R,), outputs (R, 3)."""
    device = choose_device()
    rows_of = {pair: np.flatnonzero(np.isin(folds_by_row, pair)) for pair in members}
    tasks = [
        partial(member.predict, inputs[rows_of[pair]], device) for pair, member in members.items()
    ]
    outputs = side_by_side(tasks, device)
    return {pair: (rows_of[pair], part) for pair, part in zip(rows_of, outputs, strict=True)}


def tensors_of(members: Mapping[Pair, CrossFitted], kind: str) -> dict[str, npt.NDArray[Any]]:
    """Return the weights of all members under names such as ``kind.0.1.head.weight``."""
    return {
        f"{kind}.{j}.{k}.{key}": value
        for (j, k), member in members.items()
        for key, value in member.tensors().items()
    }


def tensors_by_pair(
    tensors: Mapping[str, npt.NDArray[Any]], kind: str, *, folds: int
) -> dict[Pair, dict[str, npt.NDArray[Any]]]:
    """Take apart what :func:`tensors_of` put together; other names are left out."""
    prefixes = {(j, k): f"{kind}.{j}.{k}." for j, k in fold_pairs(folds)}
    return {
        pair: {
            key.removeprefix(prefix): value
            for key, value in tensors.items()
            if key.startswith(prefix)
        }
        for pair, prefix in prefixes.items()
    }


def train_ensemble(
    features: Features,
    targets: Targets,
    folds_by_row: IntArray,
    *,
    folds: int,
    config: CnnConfig,
    seed: int,
    progress: Progress,
    cancelled: Cancelled,
    device: Device | None = None,
    checkpoints: Checkpoints | None = None,
) -> Ensemble:
    """Train every member on the folds it does not leave out.

    Args:
        features: Of N rows, with thumbnails.
        targets: Of the same rows.
        folds_by_row: Shape (N,).
        folds: K.
        config: Hyperparameters of the networks.
        seed: Members get seeds derived from it.
        progress: Told after each step, over all members together, in the caller's thread.
        cancelled: Asked at each step, likewise.
        device: None chooses the best one here.
        checkpoints: Where each member's state is kept, to go on from if the process dies.

    Raises:
        LearningError: Too few rows, no thumbnails, or a diverging loss.
        LearningCancelledError: ``cancelled`` said so.
        OSError: A state cannot be kept.
    """
    images = features.pictures()
    known = replace(features, thumbnails=None)
    device = device or choose_device()
    rows_of = {pair: training_rows(folds_by_row, pair) for pair in fold_pairs(folds)}
    smallest = min(len(rows) for rows in rows_of.values())
    if smallest < MIN_TRAINING_ROWS:
        raise LearningError(
            f"{len(features)} videos are too few: a thumbnail network would learn from {smallest},"
            f" at least {MIN_TRAINING_ROWS} are needed; crawl more videos",
            reason="tooFewVideos",
        )
    total = sum(training_steps(len(rows), config) for rows in rows_of.values())
    watch = Watch(total, f"training {len(rows_of)} thumbnail networks", progress, cancelled)

    def task(number: int, pair: Pair, rows: IntArray) -> Callable[[], Member]:
        part = targets.take(rows)
        return lambda: train_member(
            pair,
            images,
            rows,
            part,
            beyond_the_rest(known.take(rows), part.log10_views_per_day),
            config=config,
            seed=seed * len(rows_of) + number,
            device=device,
            step=watch.step,
            cancelled=watch.stopped.is_set,
            checkpoints=checkpoints,
        )

    tasks = [task(number, *item) for number, item in enumerate(rows_of.items())]
    members = watch.over(lambda: side_by_side(tasks, device))
    return Ensemble(folds, config, dict(zip(rows_of, members, strict=True)), rows_of)


class Watch:
    """Carries steps from the training threads to the caller's, and its wish to stop back.

    The caller's functions may hold a database session, which no other thread may touch.
    """

    def __init__(self, total: int, message: str, progress: Progress, cancelled: Cancelled) -> None:
        self.stopped = threading.Event()
        self._total = total
        self._message = message
        self._progress = progress
        self._cancelled = cancelled
        self._steps: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def step(self) -> None:
        """Tell that a step is done; called by the training threads."""
        self._steps.put(True)

    def over(self, work: Callable[[], list[Made]]) -> list[Made]:
        """Do the work in a thread and report its steps from this one."""
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(work)
            future.add_done_callback(lambda _: self._steps.put(False))
            try:
                self._report()
            finally:
                self.stopped.set()
            return future.result()

    def _report(self) -> None:
        done = 0
        while self._steps.get():
            if self._cancelled():
                return
            done += 1
            self._progress(done, self._total, self._message)
