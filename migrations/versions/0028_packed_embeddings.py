"""Embeddings of pictures lie in packs in the object store; here is where each of them is.

New tables only, so nobody waits. What earlier releases kept in the home is taken over by the next
training or scoring there.

Revision ID: 0028
Revises: 0027
"""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "embedding_recipes",
        sa.Column("recipe_id", sa.SmallInteger(), sa.Identity(), nullable=False),
        sa.Column("recipe", sa.Text(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False, comment="half floats a picture"),
        sa.Column(
            "used_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when it was last asked for, to the day; long unused ones are purged",
        ),
        sa.CheckConstraint("recipe <> '' AND width > 0", name=op.f("ck_embedding_recipes_whole")),
        sa.PrimaryKeyConstraint("recipe_id", name=op.f("pk_embedding_recipes")),
        sa.UniqueConstraint("recipe", "width", name=op.f("uq_embedding_recipes_recipe_width")),
    )
    op.create_table(
        "embedding_packs",
        sa.Column("pack_id", sa.Integer(), sa.Identity(), nullable=False),
        sa.Column("pack_sha256", sa.Text(), nullable=False),
        sa.Column("recipe_id", sa.SmallInteger(), nullable=False),
        sa.Column(
            "n_rows",
            sa.Integer(),
            nullable=False,
            comment="when it was written; alive may be fewer",
        ),
        sa.Column(
            "first_byte", sa.Integer(), nullable=False, comment="where its first vector begins"
        ),
        sa.Column("byte_size", sa.Integer(), nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "pack_sha256 ~ '^[0-9a-f]{64}$'", name=op.f("ck_embedding_packs_sha256_form")
        ),
        sa.CheckConstraint(
            "n_rows > 0 AND first_byte > 0 AND byte_size > 0",
            name=op.f("ck_embedding_packs_sizes_positive"),
        ),
        sa.ForeignKeyConstraint(
            ["recipe_id"],
            ["embedding_recipes.recipe_id"],
            name=op.f("fk_embedding_packs_recipe_id_embedding_recipes"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("pack_id", name=op.f("pk_embedding_packs")),
        sa.UniqueConstraint("pack_sha256", name=op.f("uq_embedding_packs_pack_sha256")),
    )
    op.create_index("ix_embedding_packs_recipe_id", "embedding_packs", ["recipe_id"])
    op.create_table(
        "embeddings",
        sa.Column("pack_id", sa.Integer(), nullable=False),
        sa.Column(
            "checksum",
            sa.Integer(),
            nullable=False,
            comment="CRC-32 of the picture's hash and its vector, as a signed number",
        ),
        sa.Column("recipe_id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("pack_row", sa.SmallInteger(), nullable=False),
        sa.Column("picture", sa.LargeBinary(), nullable=False, comment="the picture's SHA-256"),
        sa.CheckConstraint("octet_length(picture) = 32", name=op.f("ck_embeddings_picture_sha256")),
        sa.ForeignKeyConstraint(
            ["pack_id"],
            ["embedding_packs.pack_id"],
            name=op.f("fk_embeddings_pack_id_embedding_packs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("picture", "recipe_id", name=op.f("pk_embeddings")),
    )
    op.create_index("ix_embeddings_pack_id", "embeddings", ["pack_id"])


def downgrade() -> None:
    op.drop_table("embeddings")
    op.drop_table("embedding_packs")
    op.drop_table("embedding_recipes")
