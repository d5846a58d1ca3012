"""Counters and histograms that cost a look into an empty dictionary while nobody reads them."""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

PREFIX = "tubegrader_"
_made: dict[str, Any] = {}
"""What the client library made of each instrument, by name; empty while metrics are off."""


@dataclass(frozen=True)
class Instrument:
    """Something that is counted.

    Attributes:
        name: As Prometheus knows it, without a prefix and the suffix of its kind.
        said: What it is, for people.
        labels: What its series are told apart by, in order.
    """

    name: str
    said: str
    labels: tuple[str, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """The names that queries may ask for."""
        return (f"{PREFIX}{self.name}",)

    def make(self, registry: "CollectorRegistry") -> Any:
        """Return it as the client library's."""
        raise NotImplementedError

    def _of(self, labels: Sequence[str]) -> Any | None:
        made = _made.get(self.name)
        return made.labels(*labels) if made is not None and labels else made


class Counter(Instrument):
    """Only grows; begins at zero with its process."""

    @property
    def series(self) -> tuple[str, ...]:
        """The names that queries may ask for."""
        return (f"{PREFIX}{self.name}_total",)

    def add(self, amount: float, *labels: str) -> None:
        """Count so much more."""
        if (made := self._of(labels)) is not None:
            made.inc(amount)

    def make(self, registry: "CollectorRegistry") -> Any:
        """Return it as the client library's."""
        from prometheus_client import Counter as Made  # noqa: PLC0415  (only who serves pays)

        return Made(PREFIX + self.name, self.said, self.labels, registry=registry)


class Gauge(Instrument):
    """Goes up and down; for processes without a pool, which has no one value."""

    def set(self, value: float, *labels: str) -> None:
        """Note how it is."""
        if (made := self._of(labels)) is not None:
            made.set(value)

    def make(self, registry: "CollectorRegistry") -> Any:
        """Return it as the client library's."""
        from prometheus_client import Gauge as Made  # noqa: PLC0415

        return Made(PREFIX + self.name, self.said, self.labels, registry=registry)


@dataclass(frozen=True)
class Seconds(Instrument):
    """How long something takes, one observation at a time."""

    bounds: tuple[float, ...] = (0.01, 0.1, 0.5, 1, 5, 15, 60, 300, 1_800, 7_200)

    @property
    def series(self) -> tuple[str, ...]:
        """The names that queries may ask for."""
        return tuple(f"{PREFIX}{self.name}_{part}" for part in ("bucket", "sum", "count"))

    def begin(self, *labels: str) -> None:
        """Be there at zero: of what appears with its first event Prometheus sees no increase."""
        self._of(labels)

    def observe(self, seconds: float, *labels: str) -> None:
        """Count one that took so long."""
        if (made := self._of(labels)) is not None:
            made.observe(seconds)

    def make(self, registry: "CollectorRegistry") -> Any:
        """Return it as the client library's."""
        from prometheus_client import Histogram as Made  # noqa: PLC0415

        return Made(
            PREFIX + self.name, self.said, self.labels, registry=registry, buckets=self.bounds
        )


@dataclass(frozen=True)
class Ages(Counter):
    """How many of a batch were at most how old: a histogram's buckets, written once a batch.

    The client library's own histogram takes one value at a time, which for five hundred of them is
    a tenth of what the batch costs otherwise.
    """

    bounds: tuple[float, ...] = (60, 300, 900, 3_600, 4 * 3_600, 24 * 3_600)

    def add_all(self, ages_s: Sequence[float], *labels: str) -> None:
        """Count a batch."""
        if self.name not in _made or not ages_s:
            return
        ordered = sorted(ages_s)
        for bound in self.bounds:
            self.add(bisect.bisect_right(ordered, bound), *labels, f"{bound:g}")
        self.add(len(ordered), *labels, "+Inf")


def switch_on(instruments: Sequence[Instrument], registry: "CollectorRegistry") -> None:
    """Count from now on. In a process that was forked after it, counting goes on by itself."""
    for instrument in instruments:
        if instrument.name not in _made:
            _made[instrument.name] = instrument.make(registry)


def switch_off() -> None:
    """Count nothing more."""
    _made.clear()
