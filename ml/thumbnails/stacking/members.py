"""Training the members of a pairwise cross-fitted ensemble of networks.

Which rows teach and score which member: :mod:`ml.evaluation.splits`.
"""

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ml.arrays import FloatArray, IntArray
from ml.errors import LearningError
from ml.evaluation.splits import Pair, fold_pairs, training_rows
from ml.runtime.device import Device, choose_device, side_by_side
from ml.thumbnails.data.rows import Features, Targets
from ml.thumbnails.stacking.regression import beyond_the_rest
from ml.training.callbacks import Cancelled, Progress
from ml.training.checkpoints import Checkpoints, digest_of
from ml.training.trainer import ParameterGroup, Resumption, ShuffledRows, Trainer

MIN_TRAINING_ROWS = 16
Made = TypeVar("Made")


class MemberConfig(Protocol):
    """The hyperparameters that every kind of member has."""

    @property
    def epochs(self) -> int:
        """Passes over a member's training rows."""
        ...

    @property
    def batch_size(self) -> int:
        """Rows a step."""
        ...

    @property
    def weight_decay(self) -> float:
        """Of AdamW."""
        ...


@dataclass(frozen=True)
class MemberTraining:
    """One member's training: what it learns from and how it is watched.

    Attributes:
        left_out: The two folds that ``rows`` leave out.
        rows: Indices of the R training rows.
        targets: Of the training rows.
        residual: Log views per day beyond the regression without the thumbnail, (R,); NaN where
            there is nothing to learn from, but not everywhere.
        seed: Decides the first weights, the order and the augmentation.
        device: Where to train.
        step: Called after every step, also of those done before, from the thread that trains.
        cancelled: Asked before every step, likewise.
        checkpoints: Where to go on from and to keep the state; None: from the start, keeping none.
            The bits are the same either way.
    """

    left_out: Pair
    rows: IntArray
    targets: Targets
    residual: FloatArray
    seed: int
    device: Device
    step: Callable[[], None]
    cancelled: Cancelled
    checkpoints: Checkpoints | None = None

    def shuffled(self, config: MemberConfig) -> ShuffledRows:
        """Return what supplies the batches, as positions in ``rows``."""
        return ShuffledRows(len(self.rows), batch_size=config.batch_size, seed=self.seed)

    def run(
        self,
        kind: str,
        network: nn.Module,
        groups: Sequence[ParameterGroup],
        config: MemberConfig,
        facts: Mapping[str, Any],
        rows: ShuffledRows,
        outputs_of: Callable[[IntArray], Tensor],
    ) -> tuple[FloatArray, FloatArray]:
        """Train a network; the same arguments give the same bits on one machine.

        Args:
            kind: Of network, for messages and the state's name.
            network: What learns, on the device and in the mode that it learns in.
            groups: Its parameters with their learning rates.
            config: Hyperparameters.
            facts: All of them as JSON values, to tell this training from others by.
            rows: From :meth:`shuffled`.
            outputs_of: Returns the network's outputs (B, 3) for a batch.

        Returns:
            The centre and the scale, (2,) each, of log views and the residual.

        Raises:
            LearningError: The loss is no longer finite.
            LearningCancelledError: ``cancelled`` said so.
            OSError: The state cannot be kept.
        """
        truth, centre, scale = standardised(self.targets, self.residual)
        trainer = Trainer(
            network,
            groups,
            weight_decay=config.weight_decay,
            steps=training_steps(len(self.rows), config),
        )

        def loss_of(batch: IntArray) -> Tensor:
            outputs = outputs_of(batch)
            return multi_head_loss(outputs, truth[batch].to(self.device.torch_device))

        resumption = (
            None
            if self.checkpoints is None
            else Resumption(self.checkpoints, self._state_name(kind, truth, facts), rows)
        )
        trainer.run(
            rows,
            loss_of,
            what=f"{kind} {self.left_out}",
            step=self.step,
            cancelled=self.cancelled,
            resumption=resumption,
        )
        return centre, scale

    def _state_name(self, kind: str, truth: Tensor, config: Mapping[str, Any]) -> str:
        """Return a name for the state that no other training on the same pictures has."""
        facts = {
            "config": config,
            "seed": self.seed,
            "device": self.device.description,
            "torch": torch.__version__,
        }
        j, k = self.left_out
        return f"{kind}-{j}-{k}-{digest_of(facts, self.rows, truth.numpy())}"


