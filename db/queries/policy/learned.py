"""What was learned (datasets, models, their scores and evaluations): what is kept, what goes.

All of it hangs on datasets: a dataset with the models trained on it, their scores and evaluations
is a night's work, and stays or goes as one. Of a night three things may be said:

- ``whole``: one of the newest nights, in use, or being worked on;
- ``models``: a champion came of it, some time ago. Its models, their files and evaluations stay,
  its scores and the pictures of its dataset go;
- ``gone``: none of these.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from sqlalchemy import CursorResult, text
from sqlalchemy.orm import Session

from db.queries.policy.objects import referenced_objects

RECENT_CHAMPIONS = 2
"""So many changes of the champion back its scores stay, too: who goes back finds them at once."""
PICTURES = "%.tar"
"""Files of a dataset that hold copies of pictures; the others hold what it says of them."""

# What is frozen anew counts from then. Nights on which nothing could be trained push out no models.
_KEPT = """
    WITH dated AS (
        SELECT d.dataset_id, d.task, count(m.model_version_id) > 0 AS has_models,
               greatest(d.created_at, d.used_at, max(m.trained_at)) AS last_at
        FROM datasets d LEFT JOIN model_versions m USING (dataset_id)
        GROUP BY d.dataset_id
    ), nights AS (
        SELECT *, dense_rank() OVER (
            PARTITION BY task, has_models ORDER BY (last_at AT TIME ZONE 'UTC')::date DESC
        ) AS night
        FROM dated
    ), changes AS (
        SELECT *, row_number() OVER (PARTITION BY task ORDER BY promotion_id DESC) AS back
        FROM promotions WHERE decision <> 'kept'
    ), unended AS (
        SELECT job_id, steps FROM jobs WHERE ready_at IS NOT NULL
    ), used AS (
        SELECT dataset_id FROM model_versions WHERE model_version_id IN (
            SELECT model_version_id FROM model_aliases
            UNION SELECT champion_version_id FROM changes WHERE back <= :recent
            UNION SELECT challenger_version_id FROM changes WHERE back <= :recent
            UNION SELECT unnest(model_version_ids) FROM scorings
                WHERE job_id IN (SELECT job_id FROM unended)
        ) OR job_id IN (SELECT job_id FROM unended)
        UNION SELECT steps #>> '{dataset,dataset_id}' FROM unended
        UNION SELECT steps #>> '{train,dataset_id}' FROM unended
    ), crowned AS (
        SELECT dataset_id FROM model_versions WHERE model_version_id IN (
            SELECT champion_version_id FROM promotions
            UNION SELECT challenger_version_id FROM changes
        )
    ), kept AS (
        SELECT dataset_id, task, has_models, last_at, CASE
            WHEN night <= :nights OR dataset_id IN (SELECT dataset_id FROM used) THEN 'whole'
            WHEN dataset_id IN (SELECT dataset_id FROM crowned) THEN 'models'
            ELSE 'gone' END AS state
        FROM nights
    )
