"""How others fare beside a batch: whether one of its items may be what spoils a call for all."""

from db.queries.work import breakers, evidence
from services.context import Context
from services.errors import PermanentError, TubeGraderError
from services.work.kinds import WORK_KINDS
from services.work.leases import Batch
from services.work.verdicts import fares
from services.youtube.batches import UNANSWERABLE, Fares, Others, spoils_in_passing, unanswerable


def others(context: Context, batch: Batch) -> Others:
    """Return what the gateway needs to know beside a batch's items to find who spoils a call."""
    apart = {e for e, item in batch.items.items() if item.failed_for == UNANSWERABLE}
    return Others(apart, lambda: _fare(context, batch))


def fare_well(context: Context, batch: Batch, error: TubeGraderError) -> bool:
    """Tell whether a call failed in passing that one item may have spoiled: others fare well."""
    return spoils_in_passing(error) and _fare(context, batch) is not Fares.UNKNOWN


def is_blamed(context: Context, batch: Batch, entity_id: str, error: TubeGraderError) -> bool:
    """Tell whether a failed call that was for one item alone is the item's and not the host's.

    Not when it fails for the first time, since it was last answered well: that may be chance.
    """
    again = batch.items[entity_id].attempts > 1 or batch.items[entity_id].failed_for == UNANSWERABLE
    return again and fare_well(context, batch, error)


def blamed(error: TubeGraderError) -> PermanentError:
    """Return an error as the fault of the item that got it."""
    return PermanentError(unanswerable(error), reason=UNANSWERABLE)


def _fare(context: Context, batch: Batch) -> Fares:
    assert batch.kind is not None, "nothing is asked for an empty batch"
    host = batch.kind.host
    failed_at = [item.failed_at for item in batch.items.values() if item.failed_at is not None]
    with context.transaction() as session:
        of_host = [kind.name for kind in WORK_KINDS.values() if kind.host == host]
        well_at = evidence.last_good_answers(session, of_host)
        return fares(
            since=max(failed_at, default=batch.begun_at),
            now=context.clock(),
            kind_well_at=well_at.get(batch.kind.name),
            host_well_at=max(well_at.values(), default=None),
            failures=breakers.failures(session, host),
        )
