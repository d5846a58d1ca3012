"""How costs grow with videos and snapshots: measured size by size, kept, and drawn as curves.

``python -m benchmarks.growth 10000000 --results docs/results/growth.json`` adds a size to the file;
without sizes it draws what is there. Ten million videos take some 20 GB and a quiet core an hour.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import text

from benchmarks import asked, big, curves, place
from benchmarks.measure import Measurement
from services.context import Context
from services.errors import TubeGraderError

SMALL, LARGE, FULL = 10_000, 100_000, 1_000_000
COUNTS = (1, 10)
"""Snapshots of each video, whose cost is held against each other."""
ROUNDS, SLOW_S, LIMIT_S = 5, 5.0, 300
FLAT = 2.5
"""By how much a cost that does not grow may differ: indexes are a level deeper each, and ten
thousand videos lie in the server's buffers as a whole."""
MUST_NOT_GROW = (
    "claiming", "a page of planning", "the same, all of them", "what 512", "1,000 scores",
    "500 snapshots", "`scored_videos`, 50", "pages: videos of", "pages: videos, the newest",
    "pages: videos by", "pages: one video", "pages: channels",
)  # fmt: skip
"""What is to cost the same however many videos there are, by how it begins."""
RUNGS = ("thumbnail",)


@dataclass(frozen=True)
class Cost:
    """What one question costs: medians.

    Attributes:
        processor_ms: Of the database's process, which works alone; None: it took too long.
        wall_ms: On the clock, whatever else the machine does.
        pages: Of 8 kB that it looked at, in memory or not.
    """

    processor_ms: float | None
    wall_ms: float
    pages: int


def measure(*, full: bool) -> list[Measurement]:
    """Hold the costs among many videos, and of many snapshots each, against those among few."""
    many = FULL if full else LARGE
    few = costs_at(SMALL, counts=1)[0]
    large = costs_at(many, counts=COUNTS[0], more=COUNTS[1:])
    return [
        *against(f"{many:,} videos", large[0], f"{SMALL:,}", few),
        *against(
            f"{many * COUNTS[1]:,} snapshots", large[1], f"{many * COUNTS[0]:,}", large[0]
        ),
    ]  # fmt: skip


def against(
    what: str, many: dict[str, Cost], other: str, few: dict[str, Cost]
) -> Iterator[Measurement]:
    """Yield what is asked of many rows against the same of few."""
    for name, cost in many.items():
        before = few[name]
        if cost.processor_ms is None or before.processor_ms is None:
            continue
        flat = name.startswith(MUST_NOT_GROW)
        yield Measurement(
            f"{name}, of {what}".replace("`", ""),
            f"{cost.processor_ms:,.1f} CPU ms",
            f"of {other}, {before.processor_ms:,.1f} CPU ms",
            cost.processor_ms / before.processor_ms,
            at_most=FLAT if flat else None,
        )


