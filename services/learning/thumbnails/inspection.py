"""What is in the frozen datasets, how two differ, whether one is whole and gives nothing away."""

from collections import Counter
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from db.models import Dataset as DatasetRow
from db.queries.learning import datasets
from ml.thumbnails.data.dataset import DESCRIPTION, Dataset, DatasetDescription
from ml.thumbnails.data.leakage import check
from ml.thumbnails.data.schema import FEATURE_GROUPS, MANIFEST_SCHEMA
from services.context import Context
from services.errors import PermanentError, UsageError
from services.learning.artifacts import workspace
from services.learning.thumbnails.datasets import fetch, fetch_rows

NEWEST = "newest"
_SHORTEST_PREFIX = 4
_NAMED = 20
"""How many videos of a difference are named; the counts are of all."""


def overview(context: Context) -> list[dict[str, Any]]:
    """Return a line on each dataset, the newest first."""
    with context.transaction() as session:
        rows = datasets.with_prefix(session)
    return [_line(row) | _described(context, row) for row in rows]


def show(context: Context, name: str) -> dict[str, Any]:
    """Return what is in a dataset: counts, labels, exclusions and what its features lack.

    Args:
        context: The database and the object store.
        name: The beginning of its id, or ``newest``.

    Raises:
        UsageError: No dataset, or several, have that name.
        PermanentError: It is damaged or of another schema version.
    """
    row = _find(context, name)
    with workspace(context, "dataset") as folder:
        dataset = fetch_rows(context, row, folder)
    table = dataset.table
    return (
        _line(row)
        | _described(context, row)
        | {
            "n_thumbnails": dataset.description.n_thumbnails,
            "n_split_groups": pc.count_distinct(table["split_group"]).as_py(),
            "excluded": dict(sorted(row.excluded.items())),
            "label_kinds": _counts(table["label_kind"]),
            "formats": _counts(table["format"]),
            "subscribers_after": pc.sum(table["subscribers_after"]).as_py(),
            "mixed_definitions": pc.sum(table["mixed_definitions"]).as_py(),
            "predicted_from": pc.min(table["predicted_at"]).as_py(),
            "predicted_to": pc.max(table["predicted_at"]).as_py(),
            "missing": _missing(dataset),
            "files": dict(row.files),
        }
    )


def diff(context: Context, one: str, other: str) -> dict[str, Any]:
    """Return how another dataset differs from one: rows added, removed, and changed by column.

    Raises:
        UsageError: No dataset, or several, have one of the names.
        PermanentError: One is damaged or of another schema version.
    """
    tables = []
    rows = [_find(context, name) for name in (one, other)]
    for row in rows:
        with workspace(context, "dataset") as folder:
            tables.append(fetch_rows(context, row, folder).table)
    old, new = ({v: i for i, v in enumerate(t["video_id"].to_pylist())} for t in tables)
    both = sorted(old.keys() & new.keys())
    kept = [t.take([at[v] for v in both]) for t, at in zip(tables, (old, new), strict=True)]
    changed = {
        name: count
        for name in MANIFEST_SCHEMA.names
        if (count := _differing(kept[0][name], kept[1][name]))
    }
    added, removed = sorted(new.keys() - old.keys()), sorted(old.keys() - new.keys())
    return {
        "datasets": [row.dataset_id for row in rows],
        "same": len(both),
        "added": len(added),
        "removed": len(removed),
        "changed": changed,
        "first_added": added[:_NAMED],
        "first_removed": removed[:_NAMED],
    }


def verify(context: Context, name: str) -> dict[str, Any]:
    """Read every file of a dataset again, hash by hash, and look for leaks.

    Returns:
        The dataset's id, ``files`` read, ``pictures_purged_at`` where its pictures are not there
        any more, and ``findings``; ``clean`` is False if any is a leak.

    Raises:
        UsageError: No dataset, or several, have that name.
        PermanentError: A file is missing, altered or cut short, or of another schema version.
    """
    row = _find(context, name)
    with workspace(context, "dataset") as folder:
        whole = row.pictures_purged_at is None
        if whole:
            dataset, files = fetch(context, row.dataset_id, folder), len(row.files)
        else:
            dataset, files = fetch_rows(context, row, folder), len(list(folder.iterdir()))
        findings = check(dataset, pictures=whole)
    return {
        "dataset_id": row.dataset_id,
        "files": files,
        "pictures_purged_at": row.pictures_purged_at,
        "clean": all(found.severity != "leak" for found in findings),
        "findings": [asdict(found) for found in findings],
    }


def _find(context: Context, name: str) -> DatasetRow:
    if name != NEWEST and len(name) < _SHORTEST_PREFIX:
        raise UsageError(
            f"{name!r} is too short a name for a dataset",
            hint=f"give at least {_SHORTEST_PREFIX} letters of its id, or `{NEWEST}`",
        )
    with context.transaction() as session:
        found = datasets.with_prefix(session, prefix="" if name == NEWEST else name)
    if not found:
        raise UsageError(
            f"there is no dataset {name}", hint="`tubegrader datasets list` tells which there are"
        )
    if len(found) > 1 and name != NEWEST:
        raise UsageError(f"{len(found)} datasets begin with {name}", hint="give more of the id")
    return found[0]


def _line(row: DatasetRow) -> dict[str, Any]:
    columns = ("dataset_id", "as_of", "n_videos", "n_channels", "threshold", "base_rate")
    return {name: getattr(row, name) for name in columns}


def _described(context: Context, row: DatasetRow) -> dict[str, Any]:
    """Return what only the files say; a dataset whose description is gone says nothing."""
    try:
        text = context.store.get(row.files[DESCRIPTION]).decode()
        description = DatasetDescription.from_json(text)
    except PermanentError:
        return {"schema_version": None, "label": None, "label_asked": None}
    return {
        "schema_version": description.schema_version,
        "label": description.params.get("label"),
        "label_asked": description.params.get("label_asked"),
    }


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    counted = Counter("unknown" if value is None else value for value in column.to_pylist())
    return dict(sorted(counted.items()))


def _missing(dataset: Dataset) -> dict[str, float]:
    """Return the share of rows that lack each feature."""
    columns = [name for group in FEATURE_GROUPS.values() for name in group.columns]
    return {name: dataset.table[name].null_count / len(dataset) for name in columns}


def _differing(one: pa.ChunkedArray, other: pa.ChunkedArray) -> int:
    """Count the rows that differ; two nulls are equal."""
    values = pc.sum(pc.not_equal(one, other)).as_py() or 0  # null where either is null
    nulls = pc.sum(pc.xor(pc.is_null(one), pc.is_null(other))).as_py() or 0
    return int(values + nulls)
