"""Measure the budgets and print them as a table; exit 1 when one is missed."""

import argparse
import importlib
import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine, recorded
from benchmarks.catalogue import BENCHMARKS
from benchmarks.measure import Measurement, together


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks that were named, all by default; return the exit code."""
    options = _options(arguments)
    found: dict[str, list[Measurement]] = {}
    for name in options.names or BENCHMARKS:
        print(f"{name}: {BENCHMARKS[name].what} …", file=sys.stderr, flush=True)
        started = time.monotonic()
        module = importlib.import_module(f"benchmarks.{name}")
        runs = [module.measure(full=options.full) for _ in range(options.repeat)]
        found[name] = together(runs)
        print(f"  {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        if options.table is not None:
            today = datetime.now(UTC).date()
            new = recorded.document({name: found[name]}, today, full=options.full)
            recorded.keep(new, options.results, options.table)
    measurements = [one for some in found.values() for one in some]
    document: dict[str, Any] = {
        "machine": machine.record(),
        "measurements": [
            {"benchmark": name, **row} for name in found for row in recorded.rows(found[name])
        ],
    }
    written = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    if options.json == "-":
        sys.stdout.write(written)
    else:
        print_table(measurements)
        print(f"\nOn {machine.in_words(document['machine'])}; load {document['machine']['load']}.")
        if options.json is not None:
            Path(options.json).write_text(written, "utf-8")
    return 0 if all(measurement.ok for measurement in measurements) else 1


def print_table(measurements: Sequence[Measurement]) -> None:
    """Print one line a measurement."""
    head = ("what", "measured", "against", "ratio", "from, to", "budget", "ok")
    lines = [
        (
            one.what,
            one.measured,
            one.against,
            f"{one.ratio:.3g}",
            "–" if one.spread is None else f"{one.spread[0]:.3g}, {one.spread[1]:.3g}",
            one.budget,
            "yes" if one.ok else "NO",
        )
        for one in measurements
    ]
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    for line in (head, tuple("-" * width for width in widths), *lines):
        print("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip())


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    listed = "\n".join(f"  {name:18}{one.what}" for name, one in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=f"Measure the budgets as ratios within one run.\n\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], metavar="name")
    parser.add_argument(
        "--json", nargs="?", const="-", metavar="FILE",
        help="write the measurements and the machine as JSON; without a file instead of the table",
    )  # fmt: skip
    parser.add_argument("--full", action="store_true", help="the largest sizes; takes minutes")
    parser.add_argument(
        "--repeat", type=int, default=1, metavar="N", help="run each so often: more to spread over"
    )
    parser.add_argument(
        "--table", type=Path, metavar="PAGE",
        help="keep what was measured and write it into the page's table, that of others as it was",
    )  # fmt: skip
    parser.add_argument(
        "--results", type=Path, default=recorded.KEPT, metavar="FILE", help="where it is kept"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