"""


@dataclass(frozen=True)
class Scores:
    """A table of scores, and by what it is gone through."""

    table: str
    entities: str
    key: str


SCORES = (
    Scores("scores", "videos", "video_id"),
    Scores("language_scores", "audio_clips", "clip_id"),
)
_GIVEN = "INSERT INTO rung_versions AS n SELECT rung, max(version) FROM model_versions"
_NEWER = (
    "ON CONFLICT (rung) DO UPDATE SET "
    "last_version = greatest(n.last_version, excluded.last_version)"
)


def models_to_silence(session: Session, *, nights: int, gone_only: bool = False) -> list[int]:
    """Return the model versions whose scores go: all but those of whole nights.

    Args:
        session: The unit of work.
        nights: How many stay whole.
        gone_only: Only those that go themselves.
    """
    return list(
        session.scalars(
            text(
                _KEPT + "SELECT model_version_id FROM model_versions "
                "JOIN kept USING (dataset_id) "
                "WHERE state = 'gone' OR state = 'models' AND NOT :gone_only ORDER BY 1"
            ),
            {**_values(nights), "gone_only": gone_only},
        )
    )


def count_scores(session: Session, of: Scores, models: Collection[int]) -> int:
    """Count the scores of some models."""
    statement = text(f"SELECT count(*) FROM {of.table} WHERE model_version_id = ANY(:models)")
    return int(session.execute(statement, {"models": list(models)}).scalar_one())


def has_scores(session: Session, of: Scores, models: Collection[int]) -> bool:
    """Tell whether any of some models has a score."""
    statement = text(
        "SELECT EXISTS (SELECT FROM unnest(CAST(:models AS bigint[])) m WHERE EXISTS "
        f"(SELECT FROM {of.table} s WHERE s.model_version_id = m))"
    )
    return bool(session.execute(statement, {"models": list(models)}).scalar_one())


def delete_scores(
    session: Session, of: Scores, *, nights: int, gone_only: bool, after: Any, entities: int
) -> tuple[Any, int]:
    """Delete the scores that go of the next videos or clips.

    By their key, as counts are: no batch finds its way through what others deleted. Two who do so
    at once take turns, and each batch asks anew what goes.

    Args:
        session: The unit of work.
        of: Which scores.
        nights: How many stay whole.
        gone_only: Only of models that go themselves.
        after: The last video or clip that was looked at; None for none.
        entities: How many to look at.

    Returns:
        The last one that was looked at now, None if there was none left; and how many scores are
        gone.
    """
    session.execute(
        text("SELECT pg_advisory_xact_lock(hashtext('purge:' || :table))"), {"table": of.table}
    )
    beyond = "" if after is None else f"WHERE {of.key} > :after"
    values = {} if after is None else {"after": after}
    last = session.execute(
        text(
            f"SELECT max({of.key}) FROM (SELECT {of.key} FROM {of.entities} {beyond} "
            f"ORDER BY {of.key} LIMIT :entities) next"
        ),
        {**values, "entities": entities},
    ).scalar_one()
    if last is None:
        return None, 0
    models = models_to_silence(session, nights=nights, gone_only=gone_only)
    beyond = "" if after is None else f"{of.key} > :after AND"
    gone = session.execute(
        text(
            f"DELETE FROM {of.table} WHERE {beyond} {of.key} <= :last "
            "AND model_version_id = ANY(:models)"
        ),
        {**values, "last": last, "models": models},
    )
    return last, cast("CursorResult[Any]", gone).rowcount


def datasets_to_remove(session: Session, *, nights: int, with_models: bool) -> list[str]:
    """Return the datasets that go, with or without models trained on them, the oldest first."""
    statement = text(
        _KEPT + "SELECT dataset_id FROM kept WHERE state = 'gone' AND has_models = :with_models "
        "ORDER BY last_at, dataset_id"
    )
    return list(session.scalars(statement, {**_values(nights), "with_models": with_models}))


def datasets_to_thin(session: Session, *, nights: int) -> list[str]:
    """Return the datasets that stay without their pictures and have them still."""
    statement = text(
        _KEPT + "SELECT d.dataset_id FROM kept JOIN datasets d USING (dataset_id) "
        "WHERE state = 'models' AND pictures_purged_at IS NULL AND EXISTS "
        "(SELECT FROM jsonb_object_keys(d.files) name WHERE name LIKE :pictures) ORDER BY 1"
    )
    return list(session.scalars(statement, {**_values(nights), "pictures": PICTURES}))


@dataclass
class Removed:
    """What went with a dataset.

    Attributes:
        models: Versions.
        evaluations: Of them.
        decisions: That kept the champion against one of them.
        objects: Of the store, that no row names any more.
    """

    models: int = 0
    evaluations: int = 0
    decisions: int = 0
    objects: tuple[str, ...] = ()


def size_of(session: Session, dataset_ids: Collection[str]) -> Removed:
    """Count what goes with some datasets."""
    found = session.execute(
        text(
            "SELECT (SELECT count(*) FROM model_versions WHERE dataset_id = ANY(:ids)), "
            "(SELECT count(*) FROM evaluations WHERE dataset_id = ANY(:ids)), "
            f"(SELECT count(*) FROM promotions {_OVERRULED})"
        ),
        {"ids": list(dataset_ids)},
    ).one()
    return Removed(*found)


_OVERRULED = """
    WHERE decision = 'kept' AND challenger_version_id IN (
        SELECT model_version_id FROM model_versions WHERE dataset_id = ANY(:ids)
    )
