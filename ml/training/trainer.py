"""The training loop: steps that can be interrupted, and go on from there."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from ml.arrays import IntArray
from ml.errors import LearningCancelledError, LearningError
from ml.training.callbacks import Cancelled
from ml.training.checkpoints import Checkpoints, State

Batch = TypeVar("Batch")
Batch_co = TypeVar("Batch_co", covariant=True)
ParameterGroup: TypeAlias = tuple[Iterable[nn.Parameter], float]
"""Parameters, and the peak of their one-cycle schedule of learning rates (Smith & Topin 2017)."""


class Sampler(Protocol[Batch_co]):
    """What supplies the batches."""

    def draw(self, number: int, /) -> Batch_co:
        """Return the batch of a step; steps are numbered from 0 and come in order."""
        ...


class ShuffledRows:
    """Batches of row numbers; every pass is a fresh shuffle, and its remainder is left out.

    Whatever else a step draws is drawn from ``generator`` too: torch's own is shared between
    threads.
    """

    def __init__(self, rows: int, *, batch_size: int, seed: int) -> None:
        self.generator = np.random.default_rng(seed)
        self.order: IntArray = np.arange(rows)
        self._batches = max(1, rows // batch_size)
        self._size = min(batch_size, rows)

    def draw(self, number: int) -> IntArray:
        """Return the row numbers of a step's batch."""
        place = number % self._batches
        if place == 0:
            self.order = self.generator.permutation(len(self.order))
        return self.order[place * self._size : (place + 1) * self._size]


class InOrder(Generic[Batch]):
    """Batches that somebody else draws, one a step."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches

    def draw(self, _number: int, /) -> Batch:
        """Return the next batch."""
        return next(self._batches)


@dataclass(frozen=True)
class Resumption:
    """Where a training's state is kept and found.

    Attributes:
        checkpoints: The folder.
        name: Of the state: of no other training in the same folder.
        rows: What supplies the batches; its state is kept too.
    """

    checkpoints: Checkpoints
    name: str
    rows: ShuffledRows


class Trainer:
    """A network in training: AdamW under a one-cycle schedule, stopped by a loss that is no number.

    Attributes:
        done: Steps so far.
        steps: In all.
    """

    def __init__(
        self,
        network: nn.Module,
        groups: Sequence[ParameterGroup],
        *,
        weight_decay: float,
        steps: int,
    ) -> None:
        """Begin.

        Args:
            network: What learns.
            groups: Its parameters, and others that learn along.
            weight_decay: Of AdamW.
            steps: In all.
        """
        self.steps = steps
        self.done = 0
        self._network = network
        self._optimizer = torch.optim.AdamW(
            [{"params": list(parameters)} for parameters, _ in groups], weight_decay=weight_decay
        )
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer, max_lr=[rate for _, rate in groups], total_steps=steps
        )

    def run(
        self,
        sampler: Sampler[Batch],
        loss_of: Callable[[Batch], Tensor],
        *,
        what: str,
        step: Callable[[], None],
        cancelled: Cancelled,
        resumption: Resumption | None = None,
    ) -> None:
        """Do all steps that are left.

        Args:
            sampler: Supplies the batches.
            loss_of: Returns the loss on a batch.
            what: Is trained, for messages.
            step: Called after each step, also for those done before.
            cancelled: Asked before each step.
            resumption: Where the state is kept and found; None: nowhere. The bits are the same.

        Raises:
            LearningError: The loss is no longer finite (``diverged``).
            LearningCancelledError: ``cancelled`` said so.
            OSError: The state cannot be kept.
        """
        kept = None if resumption is None else resumption.checkpoints
        if resumption is not None:
            if (state := resumption.checkpoints.read(resumption.name)) is not None:
                self._go_on_from(state, resumption.rows)
            for _ in range(self.done):
                step()
        written = time.monotonic()
        while self.done < self.steps:
            if cancelled():
                raise LearningCancelledError
            loss = self._step(loss_of(sampler.draw(self.done)))
            if not np.isfinite(loss):
                raise LearningError(
                    f"training of {what} diverged at step {self.done}: the loss is {loss};"
                    " lower the learning rate or look for broken rows and labels",
                    reason="diverged",
                )
            step()
            is_due = kept is not None and time.monotonic() - written >= kept.every_s
            if resumption is not None and (is_due or self.done == self.steps):
                resumption.checkpoints.write(resumption.name, self._state(resumption.rows))
                written = time.monotonic()

    def _step(self, loss: Tensor) -> float:
        """Learn from a batch's loss and return it; if it is not finite nothing changes."""
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        value = loss.item()
        if np.isfinite(value):
            self._optimizer.step()
            self._schedule.step()
            self.done += 1
        return value

    def _state(self, rows: ShuffledRows) -> State:
        """Return everything that the steps left change or draw from."""
        optimizer = self._optimizer.state_dict()
        moments = {
            f"optimizer.{number}.{key}": value
            for number, values in optimizer["state"].items()
            for key, value in values.items()
        }
        weights = {f"network.{key}": value for key, value in self._network.state_dict().items()}
        return State(
            {**weights, **moments, "order": torch.from_numpy(rows.order)},
            {
                "done": self.done,
                "groups": optimizer["param_groups"],
                "schedule": self._schedule.state_dict(),
                "generator": rows.generator.bit_generator.state,
            },
        )

    def _go_on_from(self, state: State, rows: ShuffledRows) -> None:
        """Take over what :meth:`_state` returned in another process."""
        self._network.load_state_dict(_below("network.", state.tensors))
        # The optimizer numbers parameters by its groups, not by the network's order.
        parameters = [p for group in self._optimizer.param_groups for p in group["params"]]
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _below("optimizer.", state.tensors).items():
            number, key = name.split(".")
            like = parameters[int(number)]
            # In the layout of the weights, as they would be: another one may round differently.
            own = value if value.dim() == 0 else torch.empty_like(like).copy_(value)
            moments.setdefault(int(number), {})[key] = own.detach()
        groups = [{**group, "betas": tuple(group["betas"])} for group in state.facts["groups"]]
        self._optimizer.load_state_dict({"state": moments, "param_groups": groups})
        self._schedule.load_state_dict(dict(state.facts["schedule"]))
        rows.generator.bit_generator.state = state.facts["generator"]
        rows.order = state.tensors["order"].numpy()
        self.done = int(state.facts["done"])


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
