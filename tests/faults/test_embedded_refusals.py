"""What cannot work ends in one clear line that says what to do."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from services import embedded
from services.embedded import urls
from services.embedded.home import Home
from services.errors import TransientError, UsageError
from tests.support.disks import mounted
from tests.support.embedded import fast_stack, home, leftovers, made_home, settings_for

__all__ = ["home", "made_home"]

NOTHING_LISTENS = "127.0.0.1:9"


def refusal(home: Path, **changes: str | None) -> TransientError | UsageError:
    with (
        pytest.raises((TransientError, UsageError)) as caught,
        embedded.stack(settings_for(home, **changes)),
    ):
        pass
    assert caught.value.hint
    return caught.value


def test_an_unreachable_database_is_named_without_its_password(tmp_path: Path) -> None:
    url = f"postgresql://grader:hunter2@{NOTHING_LISTENS}/db"
    error = refusal(tmp_path / "home", database_url=url)
    assert error.reason == "databaseUnreachable"
    assert f"grader:***@{NOTHING_LISTENS}" in str(error)
    assert "hunter2" not in str(error)
    assert "TUBEGRADER_DATABASE_URL" in str(error.hint)
    assert leftovers(tmp_path) == []


def test_an_unreachable_redis_is_named_without_its_password(home: Path) -> None:
    error = refusal(home, redis_url=f"redis://:hunter2@{NOTHING_LISTENS}/0")
    assert error.reason == "redisUnreachable"
    assert "hunter2" not in str(error)
    assert "TUBEGRADER_REDIS_URL" in str(error.hint)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("database_url", "mysql://root@localhost/db"),
        ("database_url", "not an address"),
        ("redis_url", "http://localhost:6379"),
    ],
)
def test_an_address_of_something_else_is_refused(setting: str, value: str, home: Path) -> None:
    error = refusal(home, **{setting: value})
    assert f"TUBEGRADER_{setting.upper()}" in str(error)


def test_a_home_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    error = refusal(tmp_path / "file" / "home")
    assert "cannot write to the home" in str(error)
    assert "--home" in str(error.hint)


def test_a_home_of_another_user_is_refused(home: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make such a home")
    Home(home).create()
    os.chown(home / "run", 65534, 65534)
    error = refusal(home)
    assert "belongs to user nobody, not to root" in str(error)
    os.chown(home / "run", 0, 0)


def test_data_of_another_postgresql_is_left_alone(home: Path) -> None:
    (home / "postgres" / "PG_VERSION").write_text("16\n")
    error = refusal(home)
    assert "holds data of PostgreSQL 16, this is PostgreSQL 18" in str(error)
    assert (home / "postgres" / "PG_VERSION").read_text() == "16\n"


def test_a_folder_that_is_no_cluster_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "home" / "postgres").mkdir(parents=True)
    (tmp_path / "home" / "postgres" / "diary.txt").write_text("mine")
    error = refusal(tmp_path / "home")
    assert "is not a PostgreSQL data folder" in str(error)
    assert (tmp_path / "home" / "postgres" / "diary.txt").read_text() == "mine"


def test_damaged_data_shows_what_postgresql_says(home: Path) -> None:
    (home / "postgres" / "global" / "pg_control").write_bytes(b"\0" * 8192)
    error = refusal(home)
    assert error.reason == "postgresStart"
    assert "PANIC" in str(error) or "FATAL" in str(error)
    assert "postgres.log" in str(error.hint)


def test_a_schema_from_the_future_is_left_alone(home: Path) -> None:
    from tests.support.embedded import execute

    with fast_stack(home) as endpoints:
        execute(endpoints, "UPDATE alembic_version SET version_num = 'from2030'")
    error = refusal(home)
    assert "newer than this TubeGrader" in str(error)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", "30m") as folder:
        yield folder


def test_a_full_disk_is_refused_before_anything_is_written(small_disk: Path) -> None:
    error = refusal(small_disk / "home")
    assert "is full" in str(error)
    assert "MB are free" in str(error)
    assert list((small_disk / "home").glob("postgres*")) == []


def test_a_missing_wheel_says_how_to_get_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if "pgserver" in n else find(n, *a)
    )
    error = refusal(home)
    assert "tubegrader[embedded]" in str(error.hint)
    shutil.rmtree(home / "run")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p@h:5/d?x=1", "postgresql://u:***@h:5/d?x=1"),
        ("redis://:p%40x@h:6/0", "redis://:***@h:6/0"),
        ("redis://h:6/0", "redis://h:6/0"),
        ("s3://bucket/prefix", "s3://bucket/prefix"),
        ("redis://[broken:p@h", "(not an address)"),
    ],
)
def test_passwords_are_not_shown(url: str, shown: str) -> None:
    assert urls.redacted(url) == shown
