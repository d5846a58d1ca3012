"""Prometheus' own rules on what was really scraped: promtool is asked, nothing here reckons."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.request import urlopen

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "rules.yml"
Series = dict[str, float]
"""Values by series, as a query writes it: ``name{label="value"}``."""
STEP = timedelta(minutes=1)
Alert = tuple[str, str]
"""An alert's name, and what it is about: the value of the label that tells, if one does."""


def promtool() -> str:
    """Where it is; skips where it is not (Debian's package is ``prometheus``)."""
    found = os.environ.get("PROMTOOL") or shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed")
    return found


def series_of(text: str, **labels: str) -> Series:
    """Read an exposition; ``labels`` are those that Prometheus adds of the target."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name.startswith("tubegrader_"):
                found[series(sample.name, {**sample.labels, **labels})] = sample.value
    return found


def series(name: str, labels: Mapping[str, str]) -> str:
    inside = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{name}{{{inside}}}"


def scrape(port: int, *, job: str, timeout_s: float = 15) -> Series:
    """Ask a process as Prometheus does: whoever does not answer is down."""
    labels = {"job": job, "instance": f"127.0.0.1:{port}"}
    found: Series = {series("up", labels): 0.0}
    with (
        suppress(OSError),
        urlopen(f"http://127.0.0.1:{port}/metrics", timeout=timeout_s) as answer,
    ):
        found |= series_of(answer.read().decode(), **labels) | {series("up", labels): 1.0}
    return found


@dataclass
class Timeline:
    """What was scraped, and for how long it stayed like that.

    A test waits for no hour: what it found is taken to stay as it was. Values only stand still by
    that, so that ages and counters are never further than in truth.
    """

    values: dict[str, list[float | None]] = field(default_factory=dict)
    steps: int = 0

    def stays(self, found: Series, for_: timedelta) -> None:
        """Add a scrape, repeated."""
        n = max(round(for_ / STEP), 1)
        for name in {*self.values, *found}:
            known = self.values.setdefault(name, [None] * self.steps)
            known += [found.get(name)] * n
        self.steps += n

    def firing(self) -> set[str]:
        """The alerts that fire at its end, by name."""
        return {name for name, _ in self.firing_about()}

    def firing_about(self) -> set[Alert]:
        """The same with what each is about."""
        return self._asked('ALERTS{alertstate="firing"}')

    def fired(self) -> set[str]:
        """The alerts that fired at any time."""
        whole = f'count_over_time(ALERTS{{alertstate="firing"}}[{self.steps + 1}m])'
        return {name for name, _ in self._asked(whole)}

    def _asked(self, query: str) -> set[Alert]:
        by = "alertname, kind, role, host, bucket, task, chore, what, state, schedule"
        test = {
            "rule_files": [str(RULES)],
            "evaluation_interval": "1m",
            "tests": [
                {
                    "interval": "1m",
                    "input_series": [
                        {"series": name, "values": _notation(values)}
                        for name, values in self.values.items()
                    ],
                    "promql_expr_test": [
                        {
                            "expr": f"group by ({by}) ({query})",
                            "eval_time": f"{self.steps - 1}m",
                            "exp_samples": [],
                        }
                    ],
                }
            ],
        }
        ended = subprocess.run(
            [promtool(), "test", "rules", "/dev/stdin"],
            input=yaml.safe_dump(test),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        said = ended.stdout + ended.stderr
        got = said.partition("got:")[2]
        assert ended.returncode == 0 or got, said
        return {_alert(labels) for labels in re.findall(r"\{([^}]*alertname=[^}]*)\}", got)}


def _alert(text: str) -> Alert:
    labels = dict(re.findall(r'(\w+)="([^"]*)"', text))
    name = labels.pop("alertname")
    return name, next(iter(labels.values()), "")


def _notation(values: Sequence[float | None]) -> str:
    """``1x3`` is four times 1: promtool's own shorthand."""
    runs: list[list[object]] = []
    for value in values:
        if runs and runs[-1][0] == value:
            runs[-1][1] = int(str(runs[-1][1])) + 1
        else:
            runs.append([value, 0])
    return " ".join(
        f"_x{int(str(n)) + 1}" if v is None else f"{_number(float(str(v)))}x{n}" for v, n in runs
    )


def _number(value: float) -> str:
    return {"inf": "+Inf", "nan": "NaN"}.get(f"{value}", repr(value))
