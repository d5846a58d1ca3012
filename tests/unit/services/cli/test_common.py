"""What commands share: results as JSON for scripts and as tables for people."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from services.cli.common import emit, emit_rows, minute


@dataclass(frozen=True)
class Found:
    name: str
    n: int

    def as_json(self):
        return {"name": self.name, "n": self.n}


FOUND = [Found("a [b]", 1), Found("字", 20)]


def test_a_list_is_json_of_what_each_item_calls_its_own(capsys):
    emit_rows(FOUND, {"name": lambda f: f.name}, as_json=True)

    assert json.loads(capsys.readouterr().out) == [
        {"name": "a [b]", "n": 1},
        {"name": "字", "n": 20},
    ]


def test_a_list_is_a_table_of_its_columns_with_numbers_to_the_right(capsys):
    columns = {"name": lambda f: f.name, "count": lambda f: f.n, "note": lambda _: None}
    emit_rows(FOUND, columns, as_json=False, right=["count"])

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "count", "note"]
    assert lines[2].rstrip().endswith("1")
    assert "a [b]" in lines[2]
    assert lines[3].rstrip().endswith("20")


@pytest.mark.parametrize(("as_json", "out"), [(True, '"x"\n'), (False, "shown x\n")])
def test_a_finding_is_printed_one_way_or_the_other(capsys, as_json, out):
    emit("x", lambda found: print(f"shown {found}"), as_json=as_json)

    assert capsys.readouterr().out == out


def test_moments_are_printed_to_the_minute():
    assert minute(datetime(2026, 11, 1, 3, 30, 59, tzinfo=UTC).isoformat()) == "2026-11-01 03:30"
