"""Tokens: shown once, kept as a hash, needed from the first one on; sessions of people."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from services import tokens
from services.api.access import WRONG_PER_MINUTE
from services.api.server import is_loopback, listen, require_token
from services.api.sessions import COOKIE as PREFIX
from services.context import Context
from services.errors import NotFoundError, UsageError
from tests.support.api import HOST, api_process, bearer, client_of, environment, with_settings
from tests.support.deploy import SERVICES

JOBS = "/api/v1/jobs"
HTML = {"Accept": "text/html"}
COOKIE = f"{PREFIX}_8765"
OURS = {"Origin": HOST, "Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def elsewhere(context: Context) -> Iterator[TestClient]:
    """A client of an api that others reach too."""
    with (
        with_settings(context, api_address="0.0.0.0", api_hosts="tube.example") as there,
        client_of(there, base_url="http://tube.example") as made,
    ):
        yield made


def sign_in(client: TestClient, token: str, **form: str) -> str:
    answer = client.post("/sign-in", data={"token": token, **form}, headers=OURS)
    assert answer.status_code == 303, answer.text
    return str(answer.headers["set-cookie"])


def test_of_a_token_only_the_hash_is_kept(context: Context, admin: str) -> None:
    with context.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT t::text FROM api_tokens t").scalars().all()
    assert len(rows) == 1
    assert admin not in rows[0]
    assert tokens.digest(admin) in rows[0]
    [view] = tokens.listed(context)
    assert admin not in str(view.as_json())
    assert (view.scope, view.state, view.used_at) == ("admin", "in force", None)


def test_without_any_token_this_machine_is_let_in_and_with_one_nobody_without(
    context: Context, client: TestClient
) -> None:
    assert client.get(JOBS).status_code == 200
    token = tokens.create(context, "ci")
    refused = client.get(JOBS)
    assert (refused.status_code, refused.json()["reason"]) == (401, "tokenNeeded")
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert client.get(JOBS, headers=bearer(token)).status_code == 200
    assert client.get("/api/v1/whoami", headers=bearer(token)).json() == {
        "name": "ci",
        "scope": "read",
    }
    # One that ended does not open the door to everybody again.
    tokens.revoke(context, "ci")
    assert client.get(JOBS).status_code == 401
    assert client.get(JOBS, headers=bearer(token)).status_code == 401
    tokens.revoke(context, "ci", forget=True)
    assert client.get(JOBS).status_code == 200


def test_a_token_ends_with_its_time(context: Context, client: TestClient) -> None:
    token = tokens.create(context, "short", lifetime=timedelta(hours=1))
    assert client.get(JOBS, headers=bearer(token)).status_code == 200
    began = context.clock()
    context.clock = lambda: began + timedelta(hours=1, seconds=1)
    assert client.get(JOBS, headers=bearer(token)).status_code == 401
    assert tokens.listed(context)[0].state == "expired"


def test_the_last_use_is_kept_to_the_hour(context: Context, client: TestClient, admin: str) -> None:
    client.get(JOBS, headers=bearer(admin))
    used = tokens.listed(context)[0].used_at
    assert used is not None
    assert (used.minute, used.second) == (0, 0)
    assert context.clock() - used < timedelta(hours=1, minutes=1)


@pytest.mark.parametrize(
    "shown", ["", "Bearer", "Bearer x", "Basic YTpi", "Bearer \xff\xfe", "Bearer " + "a" * 9_000]
)
def test_what_is_no_token_lets_nobody_in(client: TestClient, admin: str, shown: str) -> None:
    headers = {"Authorization": shown.encode("latin-1")}
    assert client.get(JOBS, headers=headers).status_code == 401  # type: ignore[arg-type]


def test_names_are_taken_once_and_free_again_when_revoked(context: Context, admin: str) -> None:
    for name, scope in (("admin", "read"), ("", "read"), ("a\nb", "read"), ("x", "all")):
        with pytest.raises(UsageError):
            tokens.create(context, name, scope=scope)
    tokens.revoke(context, "admin")
    tokens.create(context, "admin")
    assert [view.state for view in tokens.listed(context)] == ["revoked", "in force"]
    with pytest.raises(NotFoundError):
        tokens.revoke(context, "nobody")


def test_elsewhere_nothing_is_shown_before_there_is_a_token(
    context: Context, elsewhere: TestClient
) -> None:
    assert elsewhere.get(JOBS).status_code == 401
    assert elsewhere.get("/healthz").status_code == 200
    assert elsewhere.get(JOBS, headers={"Host": "evil.example"}).status_code == 421
    token = tokens.create(context, "anna")
    assert elsewhere.get(JOBS, headers=bearer(token)).status_code == 200


def test_another_address_is_not_listened_on_without_a_token(context: Context) -> None:
    require_token(context)
    with with_settings(context, api_address="0.0.0.0") as open_to_all:
        with pytest.raises(UsageError, match="no token") as caught:
            require_token(open_to_all)
        assert caught.value.reason == "tokenNeeded"
        tokens.create(context, "old")
        tokens.revoke(context, "old")
        with pytest.raises(UsageError):
            require_token(open_to_all)
        tokens.create(context, "new")
        require_token(open_to_all)
    with with_settings(context, api_address="::", api_admin_token=SecretStr("x" * 32)) as by_file:
        require_token(by_file)
    with pytest.raises(UsageError, match="no IP address"):
        is_loopback("tube.example")
    with listen("127.0.0.1", 0) as first, listen("127.0.0.1", first.getsockname()[1]) as second:
        assert first.getsockname() != second.getsockname()


def test_the_process_refuses_another_address_in_words(context: Context) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.api"],
        env=environment(context, TUBEGRADER_API_ADDRESS="0.0.0.0"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "tubegrader tokens create" in done.stdout + done.stderr


def test_a_token_of_the_settings_lets_in(context: Context) -> None:
    secret = "f" * 40
    with (
        with_settings(context, api_admin_token=SecretStr(secret)) as made,
        client_of(made) as client,
    ):
        assert client.get(JOBS).status_code == 401
        assert client.get(JOBS, headers=bearer(secret)).status_code == 200
        sign_in(client, secret)
        assert client.get("/jobs", headers=HTML).status_code == 200


def test_people_sign_in_once_and_out_again(client: TestClient, admin: str) -> None:
    asked = client.get("/channels?tag=a", headers=HTML)
    assert (asked.status_code, asked.headers["location"]) == (
        303,
        "/sign-in?next=%2Fchannels%3Ftag%3Da",
    )
    assert client.get("/sign-in", headers=HTML).status_code == 200
    wrong = client.post("/sign-in", data={"token": "x"}, headers=OURS)
    assert wrong.status_code == 401
    assert "set-cookie" not in wrong.headers
    cookie = sign_in(client, admin, next="/channels?tag=a")
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    page = client.get("/", headers=HTML)
    assert page.status_code == 200
    assert "Sign out" in page.text
    kept = str(client.cookies[COOKIE])
    assert client.post("/sign-out", headers=OURS).status_code == 303
    # Also for whoever has kept the cookie.
    client.cookies.set(COOKIE, kept)
    assert client.get("/jobs", headers=HTML).status_code == 303


@pytest.mark.parametrize("other", ['prefs={"x":1}', "a b=1", "foo", "=", 'a="\\', "\xff=\xff"])
def test_cookies_of_other_programs_on_the_host_take_no_session(
    client: TestClient, admin: str, other: str
) -> None:
    sign_in(client, admin)
    kept = f"{COOKIE}={client.cookies[COOKIE]}"
    client.cookies.clear()
    for cookies in (f"{other}; {kept}", f"{kept};{other}", f"{PREFIX}=00; {other}; {kept}"):
        headers = {"Cookie": cookies.encode("latin-1")}
        assert client.get(JOBS, headers=headers).status_code == 200, cookies  # type: ignore[arg-type]


def test_homes_on_two_ports_do_not_sign_each_other_out(context: Context, admin: str) -> None:
    with client_of(context) as one, client_of(context, base_url="http://127.0.0.1:8766") as two:
        sign_in(one, admin)
        two.cookies = one.cookies  # as a browser has them
        two.post("/sign-in", data={"token": admin}, headers={"Sec-Fetch-Site": "same-origin"})
        two.post("/sign-out", headers={"Sec-Fetch-Site": "same-origin"})
        assert one.get(JOBS).status_code == 200


def test_a_quoted_cookie_costs_no_time(client: TestClient, admin: str) -> None:
    headers = {"Cookie": 'a="' + "\\" * 30_000 + '"'}
    began = time.process_time()
    for path in (JOBS, "/healthz", "/sign-in"):
        client.get(path, headers=headers)
    assert time.process_time() - began < 3


@pytest.mark.parametrize("after", ["//evil.example", "https://evil.example", "/\\evil.example", ""])
def test_signing_in_leads_to_no_other_site(client: TestClient, admin: str, after: str) -> None:
    form = {"token": admin, "next": after}
    assert client.post("/sign-in", data=form, headers=OURS).headers["location"] == "/"


def test_a_session_ends_with_its_token(context: Context, client: TestClient, admin: str) -> None:
    sign_in(client, admin)
    assert client.get(JOBS).status_code == 200
    tokens.revoke(context, "admin")
    assert client.get(JOBS).status_code == 401


def test_a_session_that_somebody_made_up_is_none(client: TestClient, admin: str) -> None:
    sign_in(client, admin)
    body, _, signature = str(client.cookies[COOKIE]).rpartition(".")
    for forged in (
        f"0.{body.partition('.')[2]}.{signature}",
        f"{body}.{'0' * 64}",
        f"{body}.",
        "x",
        "...",
        "\xff.\xff.\xff.\xff",
    ):
        client.cookies.clear()
        headers = {"Cookie": f"{COOKIE}={forged}".encode("latin-1")}
        assert client.get(JOBS, headers=headers).status_code == 401, forged  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
        (OURS, 201),
        ({"Origin": HOST}, 201),
    ],
)
def test_a_session_changes_something_for_our_own_pages_alone(
    client: TestClient, admin: str, headers: dict[str, str], status: int
) -> None:
    sign_in(client, admin)
    assert client.post(JOBS, json={"kind": "train"}, headers=headers).status_code == status


def test_behind_tls_the_session_goes_over_nothing_else(
    context: Context, elsewhere: TestClient
) -> None:
    token = tokens.create(context, "anna")
    answer = elsewhere.post(
        "/sign-in", data={"token": token}, headers={"Origin": "https://tube.example"}
    )
    assert "Secure" in answer.headers["set-cookie"].split("; ")


def test_one_token_asks_so_often_a_minute(context: Context) -> None:
    with with_settings(context, api_rate=3) as made, client_of(made) as client:
        one, two = (tokens.create(context, name) for name in ("one", "two"))
        found = [client.get(JOBS, headers=bearer(one)).status_code for _ in range(5)]
        assert found == [200, 200, 200, 429, 429]
        refused = client.get(JOBS, headers=bearer(one))
        assert 1 <= int(refused.headers["retry-after"]) <= 21
        assert refused.json()["reason"] == "tooManyRequests"
        assert client.get(JOBS, headers=bearer(two)).status_code == 200


def test_tokens_are_not_guessed(client: TestClient, admin: str) -> None:
    assert client.get(JOBS, headers=bearer(admin)).status_code == 200
    for _ in range(WRONG_PER_MINUTE):
        client.get(JOBS, headers=bearer("x"))
    assert client.get(JOBS, headers=bearer("x")).status_code == 429
    assert client.get(JOBS, headers=bearer(admin)).status_code == 200


def test_the_command_of_compose_serves_whoever_shows_its_token(
    context: Context, tmp_path: Path
) -> None:
    api, secret = SERVICES["api"], "a" * 40
    assert api["command"] == ["python", "-m", "services.api"]  # as the process below
    address = api["environment"]["TUBEGRADER_API_ADDRESS"]
    given = {"TUBEGRADER_API_ADDRESS": address, "TUBEGRADER_API_ADMIN_TOKEN": secret}
    with api_process(context, tmp_path, **given) as (url, _):
        with urllib.request.urlopen(f"{url}/readyz", timeout=60) as answer:
            assert answer.status == 200
        with pytest.raises(urllib.error.HTTPError, match="401") as refused:
            urllib.request.urlopen(f"{url}{JOBS}", timeout=60)
        refused.value.close()
        asked = urllib.request.Request(f"{url}{JOBS}", headers=bearer(secret))
        with urllib.request.urlopen(asked, timeout=60) as answer:
            assert json.load(answer) == {"items": [], "next": None}
