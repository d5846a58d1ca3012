"""Whether this process's machine has what its work needs; if not, others are to do it.

What a machine lacks (weights that are not installed, a disk that is full) is wrong with nothing
that was to be done. Whoever meets it gives the work back, says what is lacking where everybody
sees it, and tries again after some minutes: until then it does nothing of the same models, and
nothing at all where its disk is what fails. Of other models it goes on.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from db.queries.work import fleet as rows
from services.context import Context
from services.errors import HostDiskError, HostError

log = structlog.get_logger()

PROCESS = "TUBEGRADER_PROCESS"
"""The variable by which a worker tells its pool's processes the name that it is heard of under."""
AGAIN = timedelta(minutes=5)
"""After so long a process whose machine lacked something tries again."""

Models = tuple[int, ...] | None
"""Those that something is lacking for; None: for whatever there is to do."""


@dataclass
class _Own:
    """What this process's machine lacked when it was last tried, and until when that counts."""

    lacking: dict[Models, tuple[HostError, float]] = field(default_factory=dict)
    has_told: bool = False
    """Whether what the process before this one said of the machine was put right."""


_own = _Own()


def check(models: Sequence[int]) -> None:
    """See that this machine is not known to lack something that models need.

    Raises:
        HostError: It was found to lack it, minutes ago.
    """
    for which in (None, tuple(models)):
        known = _known(which)
        if known is not None:
            raise type(known)(str(known), reason=known.reason, hint=known.hint)


def found_lacking(context: Context, error: HostError, models: Sequence[int]) -> None:
    """Take nothing of the same for some minutes, and have everybody see why.

    Raises:
        InfrastructureError: The database is away or busy.
    """
    which = None if isinstance(error, HostDiskError) else tuple(models)
    if _known(which) is not None:
        return
    name = os.environ.get(PROCESS)
    if name is not None:
        message = f"{error} ({error.hint})" if error.hint else str(error)
        with context.transaction() as session:
            rows.set_unfit(session, name, error.reason, message, models=which, within=AGAIN)
    _own.lacking[which] = error, time.monotonic() + AGAIN.total_seconds()
    log.error(
        "worker.unfit", reason=error.reason, models=which, problem=str(error), hint=error.hint
    )


def found_well(context: Context, models: Sequence[int]) -> None:
    """Note that nothing is lacking for models any more, if anything was.

    Raises:
        InfrastructureError: The database is away or busy.
    """
    keys = {None, tuple(models)} & _own.lacking.keys()
    if _own.has_told and not keys:
        return
    name = os.environ.get(PROCESS)
    if name is not None:
        with context.transaction() as session:
            rows.set_fit(session, name, models)
    for key in keys:
        del _own.lacking[key]
    if keys:
        log.info("worker.fit", models=tuple(models))
    _own.has_told = True


def _known(which: Models) -> HostError | None:
    error, until = _own.lacking.get(which, (None, 0.0))
    return error if time.monotonic() < until else None
