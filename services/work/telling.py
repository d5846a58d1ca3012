"""What a process counts of the batches that it works on, and how its log names them."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from itertools import islice
from typing import Any

from services.errors import TubeGraderError
from services.metrics.instruments import (
    ATTEMPTS,
    DONE,
    FAILED,
    FAILURES,
    LATENESS,
    LEASES_LOST,
    SNAPSHOTS,
    TASKS,
)
from services.work.kinds import WORK_KINDS, WorkKind, tasks

NAMED = 5
"""So many of a batch are named in a line; the first tell it apart from others."""


def in_log(
    kind: WorkKind | None, entity_ids: Collection[str], channel_ids: Iterable[str] = ()
) -> dict[str, Any]:
    """Return what names some items of a kind in a line of the log: ``video_ids=[…]``."""
    if kind is None:
        return {}
    named = {f"{kind.entity}_ids": list(islice(entity_ids, NAMED))}
    of_channels = list(islice(dict.fromkeys(channel_ids), NAMED))
    return {"kind": kind.name} | ({"channel_ids": of_channels} if of_channels else {}) | named


def begin() -> None:
    """Have what alerts ask for be there at zero."""
    for kind in WORK_KINDS.values():
        LEASES_LOST.add(0, kind.name)
        ATTEMPTS.add(0, kind.name, kind.host)
        FAILED.add(0, kind.name, kind.host)
    for task in tasks():
        TASKS.begin(task.name, "crashed")


def begun(kind: WorkKind | None, n_items: int) -> None:
    """Count a batch that is begun; an empty one has no kind."""
    if kind is not None:
        ATTEMPTS.add(n_items, kind.name, kind.host)


def lost(kind: WorkKind | None) -> None:
    """Count a lease that another worker has."""
    LEASES_LOST.add(1, "none" if kind is None else kind.name)


def ended(kind: WorkKind, late: Mapping[str, timedelta], errors: Iterable[TubeGraderError]) -> None:
    """Count how the items of a batch ended.

    Args:
        kind: Of all of them.
        late: By how much those came late that ended well.
        errors: Why the others did not.
    """
    DONE.add(len(late), kind.name)
    if kind.series is not None:
        ages_s = [max(each.total_seconds(), 0.0) for each in late.values()]
        SNAPSHOTS.add_all(ages_s, kind.name)
        LATENESS.add(sum(ages_s), kind.name)
    reasons = Counter(error.reason for error in errors)
    FAILED.add(reasons.total(), kind.name, kind.host)
    for reason, n in reasons.items():
        FAILURES.add(n, kind.name, kind.host, reason)
