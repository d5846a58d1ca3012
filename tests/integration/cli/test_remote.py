"""Commands for a home on another machine: over the HTTP API of a real process, starting nothing."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from db.queries.catalog import channels
from db.queries.work import work_items
from services.context import Context
from services.crawl.completeness import report
from services.queue import DISPATCHER, QUEUES
from services.work import fleet, jobs, pauses
from tests.support.api import api_process
from tests.support.catalogue import Catalogue
from tests.support.cli import Ran, in_process
from tests.support.crawl import NOW

CHANNEL = "UC" + "a" * 22
Remote = Callable[..., Ran]


@pytest.fixture
def address(context: Context, tmp_path: Path) -> Iterator[str]:
    """The API of the context's database, as a process of its own."""
    with api_process(context, tmp_path, TUBEGRADER_YOUTUBE_API_KEY="offline") as (url, _):
        yield url


@pytest.fixture
def remote(address: str, tmp_path: Path) -> Iterator[Remote]:
    """Run a command for that home on a machine that has none; nothing is made there."""
    nobody = tmp_path / "nobody"

    def run(*words: str, code: int = 0) -> Ran:
        ran = in_process(
            *words, env={"TUBEGRADER_API_URL": address, "TUBEGRADER_HOME": str(nobody)}
        )
        assert ran.code == code, ran.err
        return ran

    yield run
    assert not nobody.exists()


def as_json(ran: Ran):
    return json.loads(ran.out)


def test_the_same_commands_work_on_a_home_elsewhere(remote: Remote, address: str, context: Context):
    with context.transaction() as session:
        channels.add(session, [CHANNEL], now=context.clock())
    [added] = as_json(remote("channels", "add", CHANNEL, "--tag", "mine", "--json"))
    assert (added["channel_id"], added["status"]) == (CHANNEL, "known")
    assert remote("channels", "tag", "add", CHANNEL, "--tag", "more").out == "1 tag added\n"
    assert remote("channels", "pause", CHANNEL).out == "1 channel paused\n"
    assert remote("channels", "resume", CHANNEL).out == "1 channel resumed\n"
    [listed] = as_json(remote("channels", "list", "--tag", "more", "--json"))
    assert listed["tags"] == ["mine", "more"]
    assert CHANNEL in remote("channels", "list").out
    assert CHANNEL in remote("channels", "show", CHANNEL).out

    scored = as_json(remote("models", "score", "--no-wait", "--json"))["job_id"]
    crawled = remote("channels", "crawl", "--no-wait").out.strip()
    assert [job["job_id"] for job in as_json(remote("jobs", "list", "--json"))] == [crawled, scored]
    assert "score" in remote("jobs", "show", scored[:8]).out
    assert as_json(remote("jobs", "cancel", scored[:8], "--json"))["state"] == "cancelled"
    assert "the job was cancelled" in remote("jobs", "watch", scored[:8], code=1).err
    [shown] = remote("jobs", "show", scored, "--watch").out.split("state ")[1:]
    assert shown.split()[0] == "cancelled"

    words = ("schedules", "add", "often", "--kind", "crawl", "--every", "6h", "--channel", CHANNEL)
    assert as_json(remote(*words, "--json"))["new"] is True
    assert remote("schedules", "pause", "often").out == "often is paused\n"
    kept = {s["name"]: s for s in as_json(remote("schedules", "list", "--json"))}
    assert (kept["often"]["state"], kept["often"]["interval_s"]) == ("paused", 21600)
    fired = as_json(remote("schedules", "run", "often", "--json"))["job_id"]
    assert "crawl" in remote("jobs", "show", fired).out
    assert remote("schedules", "remove", "often").out == "often is removed\n"

    assert as_json(remote("videos", "list", "--json")) == []
    assert as_json(remote("models", "list", "--json"))["models"] == []
    query = "SELECT channel_id, watched FROM channels"
    assert as_json(remote("sql", "-c", query, "--json")) == [
        {"channel_id": CHANNEL, "watched": True}
    ]
    assert as_json(remote("status", "--json", code=3))["home"] == address
    assert remote("open", "jobs", "--url").out == f"{address}/jobs\n"


