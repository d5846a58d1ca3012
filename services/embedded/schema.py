"""Bring the database to the schema that this code needs, cheaply when it is there already."""

import ast
import importlib.util
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from services.errors import TransientError, UsageError

if TYPE_CHECKING:
    import psycopg

    from services.settings import Settings

_CONNECT_S = 5


def ensure_current(database_url: str) -> None:
    """Migrate the database if it is behind; otherwise this is one query.

    Args:
        database_url: An SQLAlchemy address of a PostgreSQL database.

    Raises:
        TransientError: The database cannot be reached.
        UsageError: Its schema comes from a newer TubeGrader, or the role may not change it.
    """
    with connect(database_url) as connection:
        if is_current(connection):
            return
        _require_owner(connection)
    from db.migrate import upgrade

    upgrade(database_url)


def _require_owner(connection: "psycopg.Connection[tuple[object, ...]]") -> None:
    """See that a migration would not be refused half way.

    Raises:
        UsageError: It would.
    """
    statement = (
        "SELECT current_user, pg_has_role(relowner, 'USAGE') FROM pg_class "
        "WHERE oid = to_regclass('alembic_version')"
    )
    row = connection.execute(statement).fetchone()
    if row is not None and not row[1]:
        raise UsageError(
            f"the schema is at {revision(connection)}, this TubeGrader needs {head_revision()}, "
            f"and the role {row[0]} may not change it",
            reason="schemaBehind",
            hint="run `tubegrader migrate` with TUBEGRADER_OWNER_URL set to the owner's address",
        )


def ensure_roles(owner_url: str) -> None:
    """Make the roles in a server that lacks them, such as one a dump was restored into."""
    from db.roles import APP

    with connect(owner_url) as connection:
        found = connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [APP]).fetchone()
    if found is None:
        from db.grants import set_up

        set_up(owner_url, {})


def set_up_roles(owner_url: str, settings: "Settings") -> None:
    """Make the roles, grant what each needs, and give them the passwords of their addresses.

    Nothing happens where the address is not the owner's.

    Raises:
        UsageError: The owner may not set the password of a role that cannot log in.
    """
    from psycopg.errors import InsufficientPrivilege
    from sqlalchemy.exc import ProgrammingError

    from db.grants import set_up, standing

    owner = standing(owner_url)
    if not owner.owner:
        return
    passwords = _new_passwords(settings)
    try:
        set_up(owner_url, passwords)
    except ProgrammingError as error:
        if not isinstance(error.orig, InsufficientPrivilege):
            raise
        raise UsageError(
            f"the role {owner.role} may not set the password of {' and '.join(passwords)}",
            reason="noPassword",
            hint="have an administrator do it: ALTER ROLE … PASSWORD '…'",
        ) from error


def _new_passwords(settings: "Settings") -> dict[str, str]:
    """Return the passwords of our roles' addresses that do not let them in yet."""
    import psycopg
    from sqlalchemy.engine import make_url

    from db.roles import ANALYST, APP
    from services.embedded.urls import database_url

    addresses = [settings.database_url]
    if settings.analyst_url is not None:
        addresses.append(settings.analyst_url.get_secret_value())
    found: dict[str, str] = {}
    for address in filter(None, addresses):
        url = make_url(database_url(address))
        if url.username not in (APP, ANALYST) or not url.password:
            continue
        try:
            plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
            psycopg.connect(plain, connect_timeout=_CONNECT_S).close()
        except psycopg.OperationalError:
            found[url.username] = str(url.password)
    return found


def is_current(connection: "psycopg.Connection[tuple[object, ...]]") -> bool:
    """Say whether the schema is what this code needs.

    Raises:
        UsageError: The schema comes from a newer TubeGrader.
    """
    recorded = revision(connection)
    known, head = _revisions()
    if recorded is not None and recorded not in known:
        raise UsageError(
            f"the database's schema ({recorded}) is newer than this TubeGrader",
            hint="update TubeGrader, or choose another database or home",
        )
    return recorded == head


def knows(recorded: str) -> bool:
    """Tell whether a revision is one of this code's: of its own release or an older one."""
    return recorded in _revisions()[0]


def head_revision() -> str | None:
    """Return the newest migration's revision; None while there are none."""
    return _revisions()[1]


def revision(connection: "psycopg.Connection[tuple[object, ...]]") -> str | None:
    """Return the revision that the database is at; None before the first migration."""
    there = connection.execute("SELECT to_regclass('alembic_version')").fetchone()
    if there is None or there[0] is None:
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return None if row is None else str(row[0])


def connect(database_url: str) -> "psycopg.Connection[tuple[object, ...]]":
    """Connect to a database given by its SQLAlchemy address, in autocommit.

    Raises:
        TransientError: It cannot be reached.
    """
    import psycopg

    from services.embedded.urls import redacted

    address = database_url.replace("postgresql+psycopg://", "postgresql://", 1)
    try:
        return psycopg.connect(address, autocommit=True, connect_timeout=_CONNECT_S)
    except psycopg.Error as error:
        reason = str(error).strip().splitlines()[-1]
        raise TransientError(
            f"cannot reach the database {redacted(database_url)}: {reason}",
            reason="databaseUnreachable",
            hint="check TUBEGRADER_DATABASE_URL, or unset it to use the embedded PostgreSQL",
        ) from error


@cache
def _revisions() -> tuple[frozenset[str], str | None]:
    """Read all revisions and the newest from the migrations' source.

    Alembic would import itself, SQLAlchemy and every migration to say the same.
    """
    spec = importlib.util.find_spec("migrations")
    assert spec is not None
    revisions, parents = set(), set()
    for location in spec.submodule_search_locations or ():
        for file in (Path(location) / "versions").glob("*.py"):
            values = _constants(file)
            if isinstance(values.get("revision"), str):
                revisions.add(str(values["revision"]))
                parents.add(values.get("down_revision"))
    heads = revisions - parents
    assert len(heads) <= 1, f"migrations have several heads: {sorted(heads)}"
    return frozenset(revisions), next(iter(heads), None)


def _constants(file: Path) -> dict[str, object]:
    """Return the literals that a module assigns to names at its top."""
    found: dict[str, object] = {}
    for node in ast.parse(file.read_bytes()).body:
        targets = (
            node.targets
            if isinstance(node, ast.Assign)
            else [node.target]
            if isinstance(node, ast.AnnAssign)
            else []
        )
        value = getattr(node, "value", None)
        if isinstance(value, ast.Constant):
            found |= {target.id: value.value for target in targets if isinstance(target, ast.Name)}
    return found
