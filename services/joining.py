"""What a worker or dispatcher looks at before it begins: the database, the time, the broker."""

import itertools
import time
from collections.abc import Callable
from datetime import timedelta

import structlog

from services.clock import SharedClock
from services.context import Context
from services.errors import PermanentError, TransientError
from services.work.backoff import Backoff

log = structlog.get_logger()

LARGEST_OFFSET_S = 30.0
"""Signatures of object stores and certificates need no better; our own times are the database's."""
_PAUSES = Backoff(timedelta(seconds=0.5), timedelta(seconds=10))


def prepare(context: Context, *, sleep: Callable[[float], None] = time.sleep) -> None:
    """Wait until database and broker can be used, and see that this machine's time is right.

    Args:
        context: What this process works with.
        sleep: Waits so many seconds.

    Raises:
        PermanentError: The clock of this machine is off (``clockOff``).
    """
    for failures in itertools.count(1):
        try:
            _check_clock(context)
            _check_broker(context)
        except TransientError as error:
            pause_s = _PAUSES.after(failures).total_seconds()
            log.warning("worker.waits", problem=str(error), hint=error.hint, seconds=pause_s)
            sleep(pause_s)
        else:
            return


def _check_clock(context: Context) -> None:
    if not isinstance(context.clock, SharedClock):
        return  # a test's, which all processes ask
    offset_s = context.clock.offset_s()
    if abs(offset_s) > LARGEST_OFFSET_S:
        raise PermanentError(
            f"the clock of this machine is {abs(offset_s):,.0f} s "
            f"{'ahead of' if offset_s > 0 else 'behind'} the database's",
            reason="clockOff",
            hint="set it right (`timedatectl set-ntp true`) on whichever of the two is wrong; "
            "before, this process does not begin",
        )


def _check_broker(context: Context) -> None:
    if removed := context.queue.make_room():
        log.warning("broker.emptied", keys=removed, why="it was full; what is due is sent again")
