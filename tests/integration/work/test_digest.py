"""The digest of a night: its words, its page, its message, once for each retraining."""

import json
import re
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from services import digest, notify
from services.errors import TransientError
from services.tick import CHORES, tell
from services.work import jobs
from tests.support.api import client_of
from tests.support.operations import Operations, operations

__all__ = ["operations"]

NIGHT = {
    "train": {
        "trained": True,
        "versions": {"subscribers": 2, "thumbnail": 2},
        "dataset_id": "d" * 64,
    },
    "compare": {"sentence": "The thumbnail adds ΔR² 0.05."},
    "contest": {
        "decision": "kept",
        "reason": "It is no better.",
        "champion": "thumbnail@1",
        "challenger": "thumbnail@2",
    },
    "drift": {"status": "drift", "sentence": "Titles grew longer."},
}


def ended(operations: Operations, state: str = "succeeded", **values: Any) -> uuid.UUID:
    """A retraining that ended now."""
    params = {"task": values.pop("task")} if "task" in values else {}
    job_id = jobs.submit(operations.context, "retrain", params)
    failed = {"kind": None, "reason": None, "message": None} | (
        {"kind": "permanent", "reason": "noData", "message": "there is too little"}
        if state == "failed"
        else {}
    )
    operations.sql(
        "UPDATE jobs SET state = :state, ready_at = NULL, finished_at = :now, result = :result, "
        "error_kind = :kind, error_reason = :reason, error_message = :message WHERE job_id = :id",
        state=state,
        now=operations.clock(),
        result=json.dumps(values.get("result")) if "result" in values else None,
        id=job_id,
        **failed,
    )
    return job_id


@pytest.fixture
def letters(operations: Operations, tmp_path: Path) -> Path:
    """The file to which a command appends each message."""
    script, out = tmp_path / "append.py", tmp_path / "letters"
    script.write_text("import sys; open(sys.argv[1], 'ab').write(sys.stdin.buffer.read() + b'\\n')")
    operations.with_settings(notify_command=f"{sys.executable} {script} {out}")
    return out


def note_and_tell(operations: Operations) -> None:
    digest.note(operations.context)
    tell(operations.context)


def read(letters: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in letters.read_bytes().splitlines()]
    return [each for each in found if each["event"] == digest.EVENT]


def test_a_night_is_told_in_a_line_and_what_drifted_is_to_be_looked_at(operations: Operations):
    ended(operations, result=NIGHT)
    found = digest.digest(operations.context)
    assert found.sentence == (
        "Nothing fell due to be collected on 2026-07-14. "
        "thumbnails: thumbnail@1 stays champion. Titles grew longer."
    )
    assert [(each.what, each.page) for each in found.look_at] == [
        ("Titles grew longer.", "/models")
    ]
    assert "Trained 2 models on dataset dddddddddddd." in found.as_text()
    assert json.loads(json.dumps(found.as_json()))["nights"][0]["has_drifted"] is True


def test_a_night_that_failed_leads_to_its_job(operations: Operations):
    job = ended(operations, "failed", task="speech")
    [first] = digest.digest(operations.context).look_at
    assert first.page == f"/jobs/{job}"
    assert first.what == "speech: the retraining failed: there is too little."


def test_what_ended_more_than_a_day_ago_is_no_news(operations: Operations):
    ended(operations, result=NIGHT)
    operations.turn(hours=25)
    found = digest.digest(operations.context)
    assert found.nights == []
    assert [each.page for each in found.look_at] == ["/schedules"]


def test_what_fell_due_and_was_not_collected_is_counted_by_reason(operations: Operations):
    operations.make_work("channel.snapshot", 3)
    operations.turn(days=1)
    found = digest.digest(operations.context)
    assert (found.expected, found.collected) == (3, 0)
    assert sum(found.missing.values()) == 3
    assert found.collecting == "Collected 0.0 % of 3 snapshots that fell due on 2026-07-15."
    assert any(each.page.startswith("/completeness") for each in found.look_at)


