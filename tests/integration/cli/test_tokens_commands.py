"""``tubegrader tokens``, as typed: made and shown once, listed, revoked, forgotten."""

import json

import pytest
from typer.testing import CliRunner

from services import tokens
from services.cli.main import app
from services.context import Context
from services.errors import NotFoundError, UsageError
from tests.support.cli import settings_of


def test_a_token_from_its_making_to_its_end(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings_of(context).items():
        monkeypatch.setenv(name, value)

    def run(*words: str) -> str:
        result = CliRunner().invoke(app, ["tokens", *words])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    token = run("create", "anna", "--scope", "operate", "--expires", "90d").strip()
    found = tokens.find_by_hash(context, tokens.digest(token))
    assert found is not None
    assert found.scope == "operate"
    assert found.expires_at is not None
    assert (found.expires_at - found.created_at).days == 90
    made = json.loads(run("create", "ci", "--json"))
    assert made["scope"] == "read"
    assert tokens.find_by_hash(context, tokens.digest(made["token"])) is not None
    listed = run("list")
    assert "anna" in listed
    assert token not in listed
    with pytest.raises(UsageError, match="there is a token named ci"):
        run("create", "ci")
    assert run("revoke", "ci") == "ci is revoked\n"
    assert {t["name"]: t["state"] for t in json.loads(run("list", "--json"))} == {
        "anna": "in force",
        "ci": "revoked",
    }
    with pytest.raises(NotFoundError):
        run("revoke", "ci")
    gone = json.loads(run("revoke", "ci", "--forget", "--json"))
    assert gone == {"name": "ci", "revoked": True, "forgotten": True}
    assert [t["name"] for t in json.loads(run("list", "--json"))] == ["anna"]
