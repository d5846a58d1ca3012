"""What roles may do in a database, told apart and granted."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from db.roles import ANALYST, APP


@dataclass(frozen=True)
class Standing:
    """What a role that is logged in may do beyond rows.

    Attributes:
        role: Its name.
        superuser: It may do anything, also to files of the server.
        owner: It may change the schema.
        analyst_locks: The analyst could hold the locks that our own work takes turns by.
    """

    role: str
    superuser: bool
    owner: bool
    analyst_locks: bool = False


def standing(database_url: str) -> Standing:
    """Return what the role of an address may do in its migrated database."""
    statement = text(
        """
        SELECT current_user, r.rolsuper, pg_has_role(c.relowner, 'USAGE'), EXISTS (
            SELECT FROM pg_roles a WHERE a.rolname = :analyst AND has_function_privilege(
                a.oid, 'pg_catalog.pg_advisory_lock(bigint)', 'EXECUTE'))
        FROM pg_roles r, pg_class c
        WHERE r.rolname = current_user AND c.oid = 'alembic_version'::regclass
        """
    )
    with create_engine(database_url, poolclass=NullPool).connect() as connection:
        return Standing(*connection.execute(statement, {"analyst": ANALYST}).one())


def set_up(owner_url: str, passwords: Mapping[str, str]) -> None:
    """Make the roles where that is allowed, grant what each needs, and set their passwords.

    Migrating does the first two. They are done again where a role was missing then, or where a
    dump was restored into another server: a dump holds no roles.

    Args:
        owner_url: The migrated database, as its owner.
        passwords: New ones by role; sent as SCRAM's verifier, so that no log ever holds one.
    """
    with create_engine(owner_url, poolclass=NullPool).begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('grant_roles'))"))
        connection.execute(text("SELECT grant_roles()"))
        connection.execute(text("SELECT keep_locks()"))
        _hide_tokens(connection)
        _let_app_dump(connection)
        _grant_later_partitions(connection)
        driver = connection.connection.driver_connection
        assert driver is not None, "the connection is open"
        for role, password in passwords.items():
            verifier = driver.pgconn.encrypt_password(
                password.encode(), role.encode(), b"scram-sha-256"
            ).decode()
            connection.exec_driver_sql(f"ALTER ROLE {role} PASSWORD '{verifier}'")


def _hide_tokens(connection: Connection) -> None:
    """Take from the analyst what it does not read: who else may use the HTTP API."""
    role = text("SELECT 1 FROM pg_roles WHERE rolname = :role")
    if connection.execute(role, {"role": ANALYST}).one_or_none() is not None:
        connection.execute(text(f"REVOKE ALL ON api_tokens FROM {ANALYST}"))


def make_roles(owner_url: str) -> None:
    """Make the roles before a dump grants to them, as migrating would, in a server without them."""
    with create_engine(owner_url, poolclass=NullPool).begin() as connection:
        there = set(connection.scalars(text("SELECT rolname FROM pg_roles")))
        if APP not in there:
            connection.exec_driver_sql(f"CREATE ROLE {APP} LOGIN")
        if ANALYST not in there:
            connection.exec_driver_sql(
                f"CREATE ROLE {ANALYST} LOGIN CONNECTION LIMIT 20; "
                f"ALTER ROLE {ANALYST} SET statement_timeout = '60s'; "
                f"ALTER ROLE {ANALYST} SET default_transaction_read_only = on; "
                f"ALTER ROLE {ANALYST} SET idle_in_transaction_session_timeout = '10min'"
            )


def _let_app_dump(connection: Connection) -> None:
    """Let the app read sequences, as backups do; since migration 0039."""
    role = text("SELECT 1 FROM pg_roles WHERE rolname = :role")
    if connection.execute(role, {"role": APP}).one_or_none() is not None:
        connection.exec_driver_sql(
            f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {APP}; "
            f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON SEQUENCES TO {APP}"
        )


def _grant_later_partitions(connection: Connection) -> None:
    """Grant what is on partitions to come, where they are made as somebody else than who is here.

    What a role grants by default is of what it makes itself: an administrator who made the roles
    would leave out what the function of the owner's makes.
    """
    maker = connection.execute(
        text(
            "SELECT proowner::regrole::text FROM pg_proc WHERE oid = 'make_partition'::regproc "
            "AND proowner <> current_user::regrole"
        )
    ).scalar_one_or_none()
    found = connection.scalars(
        text("SELECT rolname FROM pg_roles WHERE rolname = ANY(:roles)"), {"roles": [APP, ANALYST]}
    ).all()
    for role in () if maker is None else found:
        granted = "SELECT, INSERT, UPDATE, DELETE" if role == APP else "SELECT"
        connection.execute(
            text(
                f"ALTER DEFAULT PRIVILEGES FOR ROLE {maker} IN SCHEMA public "
                f"GRANT {granted} ON TABLES TO {role}"
            )
        )
