"""Values that cannot be kept, counted by day and field."""

import json
from collections.abc import Mapping, Sequence
from datetime import date

from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session

from db.models import OddValue

MOST_EXAMPLES = 8
"""Values that a day keeps of a field; of the others only their number is known."""


def add(session: Session, counts: Mapping[str, Mapping[str, int]], *, day: date) -> None:
    """Count values: by field, how often each came."""
    statement = text(
        """
        INSERT INTO odd_values AS o (day, field, items, examples)
        VALUES (:day, :field, :items, CAST(:examples AS jsonb))
        ON CONFLICT (day, field) DO UPDATE SET
            items = o.items + excluded.items,
            examples = (
                SELECT jsonb_object_agg(value, n) FROM (
                    SELECT value, sum(n) AS n FROM (
                        SELECT key AS value, CAST(value AS bigint) AS n, 0 AS place
                        FROM jsonb_each_text(o.examples)
                        UNION ALL
                        SELECT key, CAST(value AS bigint), 1 FROM jsonb_each_text(excluded.examples)
                    ) both_of
                    GROUP BY value ORDER BY min(place), sum(n) DESC, value LIMIT :most
                ) kept
            )
        """
    )
    for field in sorted(counts):  # in order: two who count the same fields wait, and not for ever
        values = sorted(counts[field].items(), key=lambda each: (-each[1], each[0]))
        examples = dict(values[:MOST_EXAMPLES])
        session.execute(
            statement,
            {
                "day": day,
                "field": field,
                "items": sum(counts[field].values()),
                "examples": json.dumps(examples),
                "most": MOST_EXAMPLES,
            },
        )


def since(session: Session, day: date) -> Sequence[OddValue]:
    """Return what was counted on a day and after it."""
    return session.scalars(
        select(OddValue)
        .where(OddValue.day >= day)
        .order_by(OddValue.day, OddValue.field)
        .execution_options(populate_existing=True)
    ).all()


def forget(session: Session, *, before: date) -> None:
    """Delete the counts of earlier days."""
    session.execute(delete(OddValue).where(OddValue.day < before))