def costs_at(
    videos: int, *, counts: int, more: Sequence[int] = (), note: "Note | None" = None
) -> list[dict[str, Cost]]:
    """Fill a database and ask it everything; again after each time that there are more counts.

    Args:
        videos: How many.
        counts: Snapshots of each, to begin with.
        more: Snapshots of each, later on.
        note: Told what was found, as it is.
    """
    found = []
    with place.folder() as folder, place.empty_context(folder, clock=lambda: big.NOW) as context:
        size = big.Size(videos, swaps=videos // 100, counts=counts, rungs=RUNGS)
        for each in (counts, *more):
            started = time.monotonic()
            if each == counts:
                big.fill(context, size)
            else:
                big.add_earlier(context, size, each)
                size = big.Size(videos, swaps=size.swaps, counts=each, rungs=RUNGS)
            print(f"  filled, {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
            found.append(ask(context, videos))
            if note is not None:
                note.add(videos, each, found[-1], _size_of(context))
    return found


def ask(context: Context, videos: int) -> dict[str, Cost]:
    """Ask everything of a filled database, by one process of it without helpers."""
    with context.engine.begin() as connection:
        connection.execute(text("ALTER ROLE CURRENT_USER SET max_parallel_workers_per_gather = 0"))
    context.engine.dispose()
    found = {}
    for name, question in asked.questions(asked.sample(context, videos)).items():
        found[name] = _cost(context, question)
        print(f"  {name}: {found[name]}", file=sys.stderr, flush=True)
    return found


def _cost(context: Context, question: asked.Question) -> Cost:
    with context.transaction() as session:
        # One connection is all there is, so every question goes to this process.
        pid = int(session.execute(text("SELECT pg_backend_pid()")).scalar_one())
    nothing = _once(context, pid, lambda _: None)
    found = []
    for turn in range(ROUNDS + 1):
        try:
            with _limited(context):
                cost = _once(context, pid, question)
        except TubeGraderError:
            return Cost(None, 1000.0 * LIMIT_S, 0)
        is_slow = cost.wall_ms > 1000 * SLOW_S
        # The first time brings pages into memory, unless that is how it is.
        if turn or is_slow:
            found.append(cost)
        if is_slow:
            break
    return Cost(
        statistics.median(cost.processor_ms or 0 for cost in found),
        statistics.median(cost.wall_ms for cost in found),
        max(0, int(statistics.median(cost.pages for cost in found)) - nothing.pages),
    )


def _once(context: Context, pid: int, question: asked.Question) -> Cost:
    pages, processor, started = _looked_at(context), _processor_s(pid), time.perf_counter()
    question(context)
    took, used = time.perf_counter() - started, _processor_s(pid) - processor
    return Cost(1000 * used, 1000 * took, _looked_at(context) - pages)


def _looked_at(context: Context) -> int:
    with context.transaction() as session:
        session.execute(text("SELECT pg_stat_force_next_flush()"))
    with context.transaction() as session:
        statement = text(
            "SELECT sum(hits + read_bytes / 8192) FROM pg_stat_get_backend_io(pg_backend_pid()) "
            "WHERE object = 'relation'"
        )
        return int(session.execute(statement).scalar_one())


def _processor_s(pid: int) -> float:
    """Return what a process has had of processors."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


@contextmanager
def _limited(context: Context) -> Iterator[None]:
    """End what takes longer than anybody would wait."""

    def limit(value: str) -> None:
        with context.transaction() as session:
            session.execute(text(f"SET statement_timeout = '{value}'"))

    limit(f"{LIMIT_S}s")
    try:
        yield
    finally:
        limit("15min")


def _size_of(context: Context) -> int:
    with context.transaction() as session:
        statement = text("SELECT pg_database_size(current_database())")
        return int(session.execute(statement).scalar_one())


@dataclass(frozen=True)
class Note:
    """A file of what was measured, to which sizes are added."""

    path: Path

    def read(self) -> list[dict[str, Any]]:
        """Return a point for each size, the smallest first."""
        if not self.path.exists():
            return []
        points: list[dict[str, Any]] = json.loads(self.path.read_text("utf-8"))
        return points

    def add(self, videos: int, counts: int, found: dict[str, Cost], size: int) -> None:
        """Add or replace the point of a size."""
        kept = [p for p in self.read() if (p["videos"], p["counts"]) != (videos, counts)]
        kept.append(
            {
                "videos": videos,
                "counts": counts,
                "gigabytes": round(size / 1e9, 2),
                "load": round(os.getloadavg()[0], 1),
                "costs": {
                    name: {key: _short(value) for key, value in asdict(cost).items()}
                    for name, cost in found.items()
                },
            }
        )
        kept.sort(key=lambda point: (point["videos"], point["counts"]))
        self.path.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")


def _short(value: float | None) -> float | None:
    return value if value is None or isinstance(value, int) else float(f"{value:.3g}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the sizes that were named, keep them, and draw the curves."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth", description=(__doc__ or "").split("\n", maxsplit=1)[0]
    )
    parser.add_argument("videos", nargs="*", type=int, help="how many, each in a new database")
    parser.add_argument(
        "--counts", type=int, nargs="+", default=[1], help="snapshots of each, one after the other"
    )
    parser.add_argument("--results", type=Path, default=Path("docs/results/growth.json"))
    parser.add_argument("--table", type=Path, metavar="FILE", help="a page to write the table into")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="where to draw the curves")
    options = parser.parse_args(arguments)
    note = Note(options.results)
    first, *more = options.counts
    for videos in options.videos:
        print(f"{videos:,} videos …", file=sys.stderr, flush=True)
        costs_at(videos, counts=first, more=more, note=note)
    if options.table is not None:
        curves.write_table(note.read(), options.table)
    if options.figure is not None:
        curves.draw(note.read(), options.figure)
    return 0


if __name__ == "__main__":
    sys.exit(main())
