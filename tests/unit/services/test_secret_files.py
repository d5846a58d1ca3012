"""Secrets from files that a variable names."""

from pathlib import Path

import pytest

from services.errors import UsageError
from services.secret_files import FIELDS
from services.settings import Settings


def test_a_secret_may_lie_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    secret = tmp_path / "secret"
    secret.write_text("http://a secret of more than 32 letters \r\n")
    for name in FIELDS:
        monkeypatch.setenv(f"TUBEGRADER_{name.upper()}_FILE", str(secret))
    found = Settings()
    for name in FIELDS:
        value = getattr(found, name)
        assert (
            getattr(value, "get_secret_value", lambda v=value: v)()
            == "http://a secret of more than 32 letters "
        )


def test_every_setting_that_is_shown_to_nobody_may():
    hidden = {n for n, field in Settings.model_fields.items() if "Secret" in str(field.annotation)}
    assert hidden <= set(FIELDS) <= set(Settings.model_fields)


def test_the_variable_itself_wins_and_an_empty_file_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    empty = tmp_path / "empty"
    empty.write_text("\n")
    monkeypatch.setenv("TUBEGRADER_REDIS_URL_FILE", str(empty))
    assert Settings().redis_url is None
    empty.write_text("redis://of-the-file")
    monkeypatch.setenv("TUBEGRADER_REDIS_URL", "redis://of-the-variable")
    assert Settings().redis_url == "redis://of-the-variable"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TUBEGRADER_OWNER_URL_FILE", str(tmp_path / "gone"))
    with pytest.raises(UsageError, match=r"TUBEGRADER_OWNER_URL_FILE .*gone"):
        Settings()