def test_the_figures_are_those_of_the_day_that_was_over_when_the_night_ended(
    operations: Operations, letters: Path
):
    operations.make_work("channel.snapshot", 3)
    operations.turn(days=1)
    job = ended(operations, result=NIGHT)
    before = digest.digest(operations.context)
    operations.turn(hours=20)  # nobody told it until then, and more fell due
    [channel] = operations.watch(4)[3:]
    operations.sql(
        "INSERT INTO missed_slots (kind, entity_id, first_slot, channel_id, last_slot, interval_s, "
        "reason, noted_at) VALUES ('channel.snapshot', :c, :at, :c, :at, 86400, 'paused', :at)",
        c=channel,
        at=operations.clock(),
    )
    ended(operations, "failed", task="speech")
    note_and_tell(operations)
    [late] = [
        each["digest"]
        for each in read(letters)
        if [night["job_id"] for night in each["digest"]["nights"]] == [str(job)]
    ]
    assert (late["day"], late["expected"], late["missing"]) == ("2026-07-15", 3, {"overdue": 3})
    assert late == json.loads(json.dumps(before.as_json()))


def test_a_digest_reads_no_snapshot_of_a_video(operations: Operations):
    ended(operations, result=NIGHT)
    read_of: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        read_of.extend(re.findall(r"completeness_since|video_snapshots", statement))

    event.listen(operations.context.engine, "before_cursor_execute", note)
    try:
        digest.digest(operations.context)
    finally:
        event.remove(operations.context.engine, "before_cursor_execute", note)
    assert read_of == []


def test_alerts_go_out_whatever_becomes_of_a_digest(
    operations: Operations, letters: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*_: Any, **__: Any) -> Any:
        raise TransientError("canceling statement due to statement timeout", reason="database")

    ended(operations, "failed", task="speech")
    with monkeypatch.context() as patched:
        patched.setattr(digest.completeness, "of_day", fail)
        patched.setattr(digest.completeness, "report", fail)
        tell(operations.context)
        assert digest.note(operations.context) == 0
    assert [json.loads(line)["event"] for line in letters.read_bytes().splitlines()] == [
        "job.failed"
    ]
    note_and_tell(operations)
    assert len(read(letters)) == 1


def test_a_night_whose_steps_are_odd_keeps_no_other_from_being_told(
    operations: Operations, letters: Path
):
    ended(operations, task="speech", result={"train": ["odd"], "drift": "odd"})
    operations.turn(minutes=5)
    ended(operations, result=NIGHT)
    for chore in CHORES:
        if chore.name in ("note digests", "tell the operator"):
            chore.do(operations.context)
    tell(operations.context)
    assert len(read(letters)) == 2
    assert "speech: succeeded." in read(letters)[0]["subject"]


def test_each_retraining_is_told_once_as_a_letter(operations: Operations, letters: Path):
    ended(operations, result=NIGHT)
    note_and_tell(operations)
    note_and_tell(operations)
    [letter] = read(letters)
    assert letter["subject"].startswith("TubeGrader: Nothing fell due")
    assert "To look at:\n- Titles grew longer. (/models)\n" in letter["message"]
    assert letter["digest"]["nights"][0]["decided"].startswith("thumbnail@1 stays champion.")
    operations.turn(minutes=5)
    ended(operations, task="speech", result={})
    note_and_tell(operations)
    assert [len(each["digest"]["nights"]) for each in read(letters)] == [1, 2]


def test_without_anybody_to_tell_nothing_is_noted(operations: Operations):
    ended(operations, result=NIGHT)
    assert digest.note(operations.context) == 0
    assert notify.counts(operations.context) == []


def test_the_page_and_the_overview_say_it(operations: Operations):
    ended(operations, result=NIGHT)
    with client_of(operations.context) as client:
        shown = client.get("/digest", headers={"Accept": "text/html"}).text
        overview = client.get("/", headers={"Accept": "text/html"}).text
    assert "Titles grew longer." in shown
    assert "Last night: thumbnails: thumbnail@1 stays champion." in overview
    assert 'href="/digest"' in overview
