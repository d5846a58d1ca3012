"""What a scoring job of thumbnails would do, before it starts: rows, pictures, time, space."""

import math
from typing import Any

from db.models.learning import THUMBNAILS
from db.models.scoring import IN_USE
from db.queries.learning import unscored
from db.queries.work import scorings
from ml.thumbnails.backbones.embeddings import WIDTH
from services.context import Context
from services.learning import sharding
from services.learning.thumbnails import planning
from services.learning.thumbnails.loaded import ladder
from services.queue import SCORING
from services.work import fleet

SAMPLE = 2_048
"""Pictures that are looked for among those that are kept; the share of the others is from them."""
SCORE_BYTES = 400
"""A score in both tables it stands in, with their indexes, as measured at a million videos."""
EMBEDDING_BYTES = 2 * WIDTH + 65


def estimate(context: Context, shard_rows: int) -> dict[str, Any]:
    """Return what scoring with the models in use would take.

    Args:
        context: The database, the store and the home.
        shard_rows: Videos in a shard.

    Returns:
        ``rows``, ``shards``, ``pictures_to_embed``, ``rows_per_s`` of a worker (None: not measured
        yet), ``workers``, ``seconds`` (None: not known) and ``bytes``.

    Raises:
        PermanentError: There is no model yet, or one is damaged.
    """
    models = sharding.in_use(context, THUMBNAILS)
    counts = {True: 0, False: 0}
    sample: list[str] = []
    for page in planning.plan(context, models, IN_USE):
        counts[page.is_own] += len(page.ids)
        sample += page.ids[: max(SAMPLE - len(sample), 0)]
    rows = sum(counts.values())
    with context.transaction() as session:
        names = unscored.pictures(session, sample)
        pace = scorings.worker_pace(session, "thumbnails")
        workers = fleet.workers_of(session, SCORING)
    to_embed = _to_embed(context, [m.model_version_id for m in models], names, rows)
    return {
        "task": "thumbnails",
        "rows": rows,
        "shards": sum(math.ceil(n / shard_rows) for n in counts.values()),
        "pictures_to_embed": to_embed,
        "rows_per_s": pace,
        "workers": workers,
        "seconds": None if pace is None else rows / (pace * max(workers, 1)),
        "bytes": rows * len(models) * SCORE_BYTES + to_embed * EMBEDDING_BYTES,
    }


def _to_embed(context: Context, model_ids: list[int], names: list[str], rows: int) -> int:
    """Return about how many pictures' image features are not kept yet."""
    extractor = ladder(context, model_ids).extractor if names else None
    if extractor is None:
        return 0
    return round(rows * len(extractor.lacking(names)) / len(names))
