"""A course of training: steps over shuffled rows that can be interrupted, and go on from there."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ml.arrays import IntArray
from ml.errors import LearningCancelledError, LearningError
from ml.training.checkpoints import Checkpoints, State


class Trainer:
    """A network in training and all that its next step depends on.

    Whatever is drawn is drawn from ``generator``: torch's own is shared between threads.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        *,
        rows: int,
        batch_size: int,
        steps: int,
        seed: int,
    ) -> None:
        """Begin.

        Args:
            network: What learns.
            optimizer: Of the network's parameters.
            schedule: Of the optimizer.
            rows: How many there are to learn from.
            batch_size: Of them a step takes so many; what is left over of a pass is left out.
            steps: In all.
            seed: Decides the order, and whatever else is drawn.
        """
        self.steps = steps
        self.done = 0
        self.generator = np.random.default_rng(seed)
        self._network = network
        self._optimizer = optimizer
        self._schedule = schedule
        self._rows = rows
        self._batch_size = batch_size
        self._order: IntArray = np.arange(rows)

    def run(
        self,
        loss_of: Callable[[IntArray], Tensor],
        *,
        what: str,
        step: Callable[[], None],
        cancelled: Callable[[], bool],
        checkpoints: Checkpoints | None,
        name: str,
    ) -> None:
        """Do all steps that are left.

        Args:
            loss_of: Returns the loss on a batch of row numbers; draws from ``generator`` only.
            what: Is trained, for messages.
            step: Called after each step, also for those done before.
            cancelled: Asked before each step.
            checkpoints: Where the state is kept and found; None: nowhere. The bits are the same.
            name: Of the state: of no other training in the same folder.

        Raises:
            LearningError: The loss is no longer finite.
            LearningCancelledError: ``cancelled`` said so.
            OSError: The state cannot be kept.
        """
        if checkpoints is not None and (state := checkpoints.read(name)) is not None:
            self._go_on_from(state)
            for _ in range(self.done):
                step()
        written = time.monotonic()
        while self.done < self.steps:
            if cancelled():
                raise LearningCancelledError
            loss = self._step(loss_of)
            if not np.isfinite(loss):
                raise LearningError(
                    f"training of {what} diverged: the loss is {loss};"
                    " lower the learning rate or look for broken labels",
                    reason="diverged",
                )
            step()
            is_due = time.monotonic() - written >= checkpoints.every_s if checkpoints else False
            if checkpoints is not None and (is_due or self.done == self.steps):
                checkpoints.write(name, self._state())
                written = time.monotonic()

    def _step(self, loss_of: Callable[[IntArray], Tensor]) -> float:
        """Learn from the next batch and return its loss; if that is not finite nothing changes."""
        loss = loss_of(self._next_batch())
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        value = loss.item()
        if np.isfinite(value):
            self._optimizer.step()
            self._schedule.step()
            self.done += 1
        return value

    def _next_batch(self) -> IntArray:
        """Return the next batch of row numbers; every pass is a fresh shuffle."""
        size = min(self._batch_size, self._rows)
        place = self.done % max(1, self._rows // self._batch_size)
        if place == 0:
            self._order = self.generator.permutation(self._rows)
        return self._order[place * size : (place + 1) * size]

    def _state(self) -> State:
        """Return everything that the steps left change or draw from."""
        optimizer = self._optimizer.state_dict()
        moments = {
            f"optimizer.{number}.{key}": value
            for number, values in optimizer["state"].items()
            for key, value in values.items()
        }
        weights = {f"network.{key}": value for key, value in self._network.state_dict().items()}
        return State(
            {**weights, **moments, "order": torch.from_numpy(self._order)},
            {
                "done": self.done,
                "groups": optimizer["param_groups"],
                "schedule": self._schedule.state_dict(),
                "generator": self.generator.bit_generator.state,
            },
        )

    def _go_on_from(self, state: State) -> None:
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
        self.generator.bit_generator.state = state.facts["generator"]
        self._order = state.tensors["order"].numpy()
        self.done = int(state.facts["done"])


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
