"""Drift from end to end: a champion, later videos that are alike or not, and what is told of it."""

import json
from collections.abc import Iterator
from datetime import timedelta
from importlib import resources
from pathlib import Path

import pytest
from jinja2 import Environment

from db.partitions import ensure_partitions
from services import notify
from services.embedded import Endpoints
from services.errors import PermanentError
from services.learning.drift import measuring, reading
from services.learning.report.drift_section import render_drift
from services.learning.thumbnails import datasets, selection
from tests.support.cli import settings_of, tubegrader
from tests.support.promotion import World, store_channels, world

LATER = timedelta(days=320)
"""Then all that is published in the last 300 days is newer than what the champion learned on."""


@pytest.fixture(scope="module")
def learned(endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A champion of 40 channels."""
    with world(endpoints, tmp_path_factory.mktemp("drift"), "test_drift_learned") as made:
        store_channels(made.context, range(40))
        night = made.night(seed=1)
        assert night.state == "succeeded", night.error_message
        assert night.steps["drift"]["status"] == "notEnough"
        yield made


@pytest.fixture
def later(learned: World, endpoints: Endpoints, tmp_path: Path) -> Iterator[World]:
    """A world of one's own, most of a year later, with 30 new channels of three videos each."""
    with world(endpoints, tmp_path, "test_drift_later", like=learned) as made:
        made.now += LATER
        with made.context.transaction() as session:
            ensure_partitions(session.connection(), start=made.now)
        store_channels(made.context, range(100, 130))
        yield made


def grow(made: World, times: float) -> None:
    """Multiply the views of the new videos."""
    made.sql(
        "UPDATE video_snapshots SET view_count = view_count * :times WHERE captured_at >= :now",
        times=times,
        now=made.now,
    )


def look(made: World) -> dict[str, object]:
    datasets.freeze(made.context, selection.Request())
    return measuring.measure(made.context)


def test_videos_that_are_alike_are_no_drift(later: World):
    found = look(later)
    assert found["status"] == "noDrift", found["sentence"]
    assert (found["n_videos"], found["n_channels"]) == (90, 30)
    names = {column["name"] for column in found["columns"]}
    assert names >= {
        "subscriber_count",
        "format",
        "thumbnail",
        "probability_over",
        "views",
        "log_loss",
        "r2",
    }
    assert all(column["distance"] <= column["threshold"] for column in found["columns"])
    assert reading.newest(later.context) == found


def test_videos_that_are_watched_more_are_found_and_told(later: World, monkeypatch):
    grow(later, 8)
    found = look(later)
    assert found["status"] == "drift"
    drifted = {column["name"]: column for column in found["columns"] if column["is_drifted"]}
    assert {"views", "error"} <= drifted.keys()
    assert "subscriber_count" not in drifted
    assert drifted["error"]["after"] - drifted["error"]["before"] == pytest.approx(0.9, abs=0.25)
    # The command, the report and the operator are told the same.
    shown = tubegrader("drift", env=settings_of(later.context))
    assert shown.code == 0, shown.err
    assert found["sentence"] in shown.out
    as_json = tubegrader("drift", "--json", env=settings_of(later.context))
    assert json.loads(as_json.out) == found
    changed = {"notify_command": "true"}
    monkeypatch.setattr(
        later.context, "settings", later.context.settings.model_copy(update=changed)
    )
    notify.note_events(later.context)
    told = later.sql("SELECT event, payload ->> 'message' FROM notifications")
    assert ("drift.found", found["sentence"]) in told
    [(columns, drift)] = later.sql(
        "SELECT count(*), count(*) FILTER (WHERE is_drifted) FROM drift_findings"
        " WHERE status = 'drift'"
    )
    assert (columns, drift) == (len(found["columns"]), len(drifted))


def test_a_night_with_an_alarm_succeeds_and_looks_once(later: World):
    grow(later, 8)
    datasets.freeze(later.context, selection.Request())
    job_id = later.begin(seed=1, broken=0.9)
    done = later.go_on(job_id)
    assert done.state == "succeeded", done.error_message
    assert done.steps["drift"]["status"] in ("drift", "notEnough")
    # Its worker died after the report was written, before the step was noted.
    later.sql(
        "UPDATE jobs SET steps = steps - 'drift', state = 'queued', finished_at = NULL,"
        " ready_at = now() WHERE job_id = :j",
        j=job_id,
    )
    assert later.go_on(job_id).steps["drift"] == done.steps["drift"]
    assert later.sql("SELECT count(*) FROM drift_reports WHERE job_id = :j", j=job_id) == [(1,)]


def test_too_few_new_videos_are_said_to_be_too_few(learned: World):
    found = measuring.measure(learned.context)
    assert found["status"] == "notEnough"
    assert "0 videos were published since the champion learned; 50 of 10 channels" in str(
        found["sentence"]
    )
    assert found["columns"] == []


def test_the_report_shows_what_drifted():
    environment = Environment(autoescape=True)
    template = (resources.files("services.learning.report") / "drift.html").read_text()
    column = {"name": "views", "distance": 0.4, "threshold": 0.2, "is_drifted": True}
    told = {
        "sentence": "They differ <in> views.",
        "created_at": "2026-03-01T12:00:00+00:00",
        "champion": {"rung": "+thumbnail", "version": 2},
        "columns": [
            {**column, "sentence": "Log views a day: 3 before, 4 now, more than chance."},
            {**column, "name": "format", "distance": 0.0, "threshold": 0.0, "is_drifted": False},
        ],
    }
    page = str(render_drift(environment, template, told))
    assert "They differ &lt;in&gt; views." in page
    assert page.count("<li>") == 1
    assert "Beyond their thresholds: views." in page
    assert "3 × and more" in page
    assert "Nobody has looked yet" in str(render_drift(environment, template, None))


def test_without_a_champion_it_is_said_so(context):
    with pytest.raises(PermanentError) as caught:
        measuring.measure(context)
    assert caught.value.reason == "noChampion"
    said = tubegrader("drift", env=settings_of(context))
    assert (said.code, "tubegrader models retrain" in said.err) == (1, True)
