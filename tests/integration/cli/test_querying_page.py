"""Every query on the analysts' page runs on the real schema."""

import re
from pathlib import Path

import pytest

from services.context import Context
from services.querying import run_query

PAGE = Path(__file__).parents[3] / "docs" / "querying" / "README.md"
QUERIES = re.findall(r"```sql\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


def test_the_page_has_queries():
    assert len(QUERIES) >= 5


@pytest.mark.parametrize("query", QUERIES)
def test_the_query_runs(context: Context, query: str):
    columns, _ = run_query(context, query)
    assert columns
