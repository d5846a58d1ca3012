"""Which pack holds the embedding of which picture."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import CursorResult, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, INTEGER, SMALLINT, insert
from sqlalchemy.orm import Session

from db.models import EmbeddingPack

A_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Pack:
    """An object that holds vectors of ``width`` numbers, one after the other from a byte on."""

    pack_id: int
    sha256: str
    n_rows: int
    first_byte: int
    byte_size: int
    width: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a picture's vector lies."""

    picture: bytes
    pack_id: int
    row: int
    checksum: int


def recipe_id(session: Session, recipe: str, width: int, *, now: datetime) -> int:
    """Return a recipe's number, giving it one if it has none; notes that it is in use."""
    found = session.execute(
        text(
            "SELECT recipe_id, used_at FROM embedding_recipes WHERE (recipe, width) = (:recipe, :w)"
        ),
        {"recipe": recipe, "w": width},
    ).one_or_none()
    if found is not None and found.used_at > now - A_DAY:
        return int(found.recipe_id)
    statement = text(
        """
        INSERT INTO embedding_recipes (recipe, width, used_at) VALUES (:recipe, :w, :now)
        ON CONFLICT (recipe, width)
        DO UPDATE SET used_at = greatest(embedding_recipes.used_at, excluded.used_at)
        RETURNING recipe_id
        """
    )
    return int(session.execute(statement, {"recipe": recipe, "w": width, "now": now}).scalar_one())


def places(session: Session, recipe: int, pictures: Sequence[bytes]) -> list[Place]:
    """Return where the vectors of pictures lie, of those that are kept."""
    # One value of many bytes: an array of them would be written out as text, in which most of the
    # time would go.
    found = session.execute(
        text(
            """
            SELECT e.picture, e.pack_id, e.pack_row, e.checksum
            FROM generate_series(0, CAST(:n AS int) - 1) i
            JOIN embeddings e ON e.recipe_id = :recipe
              AND e.picture = substr(CAST(:pictures AS bytea), 32 * i + 1, 32)
            """
        ),
        {"recipe": recipe, "n": len(pictures), "pictures": b"".join(pictures)},
    )
    return [Place(*row) for row in found]


def places_in(session: Session, packs: Collection[int]) -> list[Place]:
    """Return all that is alive in packs, in the order in which it lies there."""
    found = session.execute(
        text(
            """
            SELECT picture, pack_id, pack_row, checksum FROM embeddings
            WHERE pack_id = ANY(:packs) ORDER BY pack_id, pack_row
            """
        ),
        {"packs": list(packs)},
    )
    return [Place(*row) for row in found]


_PACKS = """
    SELECT pack_id, pack_sha256, n_rows, first_byte, byte_size, width
    FROM embedding_packs JOIN embedding_recipes USING (recipe_id)
"""


def packs(session: Session, pack_ids: Collection[int]) -> dict[int, Pack]:
    """Return packs by their number."""
    found = session.execute(text(f"{_PACKS} WHERE pack_id = ANY(:ids)"), {"ids": list(pack_ids)})
    return {row.pack_id: Pack(*row) for row in found}


def packs_after(session: Session, after: int, *, limit: int) -> list[Pack]:
    """Return the next packs by their number."""
    found = session.execute(
        text(f"{_PACKS} WHERE pack_id > :after ORDER BY pack_id LIMIT :limit"),
        {"after": after, "limit": limit},
    )
    return [Pack(*row) for row in found]


def bytes_of(session: Session, recipe: int) -> int:
    """Return how large all packs of a recipe are together."""
    statement = text(
        "SELECT coalesce(sum(byte_size), 0) FROM embedding_packs WHERE recipe_id = :recipe"
    )
    return int(session.execute(statement, {"recipe": recipe}).scalar_one())


