"""What each role may do: the owner changes tables, the app rows, the analyst nothing."""

from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from db.grants import Standing, set_up, standing
from db.partitions import ensure_partitions
from db.roles import ANALYST, APP
from services.context import Context
from services.embedded import schema
from services.errors import UsageError
from tests.support.databases import owned, owner_engine

FORBIDDEN = [
    "CREATE TABLE mine (n int)",
    "CREATE SCHEMA mine",
    "CREATE VIEW mine AS SELECT 1",
    "CREATE INDEX mine ON videos (title)",
    "ALTER TABLE videos ADD COLUMN mine int",
    "ALTER TABLE videos DISABLE TRIGGER ALL",
    "DROP TABLE jobs",
    "DROP VIEW scored_videos",
    "TRUNCATE jobs",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE OR REPLACE FUNCTION drop_partition(part text) RETURNS void LANGUAGE sql AS ''",
    "CREATE TRIGGER mine BEFORE UPDATE ON jobs EXECUTE FUNCTION tsvector_update_trigger()",
    "CREATE EXTENSION plperl",
    "CREATE ROLE mine",
    "CREATE DATABASE mine",
    "ALTER SYSTEM SET work_mem = '1GB'",
    "COPY (SELECT 1) TO PROGRAM 'touch {mark}'",
    "COPY (SELECT 1) TO '{mark}'",
    "COPY channels FROM '/etc/passwd'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT rolpassword FROM pg_authid",
    "SET ROLE tubegrader",
    "SET SESSION AUTHORIZATION tubegrader",
    "GRANT tubegrader TO {role}",
    "ALTER ROLE {role} SUPERUSER",
    "SELECT grant_roles()",
]
ROWS = [
    "INSERT INTO channels (channel_id, added_at) VALUES ('UC' || repeat('x', 22), now())",
    "UPDATE channels SET title = 'x'",
    "DELETE FROM channels",
    "SELECT nextval('evaluations_evaluation_id_seq')",
    "SELECT drop_partition('video_snapshots_2026_11')",
    "SELECT make_partition('video_snapshots', 'video_snapshots_1', '2099-01-01', '2099-01-08')",
]


def refusals(role: str, context: Context, statements: list[str]) -> dict[str, str]:
    """The SQLSTATE of each statement's refusal, by the statement; ``done`` where there is none."""
    url = context.engine.url.set(drivername="postgresql", username=role)
    found = {}
    with psycopg.connect(url.render_as_string(), autocommit=True) as connection:
        # What keeps an analyst from writing is to be its rights, not this.
        connection.execute("SET default_transaction_read_only = off")
        for statement in statements:
            try:
                connection.execute(statement.encode())
                found[statement] = "done"
            except psycopg.Error as error:
                found[statement] = str(error.sqlstate)
    return found


@pytest.mark.parametrize("role", [APP, ANALYST])
def test_only_the_owner_changes_what_is_there(context: Context, role: str, tmp_path: Path):
    mark = tmp_path / "mark"
    tried = refusals(role, context, [s.format(mark=mark, role=role) for s in FORBIDDEN])
    # 0A000: an extension that is not installed is not even asked about.
    assert {s: code for s, code in tried.items() if code not in ("42501", "0A000")} == {}
    assert not mark.exists()


def test_an_analyst_writes_nothing_even_in_a_transaction_that_may(context: Context):
    assert refusals(ANALYST, context, ROWS) == dict.fromkeys(ROWS, "42501")


def test_an_analyst_holds_no_lock_that_work_waits_for(context: Context):
    locks = [
        "SELECT pg_advisory_lock(hashtextextended('claims/thumbnail', 0))",
        "SELECT pg_try_advisory_xact_lock_shared(1, 2)",
        "SELECT pg_advisory_unlock_all()",
    ]
    assert refusals(ANALYST, context, locks) == dict.fromkeys(locks, "42501")
    assert set(refusals(APP, context, locks).values()) == {"done"}
    url = context.engine.url.render_as_string(hide_password=False)
    assert not standing(url).analyst_locks
    with owner_engine(context) as engine, engine.begin() as connection:
        connection.execute(text("GRANT EXECUTE ON FUNCTION pg_advisory_lock(bigint) TO PUBLIC"))
    assert standing(url).analyst_locks
    set_up(owned(url), {})
    assert not standing(url).analyst_locks


