"""``tubegrader migrate`` sets up the roles of an installation, old or new, and needs no more."""

from pathlib import Path

import psycopg
import pytest

from db.grants import Standing, set_up, standing
from db.migrate import downgrade, upgrade
from services.embedded import Endpoints, doctor, postgres
from services.embedded.checks import Level
from services.embedded.home import Home
from tests.support.cli import tubegrader_started
from tests.support.embedded import execute, fast_stack, home, made_home, settings_for

__all__ = ["home", "made_home"]
NOWHERE = {
    "TUBEGRADER_REDIS_URL": "redis://127.0.0.1:1/0",
    "TUBEGRADER_STORAGE_URL": "s3://nowhere",
}


def by_tcp(there: Endpoints, role: str, password: str = "") -> str:
    """The address of a role that is asked for a password (it is still the socket)."""
    assert there.owner_url is not None
    return there.owner_url.replace("//tubegrader@", f"//{role}:{password}@")


@pytest.fixture
def asked_for_passwords(home: Path):
    """A server that lets in its owner as before, and everybody else by password, as Compose's."""
    rules = home / "postgres/pg_hba.conf"
    rules.write_text("local all tubegrader trust\nlocal all all scram-sha-256\n")
    with fast_stack(home) as there:
        yield there


def test_migrate_needs_the_database_alone(home: Path, tmp_path: Path):
    with fast_stack(home) as there:
        downgrade(str(there.owner_url), "0014")
        env = {"TUBEGRADER_HOME": str(tmp_path / "own"), **NOWHERE}
        done = tubegrader_started(
            "migrate", env={**env, "TUBEGRADER_DATABASE_URL": str(there.owner_url)}
        )
        assert (done.code, done.err) == (0, "")
        assert execute(there, "SELECT count(*) FROM pg_proc WHERE proname = 'grant_roles'") == [
            (1,)
        ]


def test_migrate_of_a_home_starts_no_redis(home: Path):
    before = Home(home).log("redis").stat().st_mtime
    done = tubegrader_started("migrate", env={"TUBEGRADER_HOME": str(home)})
    assert done.code == 0
    assert Home(home).log("redis").stat().st_mtime == before
    assert postgres.running(Home(home)) is None


def test_migrate_gives_the_roles_the_passwords_of_their_addresses(
    asked_for_passwords: Endpoints, tmp_path: Path
):
    there = asked_for_passwords
    secret = tmp_path / "owner"
    secret.write_text(f"{there.owner_url}\n")
    for password in ("first", "second"):
        env = {
            "TUBEGRADER_HOME": str(tmp_path / "own"),
            "TUBEGRADER_OWNER_URL_FILE": str(secret),
            "TUBEGRADER_DATABASE_URL": by_tcp(there, "tubegrader_app", password),
            "TUBEGRADER_ANALYST_URL": by_tcp(there, "tubegrader_analyst", f"{password}-too"),
            **NOWHERE,
        }
        done = tubegrader_started("migrate", env=env)
        assert (done.code, done.err) == (0, "")
        for setting in ("TUBEGRADER_DATABASE_URL", "TUBEGRADER_ANALYST_URL"):
            with psycopg.connect(env[setting].replace("+psycopg", "")) as connection:
                connection.execute("SELECT count(*) FROM scored_videos")


def test_an_installation_of_one_role_goes_on_and_is_told_of_the_others(home: Path, tmp_path: Path):
    with fast_stack(home) as there:
        downgrade(str(there.owner_url), "0015")
        env = {"TUBEGRADER_HOME": str(tmp_path / "own")}
        env["TUBEGRADER_DATABASE_URL"] = str(there.owner_url)
        assert tubegrader_started("channels", env=env).code == 0
        found = {
            url: next(
                check
                for check in doctor.checks(settings_for(tmp_path / "own", database_url=url))
                if check.name == "role"
            )
            for url in (str(there.owner_url), there.database_url)
        }
        as_owner, as_app = found.values()
        assert (as_owner.level, as_app.level) == (Level.WARN, Level.OK)
        assert "a superuser" in as_owner.found
        assert "docs/operations/security.md" in str(as_owner.remedy)
        assert "tubegrader_app" in as_app.found


def test_a_server_that_a_dump_was_restored_into_gets_its_roles(home: Path):
    with fast_stack(home) as there:
        for role in ("tubegrader_app", "tubegrader_analyst"):
            execute(there, f"DROP OWNED BY {role}")
            execute(there, f"DROP ROLE {role}")
    with (
        fast_stack(home) as there,
        psycopg.connect(there.database_url.replace("+psycopg", "")) as connection,
    ):
        assert connection.execute("SELECT current_user").fetchone() == ("tubegrader_app",)
        connection.execute("SELECT count(*) FROM jobs")


def test_an_owner_who_may_make_no_roles_goes_on_until_an_administrator_made_them(home: Path):
    with fast_stack(home) as there:
        for role in ("tubegrader_app", "tubegrader_analyst"):
            execute(there, f"DROP OWNED BY {role}")
            execute(there, f"DROP ROLE {role}")
        execute(there, "CREATE ROLE plain LOGIN")
        execute(there, "CREATE DATABASE theirs OWNER plain")
        url = str(there.owner_url).replace("//tubegrader@/tubegrader", "//plain@/theirs")
        upgrade(url)
        set_up(url, {})
        assert execute(
            there, "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'tubegrader_%'"
        ) == [(0,)]
        execute(there, "CREATE ROLE tubegrader_app LOGIN")
        set_up(url, {})
        app = url.replace("//plain@", "//tubegrader_app@")
        assert standing(app) == Standing("tubegrader_app", superuser=False, owner=False)
        with psycopg.connect(app.replace("+psycopg", "")) as connection:
            connection.execute("DELETE FROM jobs")
            connection.execute(
                "SELECT make_partition('video_snapshots', 'video_snapshots_9', '2099-01-01', "
                "'2099-02-01')"
            )
