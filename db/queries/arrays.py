"""Many values as one: PostgreSQL takes at most 65,535 bound values, an array is one of them."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from sqlalchemy import ARRAY, ColumnElement, Text, any_, literal

if TYPE_CHECKING:
    from sqlalchemy.orm import InstrumentedAttribute


def among(column: "InstrumentedAttribute[str]", values: Collection[str]) -> ColumnElement[bool]:
    """Return the condition that a text column is one of the values, however many there are."""
    return column == any_(literal(list(values), ARRAY(Text)))
