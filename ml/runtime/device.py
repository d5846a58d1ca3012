"""Where and in which number format torch computes, and how it stays repeatable."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import torch

from ml.runtime.pools import computing

Result = TypeVar("Result")
_RANDOM_STATE = threading.Lock()


@dataclass(frozen=True)
class Device:
    """A device and the type that its matrix work runs in (weights stay float32)."""

    name: str
    compute: torch.dtype

    @property
    def torch_device(self) -> torch.device:
        """The torch device."""
        return torch.device(self.name)

    @property
    def description(self) -> str:
        """For logs and model cards, such as ``cpu bfloat16``."""
        return f"{self.name} {str(self.compute).removeprefix('torch.')}"

    def autocast(self) -> torch.autocast:
        """Run the matrix work inside in the compute type."""
        # No cache: every weight is used once a pass, and networks train in several threads.
        return torch.autocast(
            self.torch_device.type,
            dtype=torch.bfloat16,
            enabled=self.compute is torch.bfloat16,
            cache_enabled=False,
        )


def choose_device() -> Device:
    """Choose CUDA where there is one, else the CPU; bfloat16 where the hardware has it."""
    if torch.cuda.is_available():
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
        return Device("cuda", torch.bfloat16 if fast else torch.float32)
    return Device("cpu", torch.bfloat16 if cpu_has_bfloat16() else torch.float32)


def cpu_has_bfloat16() -> bool:
    """Tell whether the CPU multiplies bfloat16 in hardware; emulated, it is slower than float32."""
    # Older torch has no such function: float32 then, which is slower and never wrong.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch inside, one thread at a time, and give the random state back afterwards."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    # The random state is the whole process's.
    with _RANDOM_STATE, torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def side_by_side(tasks: Sequence[Callable[[], Result]], device: Device) -> list[Result]:
    """Run tasks at the same time, one CPU thread each, and return their results in order.

    Small networks gain little from sharing one operation among threads, and where other processes
    compete for the cores the threads of an operation wait for each other in busy loops: training
    was seen to take ten times as long. One thread a task also gives the same bits on any number of
    cores. On a GPU the tasks run one after the other.

    Args:
        tasks: Called without arguments, from other threads.
        device: Where the tasks compute.

    Raises:
        Exception: What the first failing task raised, once all have ended.
    """
    before = torch.get_num_threads()
    try:
        # Set here for all, and in each thread because OpenMP keeps the number by thread.
        torch.set_num_threads(1)
        if device.name != "cpu":
            return [task() for task in tasks]
        return computing().run([partial(_on_one_thread, task) for task in tasks])
    finally:
        torch.set_num_threads(before)


def _on_one_thread(task: Callable[[], Result]) -> Result:
    torch.set_num_threads(1)
    return task()