def test_what_fails_there_is_tried_again_and_what_scores_is_paused(
    remote: Remote, context: Context
):
    scored = as_json(remote("models", "score", "--no-wait", "--json"))["job_id"]
    for verb, said in (
        ("pause", "is paused"),
        ("pause", "was paused"),
        ("resume", "goes on"),
        ("resume", "was not paused"),
    ):
        assert remote("jobs", verb, scored[:8]).out == f"job {scored[:8]} {said}\n"
    trained = as_json(remote("models", "train", "--no-wait", "--json"))["job_id"]
    night = remote("models", "retrain", "speech", "--no-wait").out.strip()
    assert as_json(remote("jobs", "show", night, "--json"))["kind"] == "retrain"
    with context.transaction() as session:
        failed = "state = 'failed', error_reason = 'odd', error_kind = 'permanent'"
        ended = f"{failed}, ready_at = NULL, finished_at = now()"
        session.execute(text(f"UPDATE jobs SET {ended} WHERE kind <> 'score'"))
    by_reason = ("jobs", "retry", "--failed", "--reason")
    assert as_json(remote(*by_reason, "even", "--json")) == {"jobs": []}
    would = as_json(remote(*by_reason, "odd", "--kind", "train", "--dry-run", "--json"))
    assert would == {"jobs": [trained], "dry_run": True}
    assert as_json(remote("jobs", "show", trained, "--json"))["state"] == "failed"
    assert as_json(remote("jobs", "retry", trained[:8], scored[:8], "--json")) == {
        "jobs": [trained]  # the other one did not fail
    }
    assert as_json(remote(*by_reason, "odd", "--json")) == {"jobs": [night]}
    assert "no job is “tea”" in remote("jobs", "retry", "--failed", "--kind", "tea", code=2).err


def test_items_quota_and_what_a_channel_leaves_are_told_there(remote: Remote, context: Context):
    now = context.clock()
    with context.transaction() as session:
        channels.add(session, [CHANNEL], now=now)
        work_items.add_items(session, "channel.snapshot", [(CHANNEL, CHANNEL)], slot=now)
        failed = "state = 'failed', ready_at = NULL, error_reason = 'odd'"
        session.execute(text(f"UPDATE work_items SET {failed}, error_kind = 'permanent'"))
    [counted] = as_json(remote("work", "items", "--json"))
    assert [counted[key] for key in ("kind", "state", "reason", "count")] == [
        *("channel.snapshot", "failed", "odd", 1)
    ]
    assert "channel.snapshot" in remote("work", "items").out
    items = ("jobs", "retry", "--items", "--json")
    assert as_json(remote(*items, "--reason", "even")) == {"items": 0}
    assert as_json(remote(*items, "--dry-run")) == {"items": 1, "dry_run": True}
    assert as_json(remote(*items)) == {"items": 1}
    assert as_json(remote(*items, "--dry-run")) == {"items": 0, "dry_run": True}

    spent = as_json(remote("quota", "show", "--days", "2", "--json"))
    assert {day["pacific_day"] for day in spent["days"]} <= {spent["pacific_day"]}
    assert "the quota resets at" in remote("quota").out

    forget = ("channels", "forget", CHANNEL)
    assert remote(*forget, "--dry-run").out.splitlines()[-1] == "nothing was deleted"
    assert "--yes" in remote(*forget, code=2).complaint[1]
    gone = as_json(remote(*forget, "--yes", "--json"))
    assert (gone["channel_id"], gone["deleted"]) == (CHANNEL, True)
    assert as_json(remote("channels", "list", "--json")) == []


def test_work_is_held_back_and_the_digest_told_there(remote: Remote, context: Context):
    with context.transaction() as session:
        channels.add(session, [CHANNEL], now=context.clock())
    words = ("work", "pause", "--queue", "crawl", "--reason", "we move")
    assert remote(*words).out == "crawl is paused\n"
    assert as_json(remote(*words, "--json")) == {"scope": "crawl", "changed": False}
    assert "we move" in remote("work", "blockers").out
    assert as_json(remote("work", "blockers", "--json"))[0]["what"] == "crawl"
    told = as_json(remote("digest", "--json"))
    assert any("we move" in each["what"] for each in told["look_at"])
    assert "text" not in told
    assert told["sentence"] in remote("digest").out
    assert remote("work", "pause", "--channel", CHANNEL).out == f"{CHANNEL} is paused\n"
    assert as_json(remote("work", "resume", "--channel", CHANNEL, "--json"))["changed"] == [CHANNEL]
    assert remote("work", "pause").out == "everything is paused\n"
    gone_on = remote("work", "resume", "--queue", "crawl").out
    assert gone_on == "crawl goes on\nstill paused: everything\n"
    assert as_json(remote("work", "resume", "--json"))["still_paused"] == []
    assert "no queue" in remote("work", "pause", "--queue", "tea", code=2).complaint[0]


