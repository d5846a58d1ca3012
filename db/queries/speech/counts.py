"""What the report says of speech beyond what its comparison recorded."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session


@dataclass(frozen=True)
class ClipCounts:
    """Clips that the newest model of a name has scored.

    Attributes:
        by_language: Clips by what it decided.
        labelled: Those that are said to speak some language.
        agreeing: Of these, the ones where it says the same.
    """

    by_language: dict[str, int]
    labelled: int
    agreeing: int


def clip_counts(session: Session, *, rung: str) -> ClipCounts:
    """Count the rows of ``language_results`` of a model, by its name."""
    rows = session.execute(
        text(
            """
            SELECT language, count(*) AS n, count(agrees_with_label) AS labelled,
                count(*) FILTER (WHERE agrees_with_label) AS agreeing
            FROM language_results
            WHERE rung = :rung
            GROUP BY language
            """
        ),
        {"rung": rung},
    ).all()
    return ClipCounts(
        {row.language: row.n for row in rows},
        sum(row.labelled for row in rows),
        sum(row.agreeing for row in rows),
    )
