"""What is to be let go of packs of embeddings, and which are worth writing anew."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import CursorResult, text
from sqlalchemy.orm import Session

from db.queries.learning.embeddings import Pack

FIRST = b""
"""Before every picture."""


@dataclass(frozen=True)
class Worn:
    """A pack of which little is left, or that never held much.

    Attributes:
        pack: The pack.
        recipe_id: What its vectors were made by,
        recipe: and its name.
        alive: How many of its vectors are spoken of.
    """

    pack: Pack
    recipe_id: int
    recipe: str
    alive: int


def unused_recipes(session: Session, *, before: datetime) -> list[tuple[int, str]]:
    """Return number and name of the recipes that nothing has asked for since a moment."""
    found = session.execute(
        text("SELECT recipe_id, recipe FROM embedding_recipes WHERE used_at < :before ORDER BY 1"),
        {"before": before},
    )
    return [(number, recipe) for number, recipe in found]


def count_of(session: Session, recipes: Collection[int]) -> int:
    """Count the embeddings by recipes."""
    statement = text(
        """
        SELECT count(*) FROM embeddings JOIN embedding_packs p USING (pack_id)
        WHERE p.recipe_id = ANY(:recipes)
        """
    )
    return int(session.execute(statement, {"recipes": list(recipes)}).scalar_one())


def delete_packs_of(
    session: Session, recipe: int, *, before: datetime, packs: int
) -> tuple[list[str], int]:
    """Delete some packs of a recipe that is not used, with their embeddings.

    Returns:
        The packs' objects, and how many embeddings went.
    """
    ids = session.scalars(
        text(
            """
            SELECT pack_id FROM embedding_packs JOIN embedding_recipes r USING (recipe_id)
            WHERE recipe_id = :recipe AND r.used_at < :before
            ORDER BY pack_id LIMIT :packs FOR UPDATE
            """
        ),
        {"recipe": recipe, "before": before, "packs": packs},
    ).all()
    gone = session.execute(
        text("DELETE FROM embeddings WHERE pack_id = ANY(:ids)"), {"ids": list(ids)}
    )
    objects = session.scalars(
        text("DELETE FROM embedding_packs WHERE pack_id = ANY(:ids) RETURNING pack_sha256"),
        {"ids": list(ids)},
    )
    return list(objects), _count(gone)


def delete_recipe(session: Session, recipe: int, *, before: datetime) -> None:
    """Delete a recipe that is not used and has no packs any more."""
    session.execute(
        text(
            """
            DELETE FROM embedding_recipes r WHERE recipe_id = :recipe AND used_at < :before
              AND NOT EXISTS (SELECT FROM embedding_packs p WHERE p.recipe_id = r.recipe_id)
            """
        ),
        {"recipe": recipe, "before": before},
    )


_DEAD = """
    FROM embeddings e
    WHERE e.picture > :after AND e.picture <= :last
      AND NOT EXISTS (
        SELECT FROM thumbnails t
        WHERE t.thumbnail_sha256 = encode(e.picture, 'hex') AND t.purged_at IS NULL
      )
      AND EXISTS (
        SELECT FROM embedding_packs p WHERE p.pack_id = e.pack_id AND p.stored_at < :before
      )
"""


def dead(
    session: Session, *, after: bytes, before: datetime, pictures: int, delete: bool
) -> tuple[bytes | None, int]:
    """Count or delete embeddings of the next pictures, of those whose bytes are not kept.

    Args:
        session: The unit of work.
        after: The last picture that was looked at; ``FIRST`` for none.
        before: In packs that are younger pictures may be about to be recorded.
        pictures: How many to look at.
        delete: Whether they are deleted.

    Returns:
        The last picture that was looked at now, None if there was none left; and how many.
    """
    # There is no max() of bytea.
    last = session.scalars(
        text(
            """
            SELECT picture FROM (
                SELECT picture FROM embeddings WHERE picture > :after ORDER BY picture LIMIT :n
            ) next ORDER BY picture DESC LIMIT 1
            """
        ),
        {"after": after, "n": pictures},
    ).one_or_none()
    if last is None:
        return None, 0
    values = {"after": after, "last": last, "before": before}
    if delete:
        return last, _count(session.execute(text(f"DELETE {_DEAD}"), values))
    return last, int(session.execute(text(f"SELECT count(*) {_DEAD}"), values).scalar_one())


def worn(session: Session, *, most_rows: int, most_bytes: int) -> list[Worn]:
    """Return the packs that hold less than half of what they did, or of what a pack holds.

    Args:
        session: The unit of work.
        most_rows: Vectors that a pack holds at most;
        most_bytes: and their bytes, whichever is less.

    Returns:
        Them by recipe and age. Alive are counted in the index alone.
    """
    found = session.execute(
        text(
            """
            SELECT pack_id, pack_sha256, n_rows, first_byte, byte_size, width,
                   recipe_id, recipe, coalesce(alive, 0) AS alive
            FROM embedding_packs JOIN embedding_recipes USING (recipe_id)
            LEFT JOIN (SELECT pack_id, count(*) AS alive FROM embeddings GROUP BY pack_id) a
            USING (pack_id)
            WHERE 2 * coalesce(alive, 0)
                  < greatest(n_rows, least(:rows, greatest(1, :bytes / (2 * width))))
            ORDER BY recipe_id, pack_id
            """
        ),
        {"rows": most_rows, "bytes": most_bytes},
    )
    return [Worn(Pack(*row[:6]), row.recipe_id, row.recipe, row.alive) for row in found]


def delete_empty(session: Session, pack_ids: Collection[int], *, before: datetime) -> list[str]:
    """Delete those of the packs that hold nothing any more; return their objects.

    Args:
        session: The unit of work.
        pack_ids: Packs.
        before: Of younger ones rows may be about to speak.
    """
    return list(
        session.scalars(
            text(
                """
                DELETE FROM embedding_packs p WHERE pack_id = ANY(:ids) AND stored_at < :before
                  AND NOT EXISTS (SELECT FROM embeddings e WHERE e.pack_id = p.pack_id)
                RETURNING pack_sha256
                """
            ),
            {"ids": list(pack_ids), "before": before},
        )
    )


def forget_in(session: Session, pack_ids: Collection[int]) -> int:
    """Forget embeddings in packs that are lost or damaged; return how many."""
    statement = text("DELETE FROM embeddings WHERE pack_id = ANY(:ids)")
    return _count(session.execute(statement, {"ids": list(pack_ids)}))


def _count(result: Any) -> int:
    return cast("CursorResult[Any]", result).rowcount