def add_pack(
    session: Session,
    recipe: int,
    *,
    sha256: str,
    n_rows: int,
    first_byte: int,
    byte_size: int,
    now: datetime,
) -> int:
    """Note a pack that is in the store; return its number, the old one if it was there."""
    values = {
        "recipe_id": recipe,
        "pack_sha256": sha256,
        "n_rows": n_rows,
        "first_byte": first_byte,
        "byte_size": byte_size,
        "stored_at": now,
    }
    statement = insert(EmbeddingPack).values(values)
    again = statement.on_conflict_do_update(
        index_elements=["pack_sha256"], set_={"stored_at": statement.excluded.stored_at}
    )
    return int(session.execute(again.returning(EmbeddingPack.pack_id)).scalar_one())


_NEW = "unnest(:pictures, :rows, :checksums) AS new (picture, pack_row, checksum)"
_TYPES = (
    bindparam("pictures", type_=ARRAY(BYTEA)),
    bindparam("rows", type_=ARRAY(SMALLINT)),
    bindparam("checksums", type_=ARRAY(INTEGER)),
)


def add(
    session: Session,
    recipe: int,
    pack_id: int,
    pictures: Sequence[bytes],
    checksums: Sequence[int],
    *,
    instead: Collection[int] = (),
) -> int:
    """Say where the vectors of pictures lie: in a pack, in this order.

    Args:
        session: The unit of work.
        recipe: The recipe's number.
        pack_id: The pack's.
        pictures: The hashes of the pictures.
        checksums: Of each.
        instead: Packs that turned out to be lost or damaged: what lies there gives way. Otherwise
            whoever came first stays.

    Returns:
        Of how many pictures it is said now.
    """
    # In one order, so that two who add the same wait for each other and do not deadlock.
    statement = text(
        f"""
        INSERT INTO embeddings AS e (pack_id, checksum, recipe_id, pack_row, picture)
        SELECT :pack, checksum, :recipe, pack_row, picture FROM {_NEW} ORDER BY picture
        ON CONFLICT (picture, recipe_id) DO UPDATE
        SET pack_id = excluded.pack_id, checksum = excluded.checksum, pack_row = excluded.pack_row
        WHERE e.pack_id = ANY(:instead)
        """
    ).bindparams(*_TYPES)
    values = {
        "pack": pack_id,
        "recipe": recipe,
        "pictures": list(pictures),
        "rows": list(range(len(pictures))),
        "checksums": list(checksums),
        "instead": list(instead),
    }
    return _count(session.execute(statement, values))


def move(
    session: Session,
    recipe: int,
    pack_id: int,
    pictures: Sequence[bytes],
    *,
    out_of: Collection[int],
) -> int:
    """Say that vectors lie in another pack now, in this order; those that went meanwhile stay gone.

    Returns:
        How many were moved.
    """
    statement = text(
        f"""
        UPDATE embeddings e SET pack_id = :pack, pack_row = new.pack_row
        FROM (SELECT picture, pack_row FROM {_NEW} ORDER BY picture) new
        WHERE e.picture = new.picture AND e.recipe_id = :recipe AND e.pack_id = ANY(:out_of)
        """
    ).bindparams(*_TYPES)
    values = {
        "pack": pack_id,
        "recipe": recipe,
        "pictures": list(pictures),
        "rows": list(range(len(pictures))),
        "checksums": [0] * len(pictures),
        "out_of": list(out_of),
    }
    return _count(session.execute(statement, values))


def forget(session: Session, pictures: Collection[str]) -> int:
    """Forget the embeddings of pictures, by their hashes in hexadecimal; return how many."""
    statement = text("DELETE FROM embeddings WHERE picture = ANY(:pictures)").bindparams(
        bindparam("pictures", type_=ARRAY(BYTEA))
    )
    names = [bytes.fromhex(name) for name in pictures]
    return _count(session.execute(statement, {"pictures": names}))


def _count(result: Any) -> int:
    return cast("CursorResult[Any]", result).rowcount
