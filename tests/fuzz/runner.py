"""Tries mutated inputs at a door, in a process that may hang, crash or eat memory alone."""

import contextlib
import faulthandler
import logging
import os
import random
import resource
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from tests.fuzz.doors import DOORS, Door

INPUT_S = 10.0
"""Longest that one input may take; the largest takes a tenth of a second on a quiet machine."""
HUNG_S = 120.0
"""After so long the process ends: it waits for something, or does not listen."""
MEMORY_MB = 700
"""Most that all inputs together may add to what the process holds without any."""
ADDRESSES_GB = 8
MOST_FINDINGS = 20


class HangError(BaseException):
    """An input took too long; no door may take this for an error of a library's."""


@dataclass
class Run:
    """What came of trying inputs at a door."""

    door: str
    seed: int
    tried: int = 0
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: dict[str, Path] = field(default_factory=dict)
    """By what went wrong, the first input with it."""

    def __str__(self) -> str:
        most = ", ".join(f"{n} {reason}" for reason, n in self.outcomes.most_common(8))
        return (
            f"{self.door}: {self.tried} inputs in {self.seconds:.0f} s, seed {self.seed}, "
            f"{len(self.findings)} findings ({most})"
        )


def run(name: str, *, seed: int, inputs: int | None, seconds: float | None, folder: Path) -> Run:
    """Try so many inputs, or for so long.

    Args:
        name: Of the door.
        seed: Decides about every input.
        inputs: So many; None: until the time is over.
        seconds: So long; None: until all inputs were tried.
        folder: Where inputs with findings are kept, and ``current``, the one at work.
    """
    door, chance = DOORS[name], random.Random(seed)
    _quiet()
    seeds = list(door.seeds())
    done = Run(name, seed)
    for sound in seeds:
        _try(door, sound, done, folder, limit_mb=None)
    limit_mb = _peak_mb() + MEMORY_MB
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES_GB * 2**30,) * 2)
    began = time.monotonic()
    while (inputs is None or done.tried < inputs) and len(done.findings) < MOST_FINDINGS:
        done.seconds = time.monotonic() - began
        if seconds is not None and done.seconds > seconds:
            break
        data = door.mutate(chance, chance.choice(seeds))
        _try(door, data, done, folder, limit_mb=limit_mb)
        done.tried += 1
    done.seconds = time.monotonic() - began
    return done


def _try(door: Door, data: bytes, done: Run, folder: Path, *, limit_mb: float | None) -> None:
    current = folder / "current"
    current.write_bytes(data)
    try:
        with _watched():
            done.outcomes[door.check(data)] += 1
        _check_memory(limit_mb)
    except (Exception, HangError) as error:  # noqa: BLE001 - whatever a door lets out is what we look for
        what = _place(error)
        if what not in done.findings:
            done.findings[what] = _kept(data, done, folder)
            traceback.print_exception(error)


@contextlib.contextmanager
def _watched() -> Iterator[None]:
    """Interrupt what takes too long; end the process if even that does not help."""

    def late(*_: object) -> None:
        raise HangError(f"more than {INPUT_S:.0f} s")

    faulthandler.dump_traceback_later(HUNG_S, exit=True, file=sys.__stderr__)
    # Time of this process alone: others may have the processor meanwhile.
    signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, INPUT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        faulthandler.cancel_dump_traceback_later()


class MemoryGrewError(Exception):
    """The process holds more than it should."""


def _check_memory(limit_mb: float | None) -> None:
    if limit_mb is not None and _peak_mb() > limit_mb:
        raise MemoryGrewError(f"{_peak_mb():.0f} MB at its most")


def _quiet() -> None:
    warnings.simplefilter("error")
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def _place(error: BaseException) -> str:
    """Return what went wrong and the last line of ours where it did."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if f"{os.sep}site-packages{os.sep}" not in frame.filename]
    at = ours[-1]
    return f"{type(error).__name__} at {Path(at.filename).name}:{at.lineno}"


def _kept(data: bytes, done: Run, folder: Path) -> Path:
    path = folder / f"{done.door}-{done.seed}-{done.tried}"
    path.write_bytes(data)
    return path


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
