"""Notifications: to a real HTTP server and a real command, each event once."""

import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pydantic import SecretStr

from db.queries.work.quota import mark_exhausted
from services import notify
from services.errors import BlockedError, TransientError, UsageError
from services.tick import tell
from services.work import breakers, jobs
from services.youtube.quota import key_fingerprint, pacific_day
from tests.support.operations import Operations, operations

__all__ = ["operations"]


@dataclass
class Receiver:
    """Takes what is posted and answers with a status."""

    url: str = ""
    status: int = 204
    got: list[dict[str, Any]] = field(default_factory=list)
    gets: int = 0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            made.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(made.status)
            if made.status == 302:
                self.send_header("Location", made.url + "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            made.gets += 1
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}/hook?token=secret"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()


def fail_a_job(operations: Operations, message: str = "no model") -> str:
    job_id = jobs.submit(operations.context, "score", {})
    operations.sql(
        "UPDATE jobs SET state = 'failed', ready_at = NULL, finished_at = :now, "
        "error_kind = 'permanent', error_reason = 'noModel', error_message = :message "
        "WHERE job_id = :id",
        now=operations.clock(),
        id=job_id,
        message=message,
    )
    return str(job_id)


def test_each_event_is_told_once(operations: Operations, receiver: Receiver):
    operations.with_settings(
        notify_webhook=SecretStr(receiver.url), youtube_api_key=SecretStr("key")
    )
    job_id = fail_a_job(operations, "no “model” – ü")
    with operations.context.transaction() as session:
        refusal = BlockedError("too fast", reason="rateLimitExceeded")
        breakers.record(session, "data-api", n_items=1, errors=[refusal], now=operations.clock())
        mark_exhausted(
            session,
            key_fingerprint=key_fingerprint("key"),
            bucket="units",
            pacific_day=pacific_day(operations.clock()),
            now=operations.clock(),
        )
    assert tell(operations.context) == 3
    assert tell(operations.context) == 0
    told = {message["event"]: message for message in receiver.got}
    assert len(receiver.got) == 3
    assert (told["job.failed"]["job_id"], told["job.failed"]["message"]) == (
        job_id,
        "no “model” – ü",
    )
    assert told["breaker.opened"]["host"] == "data-api"
    assert told["quota.exhausted"]["bucket"] == "units"
    assert {c["state"]: c["count"] for c in notify.counts(operations.context)} == {"sent": 1}
    operations.turn(hours=2)  # the breaker was not closed: still the same event
    operations.tick()
    notify.send_due(operations.context)
    assert len(receiver.got) == 3


def test_a_webhook_that_fails_is_tried_again_and_then_counted(
    operations: Operations, receiver: Receiver
):
    operations.with_settings(notify_webhook=SecretStr(receiver.url))
    receiver.status = 500
    fail_a_job(operations)
    operations.tick()
    for _ in range(notify.MAX_ATTEMPTS):
        notify.send_due(operations.context)
        notify.send_due(operations.context)  # not before its pause is over
        operations.turn(hours=9)
    assert len(receiver.got) == notify.MAX_ATTEMPTS
    assert notify.counts(operations.context) == [
        {"event": "job.failed", "target": "webhook", "state": "failed", "count": 1}
    ]


def test_a_redirect_is_not_followed(operations: Operations, receiver: Receiver):
    operations.with_settings(notify_webhook=SecretStr(receiver.url))
    receiver.status = 302
    with pytest.raises(TransientError, match="HTTP 302"):
        notify.send_test(operations.context)
    assert (len(receiver.got), receiver.gets) == (1, 0)


def test_what_cannot_be_reached_is_said_without_its_secret(operations: Operations):
    operations.with_settings(notify_webhook=SecretStr("http://127.0.0.1:9/?token=secret"))
    with pytest.raises(TransientError) as caught:
        notify.send_test(operations.context)
    assert "secret" not in str(caught.value)
    operations.with_settings(notify_webhook=SecretStr("file:///etc/passwd"))
    with pytest.raises(UsageError, match="no http"):
        notify.send_test(operations.context)


def test_a_command_gets_json_on_its_input_and_no_shell(operations: Operations, tmp_path):
    script = tmp_path / "take it.py"
    script.write_text(
        "import pathlib, sys\n"
        "pathlib.Path(sys.argv[1]).write_bytes(sys.stdin.buffer.read())\n"
        "pathlib.Path(sys.argv[1] + '.args').write_text(repr(sys.argv[2:]))\n"
    )
    out = tmp_path / "out.json"
    operations.with_settings(
        notify_command=f"{sys.executable} '{script}' {out} ';' '$(touch {tmp_path}/pwned)'"
    )
    assert notify.send_test(operations.context) == ["command"]
    assert json.loads(out.read_bytes())["event"] == "test"
    assert ";" in (tmp_path / "out.json.args").read_text()
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (f"{sys.executable} -c 'raise SystemExit(3)'", "ended with 3"),
        ("/no/such/program", "cannot be started"),
        ("'unbalanced", "cannot be started"),
        ("", "cannot be started"),
    ],
)
def test_a_command_that_fails_is_said(operations: Operations, command: str, said: str):
    operations.with_settings(notify_command=command)
    with pytest.raises(TransientError, match=said):
        notify.send_test(operations.context)


def test_without_a_target_nothing_is_noted(operations: Operations):
    fail_a_job(operations)
    assert operations.tick() == []
    assert notify.counts(operations.context) == []
    with pytest.raises(UsageError, match="nobody is to be notified"):
        notify.send_test(operations.context)


def test_one_target_that_fails_keeps_nothing_from_the_other(
    operations: Operations, receiver: Receiver
):
    operations.with_settings(
        notify_webhook=SecretStr(receiver.url), notify_command="/no/such/program"
    )
    fail_a_job(operations)
    operations.tick()
    assert notify.send_due(operations.context) == 1
    assert {(c["target"], c["state"]) for c in notify.counts(operations.context)} == {
        ("webhook", "sent"),
        ("command", "due"),
    }
