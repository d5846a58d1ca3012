"""The catalogue of the views: what each has and means, from their comments in the database."""

from dataclasses import asdict, dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from db.queries import views
from services.context import Context

_INTRODUCTION = """# The views, column by column

Made by `tubegrader data catalog` from the comments in the database; `--json` prints the same as dbt
describes models. [How to ask them](README.md).
"""


@dataclass(frozen=True)
class Column:
    """A column of a view."""

    name: str
    data_type: str
    description: str


@dataclass(frozen=True)
class View:
    """A view that analysts may rely on."""

    name: str
    description: str
    columns: list[Column]


def described(context: Context) -> list[View]:
    """Return the views by name, their columns in order."""
    with context.transaction() as session:
        rows = views.described(session)
    return [
        View(name, about or "", [Column(row[2], row[3], row[4] or "") for row in of_view])
        for (name, about), of_view in groupby(rows, key=itemgetter(0, 1))
    ]


def as_dbt(found: list[View]) -> dict[str, Any]:
    """Return what a ``schema.yml`` of dbt holds; JSON is YAML."""
    return {"version": 2, "models": [asdict(view) for view in found]}


def as_markdown(found: list[View]) -> str:
    """Return a page with a table for each view."""
    parts = [_INTRODUCTION]
    for view in found:
        rows = [
            f"| `{each.name}` | {each.data_type} | {_cell(each.description)} |"
            for each in view.columns
        ]
        head = f"## {view.name}\n\n{view.description}\n"
        parts.append(
            "\n".join([head, "| column | type | what it says |", "|---|---|---|", *rows, ""])
        )
    return "\n".join(parts)


def _cell(description: str) -> str:
    return description.replace("|", "\\|")
