"""What is known of model versions, as plain values: for tables, JSON and model cards."""

import json
from typing import Any

from db.models import Dataset, Evaluation, ModelVersion
from db.models.learning import SPEECH, TASKS, THUMBNAILS
from db.queries.learning import datasets, evaluations, model_versions, promotions
from services.context import Context
from services.errors import PermanentError
from services.learning.artifacts import get_folder, workspace
from services.learning.promotion import decisions
from services.learning.promotion.decisions import Decision, name_of
from services.learning.results import evaluation_of, in_order, models_in_use

DOCUMENT = {THUMBNAILS: "model.json", SPEECH: "full.model.json"}
"""The file of an artefact that says where it comes from."""


def listed(context: Context, *, task: str | None = None, every: bool = False) -> dict[str, Any]:
    """Return the models in use and the newest ones of each task, or all there are.

    Args:
        context: Where.
        task: Only of this one, ``thumbnails`` or ``speech``.
        every: All versions.

    Returns:
        ``models``, each as a mapping; ``decisions``: the last one of each task.
    """
    models: list[dict[str, Any]] = []
    last: dict[str, Any] = {}
    for name in TASKS if task is None else (task,):
        models += _of_task(context, name, every=every)
        made = decisions.history(context, name)
        if made:
            row, decision = made[-1]
            last[name] = {"decided_at": row.decided_at.isoformat(), **decision.as_json()}
    return {"models": models, "decisions": last}


def _of_task(context: Context, task: str, *, every: bool) -> list[dict[str, Any]]:
    in_use = {model.model_version_id for model in models_in_use(context, task)}
    with context.transaction() as session:
        newest = model_versions.newest(session, task=task)
        versions = model_versions.all_versions(session, task=task)
        if not every:
            wanted = in_use | {model.model_version_id for model in newest}
            versions = [model for model in versions if model.model_version_id in wanted]
        aliases = promotions.aliases(session)
        metrics = evaluations.metrics_of(session, [model.model_version_id for model in versions])
    rungs = in_order(model.rung for model in versions)
    versions.sort(key=lambda model: (rungs.index(model.rung), -model.version))
    return [
        {
            **_named(model),
            "aliases": aliases.get(model.model_version_id, []),
            "in_use": model.model_version_id in in_use,
            "trained_at": model.trained_at.isoformat(),
            "dataset_id": model.dataset_id,
            "seed": model.seed,
            "code_version": model.code_version,
            "metrics": metrics.get(model.model_version_id, {}),
        }
        for model in versions
    ]


def facts_of(context: Context, version: ModelVersion) -> dict[str, Any]:
    """Return everything that is known of a model version."""
    with context.transaction() as session:
        ladder = promotions.ladder_of(session, version)
        aliases = promotions.aliases(session).get(version.model_version_id, [])
        dataset = datasets.get(session, version.dataset_id)
    assert dataset is not None, "a foreign key"
    in_use = {model.model_version_id for model in models_in_use(context, version.task)}
    names = {model.rung: name_of(model) for model in ladder}
    return {
        **_named(version),
        "aliases": aliases,
        "in_use": version.model_version_id in in_use,
        "trained_at": version.trained_at.isoformat(),
        "job_id": None if version.job_id is None else str(version.job_id),
        "seed": version.seed,
        "code_version": version.code_version,
        "config": version.config,
        "ladder": [names[rung] for rung in in_order(names)],
        "dataset": _dataset(context, dataset),
        "artefact": _artefact(context, version),
        "evaluation": _evaluation(evaluation_of(context, ladder), version.rung),
        "decisions": _decisions(context, version),
        "files": dict(sorted(version.files.items())),
    }


def is_interval(value: object) -> bool:
    """Tell whether a figure of a comparison is a value with its interval."""
    return isinstance(value, dict) and {"value", "low", "high"} <= value.keys()


def _named(version: ModelVersion) -> dict[str, Any]:
    return {
        "name": name_of(version),
        "task": version.task,
        "rung": version.rung,
        "version": version.version,
        "model_version_id": version.model_version_id,
    }


def _dataset(context: Context, row: Dataset) -> dict[str, Any]:
    found = {
        "dataset_id": row.dataset_id,
        "as_of": row.as_of.isoformat(),
        "rows": row.n_videos,
        "clusters": row.n_channels,
        "threshold": row.threshold,
        "base_rate": row.base_rate,
        "excluded": dict(row.excluded),
    }
    if "dataset.json" not in row.files:
        return found | {"unreadable": "its description was not kept"}
    try:
        described = json.loads(context.store.get(row.files["dataset.json"]))
        more = _published(context, row) if row.task == THUMBNAILS else described
    except PermanentError as error:
        return found | {"unreadable": str(error)}
    return found | {"params": described.get("params", {}), "more": more}


def _published(context: Context, row: Dataset) -> dict[str, Any]:
    """Return from when to when the videos were published, and how their views were counted."""
    import pyarrow.compute as pc  # noqa: PLC0415  (a list of models needs none of it)
    import pyarrow.parquet as pq  # noqa: PLC0415

    name = "manifest.parquet"
    with workspace(context, "facts") as folder:
        get_folder(context.store, {name: row.files[name]}, folder)
        table = pq.read_table(folder / name, columns=["published_at", "label_kind"])
    span = pc.min_max(table["published_at"]).as_py()
    return {
        "published_from": span["min"].isoformat(),
        "published_to": span["max"].isoformat(),
        "label_kinds": sorted(set(table["label_kind"].to_pylist())),
    }


def _artefact(context: Context, version: ModelVersion) -> dict[str, Any]:
    """Return what the artefact itself says of where it comes from."""
    try:
        document = json.loads(context.store.get(version.files[DOCUMENT[version.task]]))
    except (PermanentError, KeyError) as error:
        return {"unreadable": str(error)}
    card: dict[str, Any] = document["card"]
    return {name: card[name] for name in ("folds", "config", "preprocessing", "device")}


def _evaluation(evaluation: Evaluation | None, rung: str) -> dict[str, Any] | None:
    if evaluation is None:
        return None
    detail = evaluation.detail
    own = dict(detail["rungs"].get(rung, {}))
    slices = [
        {**{n: part[n] for n in ("by", "name", "n_videos", "n_channels")}, **part["rungs"][rung]}
        for part in detail.get("slices", ())
        if rung in part["rungs"]
    ]
    return {
        "evaluation_id": evaluation.evaluation_id,
        "evaluated_at": evaluation.created_at.isoformat(),
        "sentence": evaluation.sentence,
        "rows": evaluation.n_videos,
        "clusters": evaluation.n_channels,
        "rung": own,
        "slices": slices,
    }


def _decisions(context: Context, version: ModelVersion) -> list[dict[str, Any]]:
    def concerns(decision: Decision) -> bool:
        return version.model_version_id in {
            side.model_version_id
            for side in (decision.champion, decision.challenger)
            if side is not None
        }

    return [
        {"decided_at": row.decided_at.isoformat(), **decision.as_json(), "figures": row.figures}
        for row, decision in decisions.history(context, version.task)
        if concerns(decision)
    ]
