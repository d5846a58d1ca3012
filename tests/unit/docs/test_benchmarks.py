"""The committed tables of what was measured are those that the commands write."""

import importlib.util
import json
from datetime import date
from pathlib import Path

import pytest

from benchmarks import __main__ as bench
from benchmarks import curves, growth, machine, pages, recorded
from benchmarks.catalogue import BENCHMARKS
from benchmarks.measure import Measurement, Median, interleaved, together

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "performance.md"
MARKED = "<!-- benchmarks: begin -->\n<!-- benchmarks: end -->\n"


def test_every_benchmark_is_in_the_table_or_named_as_not_run():
    shown = "\n".join(pages.read_between(PAGE, recorded.TABLE))
    known = recorded.read(ROOT / recorded.KEPT)
    _, _, not_run = shown.partition("Not run for this table: ")
    for name in BENCHMARKS:
        assert (f"**{name}**: " in shown) == (name in known)
        assert (name in known) != (name in not_run.rstrip(".").split(", "))


def test_the_table_is_what_was_kept():
    known = recorded.read(ROOT / recorded.KEPT)
    assert pages.read_between(PAGE, recorded.TABLE) == recorded.lines(known)


def test_the_table_of_growth_is_what_was_kept():
    points = growth.Note(ROOT / "docs" / "results" / "growth.json").read()
    page = ROOT / "docs" / "operations" / "scale.md"
    assert pages.read_between(page, curves.TABLE) == curves.lines(points)


def test_a_size_is_kept_once_and_its_growth_told_for_ten_times_as_many(tmp_path: Path):
    note = growth.Note(tmp_path / "growth.json")
    for videos, ms in ((100, 9.0), (100, 1.0), (10_000, 4.0), (1_000_000, 64.0)):
        note.add(videos, 1, {"asking": growth.Cost(ms, 2 * ms, 3)}, 10**9)
    note.add(100, 10, {"asking": growth.Cost(None, 300_000.0, 0)}, 10**9)
    table = curves.lines(note.read())
    assert table[2] == "| asking | 1 ms (3) | > 300 s | 4 ms (3) | 64 ms (3) | × 4 |"


def test_what_must_not_grow_has_a_budget_and_what_is_added_up_has_none():
    few = {"claiming 1,000 items": growth.Cost(2.0, 9, 1), "counting": growth.Cost(1.0, 9, 1)}
    many = {"claiming 1,000 items": growth.Cost(8.0, 9, 1), "counting": growth.Cost(9.0, 9, 1)}
    claiming, counting = growth.against("100 videos", many, "10", few)
    assert (claiming.ratio, claiming.ok, counting.ratio, counting.ok) == (4, False, 9, True)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_is_a_module_with_a_sentence_on_what_bounds_it(name: str):
    assert importlib.util.find_spec(f"benchmarks.{name}") is not None
    assert BENCHMARKS[name].bound.endswith(".")


def test_one_benchmark_alone_refreshes_only_its_rows(tmp_path: Path):
    page, kept = tmp_path / "page.md", tmp_path / "kept.json"
    page.write_text(f"before\n{MARKED}after\n")
    of = {name: [Measurement(f"of {name}", "1 s", "2 s", 2.0, at_least=1)] for name in BENCHMARKS}
    today = date(2026, 1, 1)
    recorded.keep(recorded.document(of, today, full=False), kept, page)
    was = pages.read_between(page, recorded.TABLE)
    again = {"ingest": [Measurement("of ingest", "1 s", "3 s", 3.0, at_least=4)]}
    recorded.keep(recorded.document(again, today, full=False), kept, page)
    now = pages.read_between(page, recorded.TABLE)
    changed = [(a, b) for a, b in zip(was, now, strict=True) if a != b and "load" not in a]
    assert changed == [
        (
            "| of ingest | 1 s | 2 s | 2 | – | ≥ 1 | yes |",
            "| of ingest | 1 s | 3 s | 3 | – | ≥ 4 | **no** |",
        )
    ]
    assert page.read_text().startswith("before\n")
    assert page.read_text().endswith("\nafter\n")


def test_the_command_merges_writes_and_fails_where_a_budget_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    page, kept = tmp_path / "page.md", tmp_path / "kept.json"
    page.write_text(MARKED)
    ratios = iter([1.0, 3.0, 2.0])

    class Module:
        @staticmethod
        def measure(*, full: bool) -> list[Measurement]:
            del full
            return [Measurement("it", "1", "2", next(ratios), at_least=2.5)]

    monkeypatch.setattr(bench.importlib, "import_module", lambda name: Module)
    where = ["--results", str(kept), "--table", str(page)]
    assert bench.main(["ingest", "--repeat", "3", "--json", *where]) == 1
    found = json.loads(capsys.readouterr().out)
    [row] = found["measurements"]
    assert (row["benchmark"], row["ratio"], row["spread"], row["rounds"]) == (
        "ingest", 2.0, [1.0, 3.0], 3,
    )  # fmt: skip
    assert {"cores", "processor", "memory_gb", "python", "torch", "postgresql", "load"} <= set(
        found["machine"]
    )
    assert machine.in_words(found["machine"]).startswith(f"{found['machine']['cores']} cores of ")
    assert "| it | 1 | 2 | 2 | 1, 3 of 3 | ≥ 2.5 | **no** |" in page.read_text()


def test_a_ratio_of_rounds_pairs_what_was_measured_in_the_same_one():
    """A busy moment that hits both sides of a round leaves its ratio as it is."""
    ours, theirs = iter([9.0, 1.0, 10.0, 2.0]), iter([9.0, 2.0, 20.0, 4.0])
    mine, other = interleaved([lambda: next(ours), lambda: next(theirs)], rounds=3)
    ratio = other / mine
    assert (ratio, ratio.values) == (2.0, (2.0, 2.0, 2.0))
    assert (1000 * mine / 4).values == (250.0, 2500.0, 500.0)
    assert (10 / mine).values == (10.0, 1.0, 5.0)
    assert Measurement("it", "", "", ratio).spread == (2.0, 2.0)
    assert Measurement("it", "", "", 2.0).spread is None


def test_runs_are_put_together_by_name_and_place():
    one = [Measurement("a", "", "x", 1.0), Measurement("a", "", "y", 5.0)]
    two = [Measurement("a", "", "x", Median([2.0, 3.0])), Measurement("a", "", "y", 6.0)]
    x, y = together([one, two])
    assert (x.ratio, x.spread, x.against) == (2.0, (1.0, 3.0), "x")
    assert (y.ratio, y.spread, y.against) == (5.5, (5.0, 6.0), "y")
