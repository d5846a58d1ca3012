"""What the views for analysts say of themselves: their comments in the database."""

from sqlalchemy import text
from sqlalchemy.orm import Session


def described(session: Session) -> list[tuple[str, str | None, str, str, str | None]]:
    """Return (view, its comment, column, its type, its comment) in order of name and place."""
    statement = text(
        """
        SELECT c.relname, obj_description(c.oid), a.attname,
            format_type(a.atttypid, a.atttypmod), col_description(c.oid, a.attnum)
        FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relkind = 'v' AND c.relnamespace = 'public'::regnamespace
        ORDER BY c.relname, a.attnum
        """
    )
    return [(row[0], row[1], row[2], row[3], row[4]) for row in session.execute(statement)]
