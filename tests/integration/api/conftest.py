"""A client of the pages and the HTTP API, on an empty installation."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from services import tokens
from services.context import Context
from tests.support.api import client_of


@pytest.fixture
def client(context: Context) -> Iterator[TestClient]:
    with client_of(context) as made:
        yield made


@pytest.fixture
def admin(context: Context) -> str:
    """A token that may do everything; with it every caller needs one."""
    return tokens.create(context, "admin", scope="admin")
