"""Of every table there is, a page says what lets go of its rows again."""

import re

import db.models  # noqa: F401  (fills Base.metadata)
from db.base import Base
from tests.support.deploy import ROOT

PAGE = ROOT / "docs/operations/retention.md"


def test_every_table_has_a_line_that_says_what_bounds_it():
    section = PAGE.read_text().partition("\n## Every table\n")[2].partition("\n## ")[0]
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("| `")
    ]
    named = [name for names, *_ in lines for name in re.findall(r"`(\w+)`", names)]
    assert sorted(named) == sorted([*Base.metadata.tables, "alembic_version"])
    assert all(grows and bounded for _, grows, bounded in lines)
