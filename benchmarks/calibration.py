"""Does the interval for what the thumbnail adds keep its word? Many catalogues where one knows.

Each invented catalogue goes through the very rungs, folds and evaluation of a real one. Only the
networks are replaced, by ridge regressions on a few numbers that stand for a picture, so that
hundreds of catalogues take minutes. In a third of them the pictures say nothing of views beyond
the channel's size, though they tell channels apart, as real ones do; in the others one of the
numbers does.

Two truths can be held against an interval. What the models of this very catalogue gain on channels
that nobody has seen (``gained``), and what such models gain on average over catalogues of this size
(``usual``). Neither is the share that a perfect model would explain (``planted``): a model that
learned from some hundred videos gains less, and one with nothing to learn loses a little.
"""

import argparse
import json
import math
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.catalogues import FOLDS, Learned, World, draw
from ml.evaluation import metrics
from ml.evaluation.bootstrap import Interval, over_trainings

SHAPES = ((60, 10), (100, 8), (150, 5), (450, 2))
"""Channels, and videos of each: few large channels and many small ones say as much per video, not
per channel."""
EFFECTS = (0.0, 0.15, 0.25)
"""log10 of views/day per standard deviation of the number that matters."""
CATALOGUES = 200
"""Of each effect, dealt out evenly over the shapes."""
POPULATION = 20_000


@dataclass(frozen=True)
class Trial:
    """One catalogue: its interval, and what its models gain where nobody looked."""

    effect: float
    channels: int
    interval: Interval
    gained: float
    planted: float


def trial(world: World, seed: int, population: int = POPULATION) -> Trial:
    """Draw a catalogue, learn, evaluate as always, and ask many other channels for the truth."""
    catalogue = draw(world, np.random.default_rng(seed), prefix="UC")
    learned = Learned.of(catalogue, seed)
    others = draw(World(population, 1, world.effect), np.random.default_rng([seed, 1]), prefix="PO")
    spread = float(others.log_views.var())
    without, with_picture = (p.log10_views_per_day for p in learned.predict(others))
    gained = metrics.r_squared(others.log_views, with_picture) - metrics.r_squared(
        others.log_views, without
    )
    return Trial(
        effect=world.effect,
        channels=world.channels,
        interval=learned.interval(catalogue, seed),
        gained=float(gained),
        planted=world.effect**2 / spread,
    )


def trials(
    worlds: Sequence[World], catalogues: int, *, processes: int, population: int = POPULATION
) -> Iterator[Trial]:
    """Draw so many catalogues of each world; yield them as they are done, always the same ones."""
    tasks = [(world, number) for number in range(catalogues) for world in worlds]
    seeds = [
        int(np.random.SeedSequence([number, position % len(worlds)]).generate_state(1)[0])
        for position, (_, number) in enumerate(tasks)
    ]
    one = partial(trial, population=population)
    if processes == 1:
        yield from map(one, [world for world, _ in tasks], seeds)
        return
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(one, [world for world, _ in tasks], seeds, chunksize=4)


def summary(found: Sequence[Trial]) -> dict[str, Any]:
    """Count how often the intervals of catalogues of one effect are right, as JSON values.

    ``fixed_models`` are the intervals before they were widened for other trainings
    (:func:`ml.evaluation.bootstrap.over_trainings`), for comparison.
    """
    usual = {c: statistics.fmean(t.gained for t in found if t.channels == c) for c in _sizes(found)}
    truths = {
        "gained": [trial.gained for trial in found],
        "usual": [usual[trial.channels] for trial in found],
    }
    widened = [trial.interval for trial in found]
    back = 1 / over_trainings(FOLDS)
    return {
        "effect": found[0].effect,
        "catalogues": len(found),
        "delta_r2": {
            "planted": statistics.fmean(trial.planted for trial in found),
            "gained": statistics.fmean(truths["gained"]),
            "measured": statistics.fmean(interval.value for interval in widened),
        },
        "intervals": _counted(widened, truths),
        "fixed_models": _counted([interval.widened(back) for interval in widened], truths),
    }


