"""The catalogue of the views is what the database says of them, column by column."""

import json

from services.catalog import as_markdown, described
from services.context import Context
from tests.support.cli import in_process, settings_of
from tests.support.deploy import ROOT

PAGE = ROOT / "docs" / "querying" / "catalog.md"


def test_every_view_and_every_column_says_what_it_is(context: Context):
    found = described(context)
    assert {"scored_videos", "thumbnail_changes", "language_results"} <= {v.name for v in found}
    assert [view.name for view in found if not view.description] == []
    silent = [f"{view.name}.{c.name}" for view in found for c in view.columns if not c.description]
    assert silent == []


def test_the_page_is_current(context: Context):
    assert PAGE.read_text("utf-8") == as_markdown(described(context)), (
        "`tubegrader data catalog > docs/querying/catalog.md` writes it anew"
    )


def test_the_command_prints_the_page_and_what_dbt_reads(context: Context):
    assert in_process("data", "catalog", env=settings_of(context)).out == PAGE.read_text("utf-8")
    printed = json.loads(in_process("data", "catalog", "--json", env=settings_of(context)).out)
    [views] = [m for m in printed["models"] if m["name"] == "scored_videos"]
    [column] = [c for c in views["columns"] if c["name"] == "video_id"]
    assert column["data_type"] == "text"
    assert column["description"]
