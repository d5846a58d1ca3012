"""Where embeddings of pictures lie: in packs in the object store, and this is their index.

There are as many rows as pictures times recipes, so a row is as narrow as it can be: a hash is its
32 bytes, and what all rows of a pack or a recipe have in common stands there once.
"""

from datetime import datetime

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from db.base import SHA256_PATTERN, Base, Sha256


class EmbeddingRecipe(Base):
    """How a picture became numbers: with which weights, and how it was prepared for them."""

    __tablename__ = "embedding_recipes"
    __table_args__ = (
        UniqueConstraint("recipe", "width"),
        CheckConstraint("recipe <> '' AND width > 0", name="whole"),
    )

    recipe_id: Mapped[int] = mapped_column(SmallInteger, Identity(), primary_key=True)
    recipe: Mapped[str]
    width: Mapped[int] = mapped_column(Integer, comment="half floats a picture")
    used_at: Mapped[datetime] = mapped_column(
        comment="when it was last asked for, to the day; long unused ones are purged"
    )


class EmbeddingPack(Base):
    """An object with the vectors of some pictures, all by one recipe."""

    __tablename__ = "embedding_packs"
    __table_args__ = (
        UniqueConstraint("pack_sha256"),
        CheckConstraint(f"pack_sha256 ~ '{SHA256_PATTERN}'", name="sha256_form"),
        CheckConstraint("n_rows > 0 AND first_byte > 0 AND byte_size > 0", name="sizes_positive"),
        Index("ix_embedding_packs_recipe_id", "recipe_id"),
    )

    pack_id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    pack_sha256: Mapped[Sha256]
    recipe_id: Mapped[int] = mapped_column(
        SmallInteger, ForeignKey("embedding_recipes.recipe_id", ondelete="CASCADE")
    )
    n_rows: Mapped[int] = mapped_column(Integer, comment="when it was written; alive may be fewer")
    first_byte: Mapped[int] = mapped_column(Integer, comment="where its first vector begins")
    byte_size: Mapped[int] = mapped_column(Integer)
    stored_at: Mapped[datetime]


class Embedding(Base):
    """Where the vector of one picture lies: in which pack, as which row."""

    __tablename__ = "embeddings"
    __table_args__ = (
        PrimaryKeyConstraint("picture", "recipe_id"),
        # A few bytes a row: rows of a pack are one entry with a list.
        Index("ix_embeddings_pack_id", "pack_id"),
        CheckConstraint("octet_length(picture) = 32", name="picture_sha256"),
    )

    # In this order no byte is lost to alignment.
    pack_id: Mapped[int] = mapped_column(
        Integer, ForeignKey("embedding_packs.pack_id", ondelete="CASCADE")
    )
    checksum: Mapped[int] = mapped_column(
        Integer, comment="CRC-32 of the picture's hash and its vector, as a signed number"
    )
    recipe_id: Mapped[int] = mapped_column(SmallInteger, autoincrement=False)
    pack_row: Mapped[int] = mapped_column(SmallInteger)
    picture: Mapped[bytes] = mapped_column(LargeBinary, comment="the picture's SHA-256")
