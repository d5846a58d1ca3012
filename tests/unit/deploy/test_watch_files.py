"""Rules, dashboards and pages speak of figures that there are."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from services.api.counters import REQUESTS
from services.api.figures import FIGURES
from services.metrics.instruments import INSTRUMENTS
from tests.support.prometheus import RULES

ROOT = Path(__file__).parents[3]
DASHBOARDS = ROOT / "deploy" / "grafana" / "dashboards"
KNOWN = {
    *(f"tubegrader_{name}" for name in (*FIGURES, *REQUESTS)),
    *(name for instrument in INSTRUMENTS for name in instrument.series),
}
_NAME = re.compile(r"\btubegrader_\w+")


def rules() -> list[dict[str, object]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield str(rule["alert"]), str(rule["expr"])
    for path in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']}", target["expr"]


def test_each_query_asks_for_what_there_is():
    asked = {(where, name) for where, expr in expressions() for name in _NAME.findall(expr)}
    assert {(where, name) for where, name in asked if name not in KNOWN} == set()


def test_whatever_is_told_is_on_a_dashboard_or_in_a_rule():
    asked = {name for _, expr in expressions() for name in _NAME.findall(expr)}
    whole = {re.sub("_(bucket|sum|count)$", "", name) for name in asked}
    told = {re.sub("_(bucket|sum|count)$", "", name) for name in KNOWN}
    assert told - whole - {"tubegrader_disk_bytes"} == set()


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_says_how_bad_it_is_and_what_to_do(rule):
    page = (ROOT / "docs" / "operations" / "alerts.md").read_text(encoding="utf-8")
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"]
    name = rule["alert"]
    assert rule["annotations"]["runbook"] == f"docs/operations/alerts.md#{name.lower()}"
    section = re.search(rf"^## {name}$(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert section, f"docs/operations/alerts.md has nothing about {name}"
    assert "**Do:**" in section[1]
    assert f"*{rule['labels']['severity'].capitalize()}, " in section[1]


def test_no_alert_is_described_that_there_is_not():
    page = (ROOT / "docs" / "operations" / "alerts.md").read_text(encoding="utf-8")
    assert re.findall("^## (.*)$", page, re.MULTILINE) == [rule["alert"] for rule in rules()]


def test_the_page_lists_every_figure():
    page = (ROOT / "docs" / "operations" / "watching.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    counted = {i.series[0].removeprefix("tubegrader_").removesuffix("_bucket") for i in INSTRUMENTS}
    assert listed == {*FIGURES, *counted}


def test_dashboards_are_read_from_where_they_lie_and_ask_one_source():
    source = yaml.safe_load(
        (ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text()
    )["datasources"][0]["uid"]
    seen = set()
    for path in DASHBOARDS.glob("*.json"):
        board = json.loads(path.read_text(encoding="utf-8"))
        assert board["uid"] == path.stem
        assert {panel["datasource"]["uid"] for panel in board["panels"]} == {source}
        seen.add(board["title"])
    assert len(seen) == 3


def test_each_worker_of_compose_is_scraped():
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    api, others = config["scrape_configs"]
    port = compose["x-environment"]["TUBEGRADER_METRICS_PORT"]
    assert api["static_configs"][0]["targets"] == [f"api:{port}"]
    [found] = others["dns_sd_configs"]
    assert str(found["port"]) == port
    working = {n for n in compose["services"] if n.startswith(("worker-", "dispatcher"))}
    assert set(found["names"]) == working