def test_nobody_makes_the_app_see_another_table_than_is_meant(context: Context):
    """A function of the owner's looks for names in no schema of the caller's."""
    with context.engine.begin() as connection:
        connection.execute(text("CREATE TEMPORARY TABLE video_snapshots (slot timestamptz)"))
        connection.execute(text("SET LOCAL search_path = pg_temp, public"))
        connection.execute(
            text("SELECT make_partition('video_snapshots', 'video_snapshots_9', :low, :high)"),
            {"low": datetime(2099, 1, 1, tzinfo=UTC), "high": datetime(2099, 1, 8, tzinfo=UTC)},
        )
        found = connection.execute(
            text("SELECT inhparent = 'public.video_snapshots'::regclass FROM pg_inherits "
                 "WHERE inhrelid = 'public.video_snapshots_9'::regclass")
        ).scalar_one()  # fmt: skip
        assert found is True


def test_functions_of_the_owners_do_nothing_but_their_own(context: Context):
    span = "'2099-01-01', '2099-02-01'"
    calls = [
        f"make_partition('jobs', 'jobs_1', {span})",
        f"make_partition('nothing', 'nothing_1', {span})",
        f"make_partition('video_snapshots', 'mine', {span})",
        f"make_partition('video_snapshots', 'video_snapshots_x', {span})",
        f"make_partition('video_snapshots', 'video_snapshots_1; DROP', {span})",
        "make_partition('video_snapshots', 'video_snapshots_1', '2099-01-01', '2101-02-01')",
        "make_partition('video_snapshots', 'video_snapshots_1', '2099-01-01', 'infinity')",
        "make_partition('video_snapshots', 'video_snapshots_1', '2099-02-01', '2099-01-01')",
        "drop_partition('video_snapshots')",
        "drop_partition('jobs')",
        "drop_partition('pg_class')",
        "drop_partition('nothing')",
    ]
    tried = refusals(APP, context, [f"SELECT {call}" for call in calls])
    assert {s: code for s, code in tried.items() if code not in ("42809", "42602", "22023")} == {}


def test_every_table_sequence_and_function_grants_what_it_should(context: Context):
    """Of this migration and those to come: none is forgotten, and nothing is given away."""
    relations = text(
        """
        SELECT c.relname, c.relkind, r.rolname,
            (SELECT coalesce(array_agg(p ORDER BY p), '{}') FROM unnest(
                CASE WHEN c.relkind = 'S' THEN ARRAY['SELECT', 'UPDATE', 'USAGE'] ELSE ARRAY[
                    'DELETE', 'INSERT', 'MAINTAIN', 'REFERENCES', 'SELECT', 'TRIGGER', 'TRUNCATE',
                    'UPDATE'] END) p
            WHERE CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(r.oid, c.oid, p)
                ELSE has_table_privilege(r.oid, c.oid, p) END)
        FROM pg_class c, pg_roles r
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
            AND r.rolname IN (:app, :analyst)
        """
    )
    read, write = ["SELECT"], ["DELETE", "INSERT", "SELECT", "UPDATE"]
    with owner_engine(context) as engine, engine.connect() as connection:
        connection.execute(text("CREATE TABLE later (later_id bigserial)"))
        connection.execute(text("CREATE VIEW later_view AS SELECT * FROM later"))
        found = connection.execute(relations, {"app": APP, "analyst": ANALYST}).all()
        assert {"later", "later_view", "later_later_id_seq"} <= {name for name, *_ in found}
        for name, kind, role, privileges in found:
            if kind == "S":
                wanted = ["SELECT", "USAGE"] if role == APP else []
            else:
                wanted = write if role == APP and name != "alembic_version" else read
                if (name, role) == ("api_tokens", ANALYST):
                    wanted = []
            assert privileges == wanted, (name, role)
        functions = connection.execute(
            text(
                "SELECT proname, prosecdef, coalesce(proconfig, '{}'), "
                "has_function_privilege(:app, oid, 'EXECUTE'), "
                "has_function_privilege(:analyst, oid, 'EXECUTE') "
                "FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
            ),
            {"app": APP, "analyst": ANALYST},
        ).all()
    assert "reserve_quota" in {name for name, *_ in functions}
    for name, as_owner, config, app, analyst in functions:
        assert app is (name not in ("grant_roles", "keep_locks")), name
        if as_owner:
            assert config == ["search_path=pg_catalog, pg_temp"], name
            assert analyst is False, name