def _counted(
    intervals: Sequence[Interval], truths: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
    above = [interval.low > 0 for interval in intervals]
    below = [interval.high < 0 for interval in intervals]
    covered = {
        f"covers_{name}": _share(
            [i.low <= one <= i.high for i, one in zip(intervals, truth, strict=True)]
        )
        for name, truth in truths.items()
    }
    return {
        "above_zero": _share(above),
        "below_zero": _share(below),
        "excludes_zero": _share([a or b for a, b in zip(above, below, strict=True)]),
        **covered,
    }


def _share(hits: Sequence[bool]) -> dict[str, float]:
    """Return a share with the 95 % interval of Wilson (1927)."""
    n, share, z = len(hits), statistics.fmean(hits), 1.96
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return {"share": share, "low": max(middle - half, 0.0), "high": min(middle + half, 1.0)}


def _sizes(found: Sequence[Trial]) -> list[int]:
    return sorted({trial.channels for trial in found})


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; return 1 where the method does not keep its word."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--catalogues", type=int, default=CATALOGUES, help="of each effect")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw the intervals")
    options = parser.parse_args(arguments)
    # One thread a process; read when the other processes import numpy.
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))
    worlds = [World(*shape, effect) for effect, shape in product(EFFECTS, SHAPES)]
    each = max(1, options.catalogues // len(SHAPES))
    started, found = time.monotonic(), []
    for one in trials(worlds, each, processes=options.processes):
        found.append(one)
        if len(found) % 50 == 0:
            seconds = time.monotonic() - started
            print(f"{len(found)} of {each * len(worlds)}, {seconds:.0f} s", file=sys.stderr)
    by_effect = {e: [t for t in found if t.effect == e] for e in EFFECTS}
    results = [summary(part) for part in by_effect.values()]
    for result in results:
        print(_line(result))
    if options.json is not None:
        document = {
            "shapes": [{"channels": c, "videos_each": v} for c, v in SHAPES],
            "seconds": round(time.monotonic() - started),
            "results": results,
        }
        options.json.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    if options.figure is not None:
        _draw_chart(by_effect, options.figure)
    return 0 if kept(results) else 1


def kept(results: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether zero is excluded in 2 to 8 % without effect, the truth covered in 90 to 98 %.

    The truth is what such models usually gain: the intervals are to say how other channels and
    other trainings would differ.
    """
    without, *planted = results
    return 0.02 <= without["intervals"]["excludes_zero"]["share"] <= 0.08 and all(
        0.90 <= result["intervals"]["covers_usual"]["share"] <= 0.98 for result in planted
    )


def _line(result: Mapping[str, Any]) -> str:
    intervals, fixed = result["intervals"], result["fixed_models"]
    shares = ", ".join(
        f"{name.replace('_', ' ')} {intervals[name]['share']:.1%} ({fixed[name]['share']:.1%})"
        for name in intervals
    )
    delta = ", ".join(f"{name} {value:.4f}" for name, value in result["delta_r2"].items())
    return f"effect {result['effect']}, {result['catalogues']} catalogues: ΔR² {delta}; {shares}"


def _draw_chart(by_effect: Mapping[float, Sequence[Trial]], path: Path) -> None:
    """Draw each catalogue's interval about what its models really gain."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    panels = figure.subplots(1, len(by_effect))
    for axes, (effect, found) in zip(panels, by_effect.items(), strict=True):
        ordered = sorted(found, key=lambda one: one.interval.value)
        for row, one in enumerate(ordered):
            hit = one.interval.low <= one.gained <= one.interval.high
            axes.plot(
                [one.interval.low, one.interval.high], [row, row],
                color="#9aa4ad" if hit else "#c4472b", linewidth=0.8,
            )  # fmt: skip
        axes.plot([one.gained for one in ordered], range(len(ordered)), ".", color="#1d2a33", ms=2)
        axes.axvline(0, color="#1d2a33", linewidth=0.8, dashes=(3, 3))
        axes.set_title("no effect" if effect == 0 else f"effect {effect} per sd", fontsize=10)
        axes.set_yticks([])
        axes.set_xlabel("ΔR²")
    figure.savefig(path)


if __name__ == "__main__":
    sys.exit(main())