def test_what_fell_due_there_is_told_by_whole_days(remote: Remote, context: Context):
    now = context.clock()
    with context.transaction() as session:
        channels.add(session, [CHANNEL], now=now)
        slot = now - timedelta(days=2)
        work_items.add_items(session, "channel.snapshot", [(CHANNEL, CHANNEL)], slot=slot)
    found = as_json(remote("channels", "completeness", "--json"))
    here = report(context, since=datetime.fromisoformat(found["since"])).as_json()
    assert found["reasons"] == here["reasons"] != {}
    assert [(day["day"], day["missing"]) for day in found["days"]] == [
        (str(day["day"]), day["missing"]) for day in here["days"]
    ]
    assert found.keys() == here.keys()
    assert "missing: overdue" in remote("channels", "completeness", "--channel", CHANNEL).out
    within = ("channels", "completeness", "--since", "2026-11-30T10:00:00")
    assert "cannot be done from another machine" in remote(*within, code=2).complaint[0]


def test_labels_comparisons_and_files_go_there(remote: Remote, context: Context, tmp_path: Path):
    [video, other] = Catalogue(context, NOW).add(2)
    done = as_json(remote("audio", "label", video, other, "zh", "--by", "anna", "--json"))
    assert done == {"named": 2, "changed": sorted([video, other])}
    [shown] = as_json(remote("audio", "label", "--show", video, "--json"))
    assert [claim["language"] for claim in shown["claims"]] == ["zh"]
    assert remote("audio", "label", video, "none").out == "1 of 1 label changed\n"
    assert "was zh by" in remote("audio", "label", "--show", video).out
    assert as_json(remote("audio", "label", "--conflicts", "--json")) == []
    unknown = remote("audio", "label", "aaaaaaaaaaa", "en", code=2)
    assert "is not known" in unknown.complaint[0]

    assert "nothing was compared yet" in remote("models", "compare", code=1).complaint[0]
    sound = tmp_path / "x.mp3"
    sound.write_bytes(b"nothing")
    # Whatever packages are there, no model is.
    assert "error: " in remote("audio", "classify", str(sound), code=1).complaint[0]
    missing = as_json(remote("audio", "classify", str(tmp_path / "no.mp3"), "--json", code=1))
    assert missing["failed"] == 1
    assert missing["files"][0]["error"]["reason"] == "unreadable"
    chosen = remote("audio", "classify", str(sound), "--kind", "crnn", code=2)
    assert "cannot be done from another machine" in chosen.complaint[0]


def test_a_home_elsewhere_is_up_once_each_role_is_heard_of(remote: Remote, context: Context):
    *others, last = [
        fleet.Member(context, role, name=f"{role}@there:1/abc") for role in (*QUEUES, DISPATCHER)
    ]
    for member in others:
        member.beat()
    pauses.pause(context, "crawl", reason="we move")
    shown = remote("status", code=3)
    assert f"{last.role} is down" in shown.out
    assert f"{others[0].role} is down" not in shown.out
    assert "held back: crawl: " in shown.out
    last.beat()
    assert "is down" not in remote("status").out
    whole = as_json(remote("status", "--json"))
    assert whole["up"] is True
    assert {part["name"]: part["state"] for part in whole["parts"]} == dict.fromkeys(
        (*QUEUES, DISPATCHER), "up"
    )
    assert all(process["is_alive"] for process in whole["fleet"])
    assert whole["held_back"][0]["what"] == "crawl"
    with context.transaction() as session:
        session.execute(text("UPDATE worker_processes SET seen_at = seen_at - interval '1 hour'"))
    assert as_json(remote("status", "--json", code=3))["up"] is False


def test_a_channel_is_named_there_in_every_way_that_it_is_here(remote: Remote, context: Context):
    with context.transaction() as session:
        channels.add(session, [CHANNEL], now=context.clock())
        facts = {"channel_id": CHANNEL, "handle": "@somé", "title": "Some"}
        channels.refresh(session, facts, now=context.clock())
    for name in (
        "https://www.youtube.com/@somé",
        f"https://m.youtube.com/channel/{CHANNEL}/videos",
        "＠somé",
        f" {CHANNEL},",
    ):
        assert CHANNEL in remote("channels", "show", name).out, name
    assert remote("channels", "pause", "youtube.com/@somé").out == "1 channel paused\n"
    assert remote("channels", "resume", "youtube.com/@somé").out == "1 channel resumed\n"
    tagged = remote("channels", "tag", "add", "youtube.com/@somé", "--tag", "more")
    assert tagged.out == "1 tag added\n"
    refused = remote("channels", "show", "https://vimeo.com/somebody", code=2)
    assert "does not name a YouTube channel" in refused.complaint[0]
    for name in ("youtube.com/user/old-name", "youtube.com/c/old-name"):
        there = remote("channels", "show", name, code=2)
        assert "old-name is not watched" in there.complaint[0]


