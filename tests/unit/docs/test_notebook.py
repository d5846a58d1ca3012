"""The notebook beside the queries was run from top to bottom, and nothing in it failed."""

import ast
import json
import re

from tests.support.deploy import ROOT

NOTEBOOK = ROOT / "docs" / "querying" / "notebook.ipynb"
CELLS = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
CODE = [cell for cell in CELLS if cell["cell_type"] == "code"]


def test_it_was_run_in_order_and_shows_what_came_of_it():
    assert [cell["execution_count"] for cell in CODE] == list(range(1, len(CODE) + 1))
    kinds = {out["output_type"] for cell in CODE for out in cell["outputs"]}
    assert kinds == {"execute_result"}
    assert sum(bool(cell["outputs"]) for cell in CODE) >= 5
    assert NOTEBOOK.stat().st_size < 100_000


def test_its_cells_are_python_and_name_no_machine():
    for cell in CODE:
        ast.parse("".join(cell["source"]))
    assert not re.search(r"/(tmp|home|root|Users)/", NOTEBOOK.read_text("utf-8"))