"""


def remove_dataset(session: Session, dataset_id: str, *, nights: int) -> Removed | None:
    """Remove a dataset with all that hangs on it, scores excepted, which went before.

    Returns:
        What went; None where somebody else removed it, or it has come into use meanwhile.

    Raises:
        IntegrityError: Another table names one of its models.
    """
    ids = {"ids": [dataset_id]}
    # Who decides about a champion meanwhile waits, and finds its model gone; who freezes or trains
    # on it, too.
    session.execute(
        text(
            "SELECT pg_advisory_xact_lock(hashtext('promotion:' || task)) FROM datasets "
            "WHERE dataset_id = ANY(:ids)"
        ),
        ids,
    )
    locked = session.execute(
        text("SELECT files FROM datasets WHERE dataset_id = ANY(:ids) FOR UPDATE"), ids
    ).one_or_none()
    if locked is None or not _is(session, dataset_id, "gone", nights=nights):
        return None
    models = session.execute(
        text("SELECT files FROM model_versions WHERE dataset_id = ANY(:ids) FOR UPDATE"), ids
    ).all()
    names = {name for (files,) in (locked, *models) for name in files.values()}
    removed = Removed(models=len(models))
    removed.decisions = _deleted(session, f"DELETE FROM promotions {_OVERRULED}", ids)
    by_dataset = "WHERE dataset_id = ANY(:ids)"
    removed.evaluations = _deleted(session, f"DELETE FROM evaluations {by_dataset}", ids)
    # A worker of an earlier release may have given a number without noting it.
    session.execute(text(f"{_GIVEN} {by_dataset} GROUP BY rung {_NEWER}"), ids)
    _deleted(session, f"DELETE FROM model_versions {by_dataset}", ids)
    _deleted(session, f"DELETE FROM datasets {by_dataset}", ids)
    removed.objects = tuple(sorted(names - referenced_objects(session, names)))
    return removed


def thin_dataset(
    session: Session, dataset_id: str, *, nights: int, now: datetime
) -> tuple[str, ...] | None:
    """Let go of a dataset's pictures; return the objects that no row names any more, or None.

    None where somebody else did, or it has come into use meanwhile.
    """
    files = session.execute(
        text(
            "SELECT files FROM datasets "
            "WHERE dataset_id = :id AND pictures_purged_at IS NULL FOR UPDATE"
        ),
        {"id": dataset_id},
    ).scalar_one_or_none()
    if files is None or not _is(session, dataset_id, "models", nights=nights):
        return None
    session.execute(
        text("UPDATE datasets SET pictures_purged_at = :now WHERE dataset_id = :id"),
        {"id": dataset_id, "now": now},
    )
    names = {sha256 for name, sha256 in files.items() if name.endswith(PICTURES.strip("%"))}
    return tuple(sorted(names - referenced_objects(session, names)))


def _is(
    session: Session, dataset_id: str, state: Literal["models", "gone"], *, nights: int
) -> bool:
    statement = text(_KEPT + "SELECT state FROM kept WHERE dataset_id = :id")
    found = session.execute(statement, {**_values(nights), "id": dataset_id}).scalar_one()
    return str(found) == state


def _deleted(session: Session, statement: str, values: dict[str, Any]) -> int:
    return cast("CursorResult[Any]", session.execute(text(statement), values)).rowcount


def _values(nights: int) -> dict[str, Any]:
    return {"nights": nights, "recent": RECENT_CHAMPIONS}
