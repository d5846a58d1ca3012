"""Finished retrainings told to MLflow, and nights that go on without it."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from services.embedded import Endpoints
from services.learning import tracking
from tests.support.promotion import World, store_channels, world


@pytest.fixture(scope="module")
def learned(endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One night, which nobody was told of."""
    with world(endpoints, tmp_path_factory.mktemp("tracking"), "test_tracking") as made:
        store_channels(made.context, range(30), each=2)
        assert made.night(seed=1).state == "succeeded"
        yield made


def told(made: World, uri: str) -> dict:
    """Go on with the last night as if only MLflow were missing."""
    settings = made.context.settings.model_copy(update={"mlflow_uri": SecretStr(uri)})
    made.context.settings = settings
    [(job_id,)] = made.sql(
        "UPDATE jobs SET state = 'queued', ready_at = now(), finished_at = NULL, attempts = 0, "
        "steps = steps - 'mlflow' RETURNING job_id"
    )
    ended = made.go_on(job_id)
    assert ended.state == "succeeded"
    return ended.steps["mlflow"]


def test_a_server_that_is_away_or_a_missing_package_never_fails_the_night(learned: World):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    problem = told(learned, f"http://user:secret@127.0.0.1:{port}")["problem"]
    assert problem
    assert "secret" not in problem


def test_figures_params_and_cards_arrive_once(
    learned: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    mlflow = pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    for name, value in tracking.QUIET.items():
        monkeypatch.setenv(name, value)
    # Servers have a database; a folder needs none, but has to be asked for.
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = (tmp_path / "mlflow").as_uri()
    first = told(learned, uri)
    assert "run_id" in first, first
    assert told(learned, uri) == first
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("tubegrader-thumbnails")
    [run] = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert 0 < run.data.metrics["subscribers plus age/auc"] <= 1
    assert run.data.metrics["plus history/r2.low"] < run.data.metrics["plus history/r2.high"]
    assert run.data.params["trained.seed"] == "1"
    assert run.data.params["trained.cnn.epochs"] == "1"
    assert run.data.tags["decision"] == "promoted"
    card = (tmp_path / "mlflow").glob(f"*/{run.info.run_id}/artifacts/champion.md")
    assert f"# {learned.champion()}\n" in next(card).read_text()