def training_steps(rows: int, config: MemberConfig) -> int:
    """Return how many steps training on ``rows`` thumbnails takes."""
    return config.epochs * max(1, rows // config.batch_size)


def train_members(
    train: Callable[[MemberTraining], Made],
    features: Features,
    targets: Targets,
    folds_by_row: IntArray,
    *,
    folds: int,
    config: MemberConfig,
    seed: int,
    message: str,
    progress: Progress,
    cancelled: Cancelled,
    device: Device | None = None,
    checkpoints: Checkpoints | None = None,
) -> tuple[dict[Pair, Made], dict[Pair, IntArray]]:
    """Train every member on the folds it does not leave out, side by side.

    Args:
        train: Trains one, in a thread of its own.
        features: Of N rows.
        targets: Of the same rows.
        folds_by_row: Shape (N,).
        folds: K.
        config: Hyperparameters.
        seed: Members get seeds derived from it.
        message: What is being done, with room for the number of networks.
        progress: Told after each step, over all members together, in the caller's thread.
        cancelled: Asked at each step, likewise.
        device: None chooses the best one here.
        checkpoints: Where each member's state is kept, to go on from if the process dies.

    Returns:
        The K (K - 1) / 2 members by the pair of folds left out, and their training rows.

    Raises:
        LearningError: Too few rows, or what ``train`` raises.
        LearningCancelledError: ``cancelled`` said so.
    """
    known = features.without_pictures()
    chosen = device or choose_device()
    rows_of = {pair: training_rows(folds_by_row, pair) for pair in fold_pairs(folds)}
    smallest = min(len(rows) for rows in rows_of.values())
    if smallest < MIN_TRAINING_ROWS:
        raise LearningError(
            f"{len(features)} videos are too few: a thumbnail network would learn from {smallest},"
            f" at least {MIN_TRAINING_ROWS} are needed; crawl more videos",
            reason="tooFewVideos",
        )
    total = sum(training_steps(len(rows), config) for rows in rows_of.values())
    watch = _Watch(total, message.format(len(rows_of)), progress, cancelled)

    def task(number: int, pair: Pair, rows: IntArray) -> Callable[[], Made]:
        part = targets.take(rows)
        return lambda: train(
            MemberTraining(
                pair,
                rows,
                part,
                beyond_the_rest(known.take(rows), part.log10_views_per_day),
                seed * len(rows_of) + number,
                chosen,
                watch.step,
                watch.stopped.is_set,
                checkpoints,
            )
        )

    tasks = [task(number, *item) for number, item in enumerate(rows_of.items())]
    members = watch.over(lambda: side_by_side(tasks, chosen))
    return dict(zip(rows_of, members, strict=True)), rows_of


def standardised(targets: Targets, residual: FloatArray) -> tuple[Tensor, FloatArray, FloatArray]:
    """Return (R, 3) targets in the order of the outputs, and the centre and scale of two."""
    both = np.column_stack([targets.log10_views_per_day, residual])
    centre, spread = np.nanmean(both, axis=0), np.nanstd(both, axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    views, beyond = ((both - centre) / scale).T
    stacked = np.column_stack([views, targets.is_over.astype(np.float64), beyond])
    return torch.from_numpy(stacked.astype(np.float32)), centre, scale


def multi_head_loss(outputs: Tensor, truth: Tensor) -> Tensor:
    """Huber's loss, because views have heavy tails, and cross entropy for the threshold."""
    views, over, residual = outputs.unbind(dim=1)
    known = ~torch.isnan(truth[:, 2])
    beyond = functional.huber_loss(residual, truth[:, 2].nan_to_num(), reduction="none")
    return (
        functional.huber_loss(views, truth[:, 0])
        + functional.binary_cross_entropy_with_logits(over, truth[:, 1])
        + (beyond * known).mean()
    )


class _Watch:
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
