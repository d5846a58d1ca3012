"""A new revision continues the numbers, holds what the models have more, and runs."""

import importlib.util

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from db.base import Base
from db.migrate import head_revision
from migrations.__main__ import write_revision
from services.context import Context
from tests.support.databases import owned, owner_engine


def address(context: Context) -> str:
    return owned(str(context.settings.database_url))


@pytest.fixture
def toy():
    table = sa.Table(
        "toys",
        Base.metadata,
        sa.Column("toy_id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False, unique=True),
    )
    yield table
    Base.metadata.remove(table)


def test_it_makes_and_removes_what_the_models_have_more(context: Context, toy, tmp_path):
    path = write_revision(address(context), "toys to play with.", tmp_path)
    number = f"{int(head_revision()) + 1:04}"
    assert path.name == f"{number}_toys_to_play_with.py"
    text = path.read_text()
    assert text.startswith(
        f'"""Toys to play with.\n\nRevision ID: {number}\nRevises: {head_revision()}\n"""\n\nimport'
    )
    assert "###" not in text
    spec = importlib.util.spec_from_file_location("made", path)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    with owner_engine(context) as engine, engine.begin() as connection:
        with Operations.context(MigrationContext.configure(connection)):
            made.upgrade()
            assert sa.inspect(connection).has_table("toys")
            made.downgrade()
        sa.inspect(connection).clear_cache()
        assert not sa.inspect(connection).has_table("toys")


def test_where_nothing_differs_it_does_nothing_yet(context: Context, tmp_path):
    path = write_revision(address(context), "rows of old", tmp_path)
    assert path.read_text().count("    pass\n") == 2
    assert "import" not in path.read_text()
