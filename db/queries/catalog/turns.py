"""Who adds up what was collected, merges or forgets: one after the other; and who reckons swaps."""

from sqlalchemy import text
from sqlalchemy.orm import Session


def take_turn(session: Session) -> None:
    """Wait until nobody else adds up, merges or forgets; they wait until this transaction ends.

    Who collects does not wait. Who wants a lock of the table of snapshots takes its turn before.
    Triggers are told that whatever is taken here is looked up for kept swaps; a release that does
    not do so says nothing.
    """
    session.execute(
        text(
            "SELECT pg_advisory_xact_lock(hashtext('daily_counts')), "
            "set_config('tubegrader.keeps_swaps', 'on', true)"
        )
    )


def take_reckoning_turn(session: Session) -> None:
    """Wait until nobody else reckons a swap, which takes seconds at most; the next one waits.

    Who wants a lock of the table of snapshots takes this turn first of all, so that it finds nobody
    at work who would hold it up, and with it everybody behind it.
    """
    session.execute(text("SELECT pg_advisory_xact_lock(hashtext('kept_swaps'))"))
