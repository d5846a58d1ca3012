"""Where and in which number format torch computes, and how it stays repeatable."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch


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
        return torch.autocast(
            self.torch_device.type, dtype=torch.bfloat16, enabled=self.compute is torch.bfloat16
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
    """Seed torch inside, and give the caller's random state back afterwards."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Use ``count`` CPU threads inside (None: as many as torch chose)."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