def test_the_app_makes_partitions_and_drops_them(context: Context):
    with context.engine.begin() as connection:
        assert connection.execute(text("SELECT current_user")).scalar_one() == APP
        [name] = ensure_partitions(
            connection,
            start=datetime(2098, 3, 1, tzinfo=UTC),
            end=datetime(2098, 3, 1, 12, tzinfo=UTC),
        )
        assert connection.execute(text(f"SELECT count(*) FROM {name}")).scalar_one() == 0
        connection.execute(text("SELECT drop_partition(:name)"), {"name": name})
        assert connection.execute(text(f"SELECT to_regclass('{name}')")).scalar_one() is None


def test_the_roles_are_told_apart(context: Context):
    url = str(context.settings.database_url)
    assert standing(url) == Standing(APP, superuser=False, owner=False)
    assert standing(owned(url)) == Standing("tubegrader", superuser=True, owner=True)


def test_grants_come_back_and_a_password_is_kept_as_a_verifier(context: Context):
    url = owned(str(context.settings.database_url))
    with owner_engine(context) as engine:
        with engine.begin() as connection:
            connection.execute(text(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {APP}"))
        set_up(url, {APP: "it's secret"})
        assert refusals(ANALYST, context, ["TABLE api_tokens"]) == {"TABLE api_tokens": "42501"}
        with context.engine.connect() as connection:
            connection.execute(text("DELETE FROM jobs"))
        with engine.begin() as connection:
            kept = connection.execute(
                text("SELECT rolpassword FROM pg_authid WHERE rolname = :role"), {"role": APP}
            ).scalar_one()
            connection.execute(text(f"ALTER ROLE {APP} PASSWORD NULL"))
    assert kept.startswith("SCRAM-SHA-256$")


def test_an_administrator_who_makes_the_roles_grants_what_the_owner_makes_later(context: Context):
    url = owned(str(context.settings.database_url))
    with owner_engine(context) as engine:
        with engine.begin() as connection:
            # As where the owner may make no roles, and migrated before somebody else made them.
            connection.execute(text("CREATE ROLE keeper"))
            connection.execute(text("GRANT ALL ON SCHEMA public TO keeper"))
            connection.execute(text("ALTER TABLE video_snapshots OWNER TO keeper"))
            for function in (
                "make_partition(text, text, timestamptz, timestamptz)",
                "drop_partition(text)",
            ):
                connection.execute(text(f"ALTER FUNCTION {function} OWNER TO keeper"))
            connection.execute(text("GRANT SELECT, REFERENCES, TRIGGER ON videos TO keeper"))
        try:
            set_up(url, {})
            with context.engine.begin() as connection:
                [name] = ensure_partitions(
                    connection,
                    start=datetime(2098, 3, 1, tzinfo=UTC),
                    end=datetime(2098, 3, 1, 12, tzinfo=UTC),
                )
                connection.execute(text(f"SELECT count(*) FROM {name}"))
        finally:
            with engine.begin() as connection:
                connection.execute(text("REASSIGN OWNED BY keeper TO tubegrader"))
                connection.execute(text("DROP OWNED BY keeper"))
                connection.execute(text("DROP ROLE keeper"))


def test_the_app_does_not_begin_a_migration_that_it_may_not_end(context: Context):
    with owner_engine(context) as engine, engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0015'"))
    with pytest.raises(UsageError) as caught:
        schema.ensure_current(str(context.settings.database_url))
    assert caught.value.reason == "schemaBehind"
    assert "TUBEGRADER_OWNER_URL" in str(caught.value.hint)
