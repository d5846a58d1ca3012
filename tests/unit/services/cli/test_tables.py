"""Tables for people: what a terminal of some width shows, and a pipe."""

import re

import pytest
from rich.cells import cell_len

from services.cli.tables import print_table

STYLES = re.compile(r"\x1b\[\d*m")
CHANNEL = "UC" + "x" * 22
COLUMNS = ["channel", "handle", "title", "state", "subscribers"]
ROWS = [
    [
        CHANNEL,
        "@long-handle-of-somebody",
        "一個很長的頻道名稱 " * 4,
        "active (paused)",
        "1,234,567",
    ],
    [CHANNEL, None, "A [title] with words, and more of them " * 2, "active", "12"],
]


@pytest.fixture
def shown(capsys, monkeypatch):
    """Print as onto a terminal of some width; the lines."""

    def lines(width, rows=ROWS, **options):
        for name, value in {"FORCE_COLOR": "1", "NO_COLOR": "1", "COLUMNS": str(width)}.items():
            monkeypatch.setenv(name, value)
        print_table(COLUMNS, rows, **options)
        return STYLES.sub("", capsys.readouterr().out).splitlines()

    return lines


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_no_line_is_wider_than_the_terminal_and_ids_stay_whole(shown, width):
    lines = shown(width, right=["subscribers"], spare=["handle"])
    assert max(map(cell_len, lines)) <= width
    assert sum(CHANNEL in line for line in lines) == 2
    assert any("1,234,567" in line for line in lines)


def test_a_wide_terminal_has_a_line_for_each_row(shown):
    assert len(shown(300)) == 2 + len(ROWS)


def test_spare_columns_are_left_out_where_there_is_no_room_and_that_is_said(shown):
    narrow = shown(80, spare=["handle"])
    assert not any("@long" in line for line in narrow)
    assert narrow[-1].startswith("left out: handle; ")
    wide = shown(300, spare=["handle"])
    assert any("@long" in line for line in wide)
    assert not any("left out" in line for line in wide)


def test_what_cannot_share_a_line_is_a_line_for_each_value(shown):
    lines = shown(40)
    assert lines[0].split() == ["channel", CHANNEL]
    assert max(map(cell_len, lines)) <= 40
    assert sum(line.startswith("title ") for line in lines) == 2
    assert "" in lines


def test_a_pipe_gets_each_row_on_one_line_whatever_its_width(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    print_table(COLUMNS, ROWS, spare=["handle"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 + len(ROWS)
    assert "@long-handle-of-somebody" in lines[2]
