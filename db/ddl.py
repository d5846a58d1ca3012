"""Changes of the schema while others work: no statement waits behind them for long.

Who waits for a strong lock holds up everybody who comes after, readers too. So it is waited for
briefly, given up, and tried again once the others had their turn.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from graphlib import TopologicalSorter

from psycopg.errors import DeadlockDetected, LockNotAvailable
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

LOCK_S = 2.0
"""How long one try waits, and whoever stands behind it."""
TRIES = 15
BETWEEN_S = 1.0


def patiently(connection: Connection, change: Callable[[], object], *, tries: int = TRIES) -> None:
    """Change the schema in an open transaction, in as many tries as it takes.

    Each try is a savepoint: one that gives up lets go of the locks it had.

    Args:
        connection: An open transaction, in which nothing is held that others wait for.
        change: Executes the statements; may be called several times.
        tries: How often at most.

    Raises:
        OperationalError: The locks could not be had in all of the tries.
    """
    before = connection.execute(text("SHOW lock_timeout")).scalar_one()
    for tried in range(1, tries + 1):
        try:
            with connection.begin_nested():
                connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_S}s'"))
                change()
                connection.execute(text(f"SET LOCAL lock_timeout = '{before}'"))
        except OperationalError as error:
            if not isinstance(error.orig, LockNotAvailable | DeadlockDetected) or tried == tries:
                raise
            time.sleep(BETWEEN_S)
        else:
            return


def lock_views(connection: Connection) -> None:
    """Lock all views, before one of them or a table that it reads is changed.

    In the order in which whoever reads one comes by: it first, then the views that it is made of,
    then tables. A migration that began with a table would wait for a reader of the view, and that
    one for it.
    """
    below = TopologicalSorter[str]()
    for (name,) in connection.execute(
        text("SELECT viewname FROM pg_views WHERE schemaname = 'public' ORDER BY viewname")
    ):
        below.add(name)
    for view, part in connection.execute(
        text(
            """
            SELECT DISTINCT v.relname, p.relname FROM pg_depend d
            JOIN pg_rewrite r ON r.oid = d.objid
            JOIN pg_class v ON v.oid = r.ev_class
            JOIN pg_class p ON p.oid = d.refobjid AND p.relkind = 'v'
            WHERE d.classid = 'pg_rewrite'::regclass AND p.oid <> v.oid
                AND v.relnamespace = 'public'::regnamespace
            """
        )
    ):
        below.add(part, view)
    for name in below.static_order():
        # LOCK would lock the tables below as well. This changes nothing, and locks as it would.
        connection.execute(text(f'ALTER VIEW "{name}" RESET (security_barrier)'))


def in_parts(connection: Connection, name: str, part: Callable[[str], str | None]) -> None:
    """Change many rows in parts, and go on with the part at which an earlier try was broken off.

    Args:
        connection: One that commits each statement by itself, as for :func:`index_concurrently`.
        name: Of the change and of all that it goes by: of another name it begins anew.
        part: Changes the rows after a key ("" for the first) and returns the last one's key, None
            if there was none left. Doing one twice changes nothing.
    """
    connection.execute(
        text(
            "CREATE TABLE IF NOT EXISTS unfinished_changes "
            "(name text PRIMARY KEY, after text NOT NULL)"
        )
    )
    found = text("SELECT after FROM unfinished_changes WHERE name = :name")
    done = text(
        "INSERT INTO unfinished_changes VALUES (:name, :after) "
        "ON CONFLICT (name) DO UPDATE SET after = excluded.after"
    )
    after = connection.execute(found, {"name": name}).scalar_one_or_none() or ""
    while (last := part(after)) is not None:
        after = last
        connection.execute(done, {"name": name, "after": after})


def forget_parts(connection: Connection) -> None:
    """Forget how far changes in parts are, in the transaction that ends their migration."""
    connection.execute(text("DROP TABLE IF EXISTS unfinished_changes"))


def index_concurrently(connection: Connection, name: str, definition: str) -> None:
    """Make an index that nobody waits for, anew if it was begun before and not finished.

    Args:
        connection: One that commits each statement by itself; a migration's
            ``op.get_context().autocommit_block()``.
        name: The index.
        definition: What follows its name: ``ON table (column, …)``.
    """
    valid = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")
    if connection.execute(valid, {"name": name}).scalar_one_or_none():
        return
    with _waiting(connection):
        # A try that was broken off leaves an index that is not valid.
        connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {name}"))
        connection.execute(text(f"CREATE INDEX CONCURRENTLY {name} {definition}"))


def drop_concurrently(connection: Connection, name: str) -> None:
    """Drop an index, if it is there, that nobody waits for; as :func:`index_concurrently`."""
    with _waiting(connection):
        connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS {name}"))


@contextmanager
def _waiting(connection: Connection) -> Iterator[None]:
    """Let statements wait for everybody who began before them, as nobody waits for them."""
    before = connection.execute(text("SHOW lock_timeout")).scalar_one()
    connection.execute(text("SET lock_timeout = 0"))
    yield
    connection.execute(text(f"SET lock_timeout = '{before}'"))
