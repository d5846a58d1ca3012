"""Finished retrainings logged to an MLflow server, where one is set. It never decides anything.

Whatever fails here is noted in the log and in the job's result; the night itself is done by then.
"""

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

import structlog

from services.context import Context
from services.errors import UsageError
from services.learning.promotion.card import render
from services.learning.promotion.facts import facts_of, is_interval
from services.learning.promotion.naming import find
from services.learning.results import newest_models_and_evaluation
from services.learning.tasks import task_of
from services.work.jobs import JobHandle

log = structlog.get_logger()

QUIET = {
    # One try: a server that is away must not hold a night up for the quarter of an hour that the
    # client would wait by itself.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    # Nothing about this installation is anybody else's business.
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
PARAMS_AT_ONCE, METRICS_AT_ONCE = 100, 1_000
LONGEST_PARAM = 500
_PASSWORD = re.compile(r"//[^/@\s]+@")
_NOT_IN_A_KEY = re.compile(r"[^\w\-. /]")


def log_night(context: Context, job: JobHandle) -> dict[str, Any]:
    """Log to MLflow a retraining whose steps are done; the settings name the server.

    Returns:
        ``run_id``; or ``problem``, why it could not be logged.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        run_id = _log(context, job)
    except ImportError:
        return _not_logged(job, "mlflow-skinny is not installed: pip install 'tubegrader[mlflow]'")
    # The client raises whatever its transport or store does; none of it may fail the night.
    except Exception as error:  # noqa: BLE001
        problem = _PASSWORD.sub("//…@", f"{type(error).__name__}: {error}")
        return _not_logged(job, problem[:LONGEST_PARAM])
    return {"run_id": run_id}


def _not_logged(job: JobHandle, problem: str) -> dict[str, Any]:
    log.warning("mlflow.not_told", job_id=str(job.job_id), problem=problem)
    return {"problem": problem}


def _log(context: Context, job: JobHandle) -> str:
    import mlflow  # noqa: PLC0415  (an extra, and slow to import)
    from mlflow.entities import Metric, Param, RunTag  # noqa: PLC0415

    assert context.settings.mlflow_uri is not None
    client = mlflow.MlflowClient(tracking_uri=context.settings.mlflow_uri.get_secret_value())
    experiment = f"tubegrader-{task_of(job.params).name}"
    found = client.get_experiment_by_name(experiment)
    experiment_id = found.experiment_id if found else client.create_experiment(experiment)
    runs = client.search_runs([experiment_id], f"tags.job_id = '{job.job_id}'", max_results=1)
    if runs and runs[0].info.status == "FINISHED":
        return str(runs[0].info.run_id)
    now = round(context.clock().timestamp() * 1000)
    run = client.create_run(
        experiment_id, start_time=now, run_name=f"{context.clock():%Y-%m-%d} {str(job.job_id)[:8]}"
    )
    run_id = str(run.info.run_id)
    metrics = [Metric(key, value, now, 0) for key, value in _metrics(context, job)]
    params = [Param(key, value) for key, value in _params(context, job)]
    for first in range(0, len(metrics), METRICS_AT_ONCE):
        client.log_batch(run_id, metrics=metrics[first : first + METRICS_AT_ONCE])
    for first in range(0, len(params), PARAMS_AT_ONCE):
        client.log_batch(run_id, params=params[first : first + PARAMS_AT_ONCE])
    for name in ("champion", "challenger"):
        try:
            version = find(context, name, task=task_of(job.params).name)
        except UsageError:
            continue  # there is none
        client.log_text(run_id, render(facts_of(context, version)), f"{name}.md")
    decision = job.steps["contest"]
    tags = {name: decision[name] for name in ("decision", "ground", "reason")}
    tags |= {"job_id": str(job.job_id), "dataset_id": job.steps["train"]["dataset_id"]}
    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()])
    client.set_terminated(run_id, "FINISHED", end_time=round(context.clock().timestamp() * 1000))
    return run_id


def _metrics(context: Context, job: JobHandle) -> Iterator[tuple[str, float]]:
    """Yield each figure of the comparison and its interval's ends, by rung."""
    _, evaluation = newest_models_and_evaluation(context, task_of(job.params).name)
    if evaluation is None:
        return
    for rung, figures in evaluation.detail["rungs"].items():
        for name, interval in figures.items():
            if is_interval(interval):
                yield from _ends(f"{rung}/{name}", interval)


def _ends(key: str, interval: Mapping[str, float | None]) -> Iterator[tuple[str, float]]:
    key = _NOT_IN_A_KEY.sub(" ", key.replace("+", " plus ")).strip()
    for end, suffix in (("value", ""), ("low", ".low"), ("high", ".high")):
        value = interval[end]
        if value is not None:
            yield f"{key}{suffix}", value


def _params(context: Context, job: JobHandle) -> Iterator[tuple[str, str]]:
    """Yield what was asked for, and how the newest models were trained."""
    models, _ = newest_models_and_evaluation(context, task_of(job.params).name)
    trained: dict[str, Any] = {}
    if models:
        own = {"seed": models[0].seed, "code_version": models[0].code_version}
        trained = own | dict(models[0].config)
    for name, value in _flat({"asked": job.params, "trained": trained}):
        yield name, str(value)[:LONGEST_PARAM]


def _flat(values: Mapping[str, Any], under: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{under}{name}.")
        else:
            yield f"{under}{name}", value
