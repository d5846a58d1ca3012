"""Measure the budgets and print them as a table; exit 1 when one is missed."""

import argparse
import importlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.measure import Measurement

BENCHMARKS = {
    "refresh": "units that a refresh of 1,000 videos costs",
    "start_up": "how fast `tubegrader --help` answers",
    "memory": "how much memory a crawl worker takes",
    "batches": "memory of batch jobs where ten times as many videos are stored",
    "workers": "two crawl workers against one",
    "claiming": "claiming work among more and more rows",
    "dispatching": "a dispatcher's second among more and more rows",
    "purge": "counts and scores purged, at the end and at the beginning, and days dropped",
    "views": "what analysts ask of a million videos, four models and ten thousand swaps",
    "ingest": "snapshots from parsed answers into the database",
    "speech_cutting": "speech decoded and cut into segments, and the memory of a long file",
    "speech_models": "training of speech models, and their speed against decoding",
    "view_models": "training of thumbnail networks",
    "speech_comparator": "speech told apart, against a Whisper that you bring",
    "thumbnails": "thumbnails fetched, checked, stored and recorded",
}
"""Each is a module of this package with ``measure(*, full)``, which returns its measurements."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks that were named, all by default; return the exit code."""
    options = _options(arguments)
    measurements = []
    for name in options.names or BENCHMARKS:
        print(f"{name}: {BENCHMARKS[name]} …", file=sys.stderr, flush=True)
        started = time.monotonic()
        found = importlib.import_module(f"benchmarks.{name}").measure(full=options.full)
        print(f"  {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        measurements += found
    print_table(measurements)
    if options.json is not None:
        rows = [{**asdict(measurement), "ok": measurement.ok} for measurement in measurements]
        options.json.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n", "utf-8")
    return 0 if all(measurement.ok for measurement in measurements) else 1


def print_table(measurements: Sequence[Measurement]) -> None:
    """Print one line a measurement."""
    head = ("what", "measured", "against", "ratio", "budget", "ok")
    lines = [
        (f.what, f.measured, f.against, f"{f.ratio:.3g}", f.budget, "yes" if f.ok else "NO")
        for f in measurements
    ]
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    for line in (head, tuple("-" * width for width in widths), *lines):
        print("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip())


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    listed = "\n".join(f"  {name:18}{what}" for name, what in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=f"Measure the budgets as ratios within one run.\n\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", choices=[[], *BENCHMARKS], metavar="name")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the measurements as JSON too"
    )
    parser.add_argument("--full", action="store_true", help="the largest sizes; takes minutes")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
