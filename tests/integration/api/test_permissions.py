"""The permission matrix: each route with each scope, and no route without a declared one."""

from collections import Counter

import pytest
from fastapi.testclient import TestClient

from services import tokens
from services.api.app import create_app, routes_of
from services.api.permissions import PERMISSIONS, PUBLIC, Permissions, declared
from services.context import Context
from services.settings import Settings
from tests.support.api import HOST, bearer

SCOPES = (PUBLIC, "read", "operate", "admin")
PARTS = {
    "channel": "@nobody",
    "video_id": "aaaaaaaaaaa",
    "sha256": "0" * 64,
    "job_id": "00000000",
    "name": "nothing",
    "model": "nothing",
    "task": "thumbnails",
    "action": "pause",
    "view": "nothing",
    "scope": "nothing",
    "clip_id": "0",
    "segment_id": "0",
}
NARROWER = {"POST /channels/{channel}/forget"}
"""Declared beside the route that they come by, which is for more."""


def filled(path: str) -> str:
    return path.format(**PARTS)


def test_each_route_is_declared_once_and_each_declaration_is_a_route() -> None:
    app = create_app(Context(Settings(database_url="postgresql+psycopg://nowhere")))
    counted = Counter(route for route, _ in declared())
    assert [route for route, n in counted.items() if n > 1] == []
    assert sorted(routes_of(app)) == sorted(counted.keys() - NARROWER)
    assert list(PERMISSIONS) == list(SCOPES)


def test_a_route_that_nobody_declared_is_for_admin() -> None:
    permissions = Permissions(["GET /new/{x}", "GET /jobs"])
    assert permissions.needed("GET", "/new/1") == "admin"
    assert permissions.needed("GET", "/jobs") == "read"
    assert permissions.needed("POST", "/channels/UCx/forget") == "admin"
    assert permissions.needed("POST", "/channels/UCx/pause") == "operate"
    assert permissions.needed("GET", "/nothing/here") == "read"


@pytest.mark.parametrize("scope", SCOPES)
def test_each_route_lets_through_whom_it_is_for_and_nobody_else(
    context: Context, client: TestClient, scope: str
) -> None:
    shown = tokens.create(context, "x", scope="read" if scope == PUBLIC else scope)
    headers = {"Origin": HOST}
    if scope != PUBLIC:
        headers |= bearer(shown)
    wrong = {}
    for route, needed in declared():
        method, _, path = route.partition(" ")
        answer = client.request(method, filled(path), headers=headers)
        refused = answer.status_code in (401, 403) and path != "/sign-in"
        if refused is (SCOPES.index(scope) >= SCOPES.index(needed)):
            wrong[route] = (needed, answer.status_code)
        if refused:
            assert answer.status_code == (401 if scope == PUBLIC else 403), route
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["reason"] in ("tokenNeeded", "scopeMissing")
    assert wrong == {}
