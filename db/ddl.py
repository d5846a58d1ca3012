"""Changes of the schema while others work: no statement waits behind them for long.

Who waits for a strong lock holds up everybody who comes after, readers too. So it is waited for
briefly, given up, and tried again once the others had their turn.
"""

import time
from collections.abc import Callable

from psycopg.errors import LockNotAvailable
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
            if not isinstance(error.orig, LockNotAvailable) or tried == tries:
                raise
            time.sleep(BETWEEN_S)
        else:
            return
