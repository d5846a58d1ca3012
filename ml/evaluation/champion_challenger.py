"""Whether a challenger may take a champion's place, evaluated on rows that neither learned from.

Both are measured on the same rows, and whole clusters (channels, speakers) are resampled, so the
differences are paired. The question is not whether the challenger is better: a model trained on
newer data is wanted unless it is worse. It passes when no measure's interval lies wholly on the
worse side, overall and in each part, and when no measure is worse by more than its margin overall:
without that bound many losses, each too small to show, would add up over the nights. The parts'
intervals are widened for their number (Bonferroni), so that a dozen of them refuse an equally good
challenger no more often than one.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ml.arrays import BoolArray, FloatArray, IntArray
from ml.evaluation.bootstrap import Interval, Metric, cluster_bootstrap

DRAWS_IN_TAIL = 10
MOST_RESAMPLES = 20_000
"""A widened interval needs more resamples: so many should lie beyond each of its ends."""


@dataclass(frozen=True)
class Rules:
    """By what a challenger is evaluated.

    Attributes:
        share: Of the rows, the newest so many are the window.
        fewest_rows: The window is made longer until it has so many rows.
        fewest_clusters: And so many clusters; where all rows together have not, nothing is
            evaluated.
        most_rows: And shorter to have no more.
        part_rows: A part with fewer rows is not evaluated.
        part_clusters: Nor one with fewer clusters.
        level: Coverage of the intervals.
        resamples: Of the bootstrap; more where an interval is wider.
    """

    share: float = 0.25
    fewest_rows: int = 50
    fewest_clusters: int = 10
    most_rows: int = 5_000
    part_rows: int = 20
    part_clusters: int = 10
    level: float = 0.95
    resamples: int = 2_000


@dataclass(frozen=True)
class Measure:
    """One thing by which both are measured.

    Attributes:
        name: What people call it, such as ``R²``.
        key: Its name in JSON, such as ``r2``.
        higher_is_better: Which side is the worse one.
        margin: How much worse the challenger may be at most, overall.
        champion: Row weights to the champion's value.
        challenger: Row weights to the challenger's value.
    """

    name: str
    key: str
    higher_is_better: bool
    margin: float
    champion: Metric
    challenger: Metric


@dataclass(frozen=True)
class Part:
    """A part of the rows: what it is by, its name, and which rows are in it, (N,)."""

    by: str
    name: str
    inside: BoolArray


@dataclass(frozen=True)
class Compared:
    """A measure of both, and the challenger's less the champion's with its interval."""

    name: str
    key: str
    higher_is_better: bool
    margin: float
    champion: float
    challenger: float
    difference: Interval

    @property
    def is_defined(self) -> bool:
        """There is a difference with an interval."""
        return bool(np.isfinite([self.difference.value, self.difference.low]).all())

    @property
    def is_better(self) -> bool:
        """The interval lies wholly on the better side."""
        return self.difference.low > 0 if self.higher_is_better else self.difference.high < 0

    @property
    def is_worse(self) -> bool:
        """The interval lies wholly on the worse side."""
        return self.difference.high < 0 if self.higher_is_better else self.difference.low > 0

    @property
    def slips(self) -> bool:
        """The difference is worse by more than the margin, whatever the interval."""
        gain = self.difference.value if self.higher_is_better else -self.difference.value
        return gain < -self.margin

    def as_json(self) -> dict[str, Any]:
        """Return JSON values; undefined numbers are None."""
        plain = {name: _number(getattr(self, name)) for name in ("champion", "challenger")}
        return {**plain, "difference": self.difference.as_json(), "margin": self.margin}

    def __str__(self) -> str:
        low, high = self.difference.low, self.difference.high
        return f"{self.name} {self.difference.value:+.3f} [{low:+.3f}, {high:+.3f}]"


@dataclass(frozen=True)
class PartCompared:
    """The measures within one part; none where it has too few rows or clusters."""

    by: str
    name: str
    n_rows: int
    n_clusters: int
    measures: Sequence[Compared]

    def as_json(self) -> dict[str, Any]:
        """Return JSON values; undefined numbers are None."""
        plain = {name: getattr(self, name) for name in ("by", "name", "n_rows", "n_clusters")}
        return {
            **plain,
            "judged": bool(self.measures),
            "measures": {m.key: m.as_json() for m in self.measures},
        }


@dataclass(frozen=True)
class ChallengeResult:
    """What came of evaluating a challenger.

    Attributes:
        passes: Whether the challenger may take the champion's place.
        ground: ``better``, ``noWorse``; or why not: ``worse``, ``slips`` (by more than a margin),
            ``worseInPart``, ``undefined`` (no interval can be given).
        measures: Overall.
        parts: By part.
        n_rows: Evaluated.
        n_clusters: Their clusters.
        part_level: Coverage of the parts' intervals.
        rules: What it went by.
    """

    passes: bool
    ground: str
    measures: Sequence[Compared]
    parts: Sequence[PartCompared]
    n_rows: int
    n_clusters: int
    part_level: float
    rules: Rules

    def as_json(self) -> dict[str, Any]:
        """Return JSON values; undefined numbers are None."""
        return {
            "passes": self.passes,
            "n_rows": self.n_rows,
            "n_clusters": self.n_clusters,
            "measures": {m.key: m.as_json() for m in self.measures},
            "parts": [part.as_json() for part in self.parts],
            "part_level": self.part_level,
            "rules": asdict(self.rules),
        }

    def sentence(self, *, rows: str, clusters: str) -> str:
        """Say what was found, in plain words.

        Args:
            rows: What they are, such as ``videos``.
            clusters: What they are, such as ``channels``.
        """
        found = ", ".join(str(m) for m in self.measures)
        where = f"On the {self.n_rows} newest {rows} of {self.n_clusters} {clusters}"
        if self.ground == "undefined":
            return f"{where} no interval can be given for challenger less champion."
        if self.ground == "worseInPart":
            worse = [p for p in self.parts if any(m.is_worse for m in p.measures)]
            named = "; ".join(
                f"{p.by} {p.name}: {', '.join(str(m) for m in p.measures if m.is_worse)}"
                for p in worse
            )
            return f"{where} the challenger is worse than the champion for a part ({named})."
        if self.ground == "slips":
            beyond = ", ".join(f"{m.name} {m.margin:g}" for m in self.measures if m.slips)
            return (
                f"{where} the challenger is worse by more than the margin of {beyond}, if within "
                f"the interval: {found}."
            )
        evaluated = sum(bool(part.measures) for part in self.parts)
        nor = f"; nor is it worse in any of {evaluated} parts" if evaluated and self.passes else ""
        words = {"better": "better", "noWorse": "no worse", "worse": "worse"}[self.ground]
        return f"{where} the challenger is {words} than the champion: {found}{nor}."


def newest_window(
    moments: FloatArray, clusters: Sequence[str], rules: Rules | None = None
) -> IntArray | None:
    """Return the newest rows, in their own order: those that a challenger is evaluated on.

    Args:
        moments: When each of the N rows came to be, (N,); any unit.
        clusters: Of each row.
        rules: How long the window is.

    Returns:
        Indices, ascending; None where all rows together are too few.
    """
    rules = rules or Rules()
    order = np.argsort(-moments, kind="stable")
    named = np.asarray(clusters)[order]
    wanted = max(math.ceil(rules.share * len(order)), rules.fewest_rows)
    # How many clusters there are among the first rows, for each number of them.
    _, first = np.unique(named, return_index=True)
    if len(first) < rules.fewest_clusters or len(order) < rules.fewest_rows:
        return None
    enough = int(np.sort(first)[rules.fewest_clusters - 1]) + 1
    size = max(min(wanted, rules.most_rows), enough)
    return np.sort(order[:size])


def evaluate(
    measures_of: Callable[[IntArray], Sequence[Measure]],
    clusters: Sequence[str],
    parts: Iterable[Part] = (),
    *,
    rules: Rules | None = None,
    seed: int = 0,
) -> ChallengeResult:
    """Evaluate a challenger against the champion.

    Args:
        measures_of: Returns the measures over some of the N rows, given by their indices.
        clusters: Of each row, length N.
        parts: Where the challenger may not be worse either.
        rules: What it goes by.
        seed: Makes the resamples repeatable.

    Raises:
        LearningError: Fewer than two clusters.
    """
    rules = rules or Rules()
    names = np.asarray(clusters)
    everything = np.arange(len(names))
    overall = _compared(
        measures_of(everything), names, level=rules.level, resamples=rules.resamples, seed=seed
    )
    sized = [(part, np.flatnonzero(part.inside)) for part in parts]
    large = [_is_large(names[rows], rules) for _, rows in sized]
    tests = max(1, sum(large) * len(overall))
    level = 1 - (1 - rules.level) / tests
    wanted = math.ceil(2 * DRAWS_IN_TAIL / (1 - level))
    resamples = min(max(rules.resamples, wanted), MOST_RESAMPLES)
    evaluated = [
        PartCompared(
            part.by,
            part.name,
            len(rows),
            len(set(names[rows].tolist())),
            _compared(measures_of(rows), names[rows], level=level, resamples=resamples, seed=seed)
            if enough
            else (),
        )
        for (part, rows), enough in zip(sized, large, strict=True)
    ]
    ground = _ground(overall, evaluated)
    return ChallengeResult(
        passes=ground in ("better", "noWorse"),
        ground=ground,
        measures=overall,
        parts=evaluated,
        n_rows=len(names),
        n_clusters=len(set(names.tolist())),
        part_level=level,
        rules=rules,
    )


def _compared(
    measures: Sequence[Measure],
    clusters: np.ndarray[Any, Any],
    *,
    level: float,
    resamples: int,
    seed: int,
) -> list[Compared]:
    intervals = cluster_bootstrap(
        {m.key: _difference(m) for m in measures},
        clusters.tolist(),
        resamples=resamples,
        seed=seed,
        level=level,
    )
    whole = np.ones(len(clusters))
    return [
        Compared(
            m.name,
            m.key,
            m.higher_is_better,
            m.margin,
            float(m.champion(whole)),
            float(m.challenger(whole)),
            intervals[m.key],
        )
        for m in measures
    ]


def _difference(measure: Measure) -> Metric:
    return lambda weights: measure.challenger(weights) - measure.champion(weights)


def _is_large(clusters: np.ndarray[Any, Any], rules: Rules) -> bool:
    return len(clusters) >= rules.part_rows and len(set(clusters.tolist())) >= rules.part_clusters


def _ground(overall: Sequence[Compared], parts: Sequence[PartCompared]) -> str:
    if not all(measure.is_defined for measure in overall):
        return "undefined"
    if any(measure.is_worse for measure in overall):
        return "worse"
    if any(measure.slips for measure in overall):
        return "slips"
    # What is undefined within a part (all of one class, say) speaks against nobody.
    if any(measure.is_worse for part in parts for measure in part.measures):
        return "worseInPart"
    return "better" if any(measure.is_better for measure in overall) else "noWorse"


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
