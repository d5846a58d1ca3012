"""What was measured, kept by benchmark: each is refreshed alone, and a page shows all of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks import machine, pages
from benchmarks.catalogue import BENCHMARKS
from benchmarks.measure import Measurement

KEPT = Path("docs/results/benchmarks.json")
TABLE = "benchmarks"
HEAD = ("what", "measured", "against", "ratio", "from, to", "budget", "kept")


def rows(measurements: Sequence[Measurement]) -> list[dict[str, Any]]:
    """Return measurements as they are kept."""
    return [
        {
            **asdict(replace(one, ratio=float(one.ratio))),
            "spread": one.spread,
            "rounds": len(getattr(one.ratio, "values", [one.ratio])),
            "ok": one.ok,
        }
        for one in measurements
    ]


def document(found: Mapping[str, Sequence[Measurement]], on: date, *, full: bool) -> dict[str, Any]:
    """Return what some benchmarks measured today on this machine, as it is kept."""
    measured_on = machine.record()
    return {
        name: {
            "on": on.isoformat(),
            "full": full,
            "machine": measured_on,
            "rows": rows(measurements),
        }
        for name, measurements in found.items()
    }


def keep(new: Mapping[str, Any], path: Path, page: Path) -> None:
    """Replace what is kept of some benchmarks, and draw the page's table anew."""
    known = {**read(path), **new}
    known = {name: known[name] for name in BENCHMARKS if name in known}
    path.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", "utf-8")
    pages.write_between(page, TABLE, lines(known))


def read(path: Path) -> dict[str, Any]:
    """Return what is kept, by benchmark."""
    return dict(json.loads(path.read_text("utf-8"))) if path.exists() else {}


def lines(known: Mapping[str, Any]) -> list[str]:
    """Return the page's lines: a table for each machine and day, what bounds, what was not run."""
    shown = []
    for name, one in known.items():
        of = BENCHMARKS[name]
        shown += [
            f"**{name}**: {of.what}{', the largest sizes' if one['full'] else ''}. {of.bound}",
            "",
            *pages.table(HEAD, [_cells(row) for row in one["rows"]]),
            "",
            f"{one['on']}, load {one['machine']['load']} when it ended.",
            "",
        ]
    machines: dict[str, list[str]] = {}
    for name, one in known.items():
        machines.setdefault(machine.in_words(one["machine"]), []).append(name)
    shown += [f"On {words}: {', '.join(names)}." for words, names in machines.items()]
    missing = [name for name in BENCHMARKS if name not in known]
    if missing:
        shown += ["", f"Not run for this table: {', '.join(missing)}."]
    return shown


def _cells(row: Mapping[str, Any]) -> list[str]:
    spread = row["spread"]
    between = "–" if spread is None else f"{spread[0]:.3g}, {spread[1]:.3g} of {row['rounds']}"
    one = Measurement(
        row["what"], row["measured"], row["against"], row["ratio"], row["at_least"], row["at_most"]
    )
    kept = "–" if one.budget == "—" else "yes" if row["ok"] else "**no**"
    return [one.what, one.measured, one.against, f"{one.ratio:.3g}", between, one.budget, kept]