def test_what_is_refused_there_is_said_in_its_own_words(remote: Remote, tmp_path: Path):
    refused = remote("models", "promote", "champion", "--why", "better", code=2)
    assert refused.complaint[0].startswith("error: ")
    refused = remote("sql", "-c", "DELETE FROM channels", code=2)
    assert "only SELECT" in refused.complaint[0]
    assert "no job" in remote("jobs", "show", "abcd1234", code=2).err
    assert "was not measured yet" in remote("models", "drift", code=2).complaint[0]
    for name in ("my pic é.png", "100%.png", "猫.png"):
        picture = tmp_path / name
        picture.write_bytes(b"no picture")
        graded = remote("thumbnails", "grade", str(picture), "--subscribers", "10", code=2)
        assert "JPEG" in graded.complaint[0]
        assert name in graded.err


@pytest.mark.parametrize(
    "words",
    [
        ("up",),
        ("down",),
        ("doctor",),
        ("migrate",),
        ("sql",),
        ("data", "purge"),
        ("models", "train", "--seed", "7"),
        ("models", "retrain", "--fine-tune"),
        ("models", "report"),
        ("schedules", "add", "own", "--kind", "train", "--every", "1d", "--seed", "7"),
    ],
    ids=" ".join,
)
def test_what_only_its_own_machine_can_do_is_refused_in_a_line(words, tmp_path):
    nobody = {"TUBEGRADER_API_URL": "http://127.0.0.1:9", "TUBEGRADER_HOME": str(tmp_path / "no")}
    ran = in_process(*words, env=nobody)
    assert ran.code == 2
    [said, hint] = ran.complaint
    assert "cannot be done from another machine" in said
    assert "on the machine of the home" in hint
    assert not (tmp_path / "no").exists()


def test_who_asks_is_said_to_that_home_and_to_nobody_it_sends_to():
    asked = []

    class Away(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers["Authorization"]))
            elsewhere = self.path.startswith("/api/v1/jobs")
            self.send_response(302 if elsewhere else 401)
            self.send_header("Location", "/stolen")
            self.end_headers()
            self.wfile.write(b'{"detail": "no token", "reason": "unauthorised"}')

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Away) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        env = {"TUBEGRADER_API_URL": url, "TUBEGRADER_API_TOKEN": "tg_secret"}
        ran = [in_process(*words, env=env) for words in (("status",), ("jobs", "list"))]
        server.shutdown()
        thread.join()
    assert ran[0].complaint[0] == "error: no token"
    assert "TUBEGRADER_API_TOKEN" in ran[0].complaint[1]
    assert [each.code for each in ran] == [2, 1]
    assert [path.split("?")[0] for path, _ in asked] == ["/api/v1/system", "/api/v1/jobs"]
    assert {token for _, token in asked} == {"Bearer tg_secret"}


def test_a_job_whose_answer_was_lost_is_made_once(address: str, context: Context):
    with context.transaction() as session:
        channels.add(session, [CHANNEL], now=context.clock())
    lost = []

    class Loses(BaseHTTPRequestHandler):
        def do_POST(self):
            content = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {k: v for k, v in self.headers.items() if k != "Host"}
            url = urlsplit(address)
            there = HTTPConnection(url.hostname, url.port)
            there.request("POST", self.path, content, headers)
            answer = there.getresponse()
            found = answer.read()
            there.close()
            if not lost:
                lost.append(found)
                return
            self.send_response(answer.status)
            self.end_headers()
            self.wfile.write(found)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Loses) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        ran = in_process(
            "channels", "crawl", "--no-wait", "--json", env={"TUBEGRADER_API_URL": url}
        )
        server.shutdown()
        thread.join()
    assert ran.code == 0, ran.err
    [job] = jobs.newest(context, limit=10)
    assert job.job_id == as_json(ran)["job_id"] == json.loads(lost[0])["job_id"]


def test_a_home_that_does_not_answer_or_has_no_address_says_what_to_do():
    away = in_process("jobs", "list", env={"TUBEGRADER_API_URL": "http://127.0.0.1:9"})
    assert away.code == 1
    assert "does not answer" in away.complaint[0]
    assert "tubegrader up" in away.complaint[1]
    odd = in_process("jobs", "list", env={"TUBEGRADER_API_URL": "tubegrader.example"})
    assert odd.code == 2
    assert "is no address" in odd.complaint[0]
