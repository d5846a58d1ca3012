"""Which videos lack a score: the models' own rows, and the catalogue, newest first."""

from collections.abc import Iterator, Sequence

from db.models import ModelVersion
from db.models.scoring import IN_USE
from db.queries.learning import unscored
from services.context import Context
from services.learning.artifacts import workspace
from services.learning.sharding import Page
from services.learning.thumbnails import datasets, scored
from services.learning.thumbnails.loaded import OwnRows

PAGE = 2_000
"""Videos looked at in a transaction: about a shard, so that none is long where all lack a score."""


def plan(context: Context, models: Sequence[ModelVersion], purpose: str) -> Iterator[Page]:
    """Yield the models' own rows that lack a score and, for those in use, every other video.

    Args:
        context: The database and the store.
        models: Of one training.
        purpose: The newest models score their own rows alone.

    Raises:
        PermanentError: The dataset is missing or damaged.
    """
    ids = [model.model_version_id for model in models]
    with workspace(context, "planning") as folder:
        dataset = datasets.fetch_without_pictures(context, models[0].dataset_id, folder / "dataset")
        own = OwnRows(dataset)
    lacking = own.table["video_id"].take(scored.lacking(context, own.table, ids)).to_pylist()
    for start in range(0, len(lacking), PAGE):
        yield Page(is_own=True, ids=lacking[start : start + PAGE])
    if purpose != IN_USE:
        return
    before: unscored.Key | None = None
    while True:
        with context.transaction() as session:
            page = unscored.page(session, model_version_ids=ids, before=before, limit=PAGE)
        if page.video_ids:
            frozen = own.hold(page.video_ids, page.thumbnails)
            pairs = zip(page.video_ids, frozen, strict=True)
            yield Page(is_own=False, ids=[v for v, is_frozen in pairs if not is_frozen])
        if page.last is None:
            return
        before = page.last
