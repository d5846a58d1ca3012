"""What is sent to a home on another machine, and what an odd answer or setting comes to."""

import json
import re
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from services.cli import remote
from tests.support.cli import Ran, in_process

Answer = Callable[[bytes], bytes | None]


JOB = {
    "job_id": "8e03978e-40d5-43dd-bc93-6894a57f9324",
    "kind": "crawl",
    "state": "pending",
    "progress_done": 0,
    "progress_total": 0,
    "steps": {},
    "created_at": "2026-11-01T00:00:00Z",
    **dict.fromkeys(("progress_message", "waiting_until", "error_reason", "error_message")),
    **dict.fromkeys(("result", "started_at", "finished_at")),
}


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@contextmanager
def served(answer: Answer) -> Iterator[tuple[str, list[bytes]]]:
    """Serve what ``answer`` makes of the head of each request, and keep the heads."""
    heads: list[bytes] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            lines = []
            while (line := self.rfile.readline()).strip():
                lines.append(line)
            length = [
                int(each.split(b":")[1])
                for each in lines
                if b"ontent-" in each and b"ength" in each
            ]
            self.rfile.read(sum(length))
            heads.append(b"".join(lines))
            self.wfile.write(answer(heads[-1]) or b"")

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", heads
        finally:
            server.shutdown()
            thread.join()


def http(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


def asked(url: str, *words: str, token: str = "", **env: str) -> Ran:
    given = {"TUBEGRADER_API_URL": url, "TUBEGRADER_API_TOKEN": token}
    return in_process(*(words or ("jobs", "list")), env=given | env)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy"])
def test_no_proxy_sees_what_is_asked_of_this_machine(name: str):
    page = http(b'{"items": [], "next": null}')
    with served(lambda _: page) as (proxy, at_proxy), served(lambda _: page) as (home, at_home):
        ran = asked(home, token="tgr_SECRET", **{name: proxy})
    assert (ran.code, at_proxy) == (0, [])
    assert b"Bearer tgr_SECRET" in at_home[0]


def test_no_token_goes_through_a_proxy_in_clear():
    page = http(b'{"items": [], "next": null}')
    with served(lambda _: page) as (proxy, at_proxy):
        ran = asked("http://tubegrader.invalid", token="tgr_SECRET", HTTP_PROXY=proxy)
        assert (ran.code, at_proxy) == (2, [])
        assert "https address" in ran.complaint[1]
        assert "tgr_SECRET" not in ran.err
        assert asked("http://tubegrader.invalid", HTTP_PROXY=proxy).code == 0
    assert at_proxy[0].startswith(b"GET http://tubegrader.invalid/api/v1/jobs")


def test_a_proxy_is_asked_for_a_tunnel_to_an_https_address_and_shown_no_token():
    with served(lambda _: http(b"", "502 No")) as (proxy, at_proxy):
        ran = asked("https://tubegrader.invalid", token="tgr_SECRET", HTTPS_PROXY=proxy)
    assert ran.code == 1
    assert at_proxy[0].startswith(b"CONNECT tubegrader.invalid:443")
    assert b"SECRET" not in b"".join(at_proxy)


@pytest.mark.parametrize("token", ["tgr_SECRET\nX-Other: 1", "tgr_SE CRET", "tgr_SECRETé"])
def test_an_odd_token_is_refused_and_not_shown(token: str):
    ran = asked("http://127.0.0.1:9", token=token)
    assert ran.code == 2
    assert "TUBEGRADER_API_TOKEN is no token" in ran.complaint[0]
    assert len(ran.complaint) == 2
    assert "tgr_" not in ran.err


def test_what_a_copied_line_ends_with_is_no_part_of_a_token():
    with served(lambda _: http(b'{"items": [], "next": null}')) as (home, heads):
        assert asked(home, token=" tgr_SECRET\r\n").code == 0
    assert b"Authorization: Bearer tgr_SECRET\r\n" in heads[0]


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1",
        "http://localhost:abc",
        "http://localhost:99999",
        "http://:80",
        "http://a b",
        "http://me:SECRET@localhost",
        "http://localhost/?page=1",
    ],
)
def test_what_is_no_address_is_refused_in_a_line(url: str):
    ran = asked(url)
    assert ran.code == 2
    assert "is no address" in ran.complaint[0]
    assert "https://" in ran.complaint[1]
    assert len(ran.complaint) == 2
    assert "SECRET" not in ran.err


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        http(b"[]")[:-1],
        http(b"<html>"),
        http(b"{}"),
        http(b'"later"'),
        http(b'{"items": [{"job_id": 1}]}'),
        http(b'{"items": 7}'),
    ],
    ids=["nothing", "other protocol", "broken off", "page", "other", "text", "items", "number"],
)
@pytest.mark.parametrize("words", [("jobs", "list"), ("status",), ("channels", "show", "@one")])
def test_an_odd_answer_is_told_in_a_line(answer: bytes, words: tuple[str, ...]):
    with served(lambda _: answer) as (home, _):
        ran = asked(home, *words)
    assert ran.code == 1
    assert home in ran.complaint[0]
    assert "TUBEGRADER_API_URL" in ran.complaint[1]
    assert len(ran.complaint) == 2


def test_a_refusal_that_breaks_off_is_told_in_a_line():
    with served(lambda _: http(b'{"detail": "no"}', "403 Forbidden")[:-1]) as (home, _):
        ran = asked(home)
    assert (ran.code, len(ran.complaint)) == (1, 2)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits between two questions."""
    monkeypatch.setattr(remote, "_POLL_S", 0.01)
    monkeypatch.setattr(remote, "_PAUSES_S", (0.01, 0.01))


AWAY = http(b'{"detail": "starting", "reason": "databaseAway", "hint": null}', "503 Away")


@pytest.mark.usefixtures("quick")
def test_a_job_whose_answer_was_lost_is_asked_for_again_by_the_same_key():
    answers = iter([b"", AWAY, http(json.dumps(JOB).encode(), "201 Created")])
    with served(lambda _: next(answers)) as (home, heads):
        ran = asked(home, "channels", "crawl", "--no-wait")
    assert (ran.code, ran.out.strip()) == (0, JOB["job_id"])
    keys = [re.findall(rb"(?i)idempotency-key: (\S+)", head) for head in heads]
    assert len(keys) == 3
    assert keys[0]
    assert keys == [keys[0]] * 3


@pytest.mark.usefixtures("quick")
def test_what_was_refused_or_would_be_done_twice_is_asked_for_once():
    refused = http(b'{"detail": "no", "reason": "no", "hint": null}', "403 No")
    with served(lambda _: refused) as (home, heads):
        assert asked(home, "channels", "crawl", "--no-wait").code == 2
    assert len(heads) == 1
    with served(lambda _: AWAY) as (home, heads):
        assert asked(home, "models", "rollback", "--why", "worse").code == 1
    assert len(heads) == 1


@pytest.mark.usefixtures("quick")
def test_a_job_is_followed_through_a_restart_of_its_home(monkeypatch: pytest.MonkeyPatch):
    running, done = (
        http(json.dumps(JOB | {"state": state}).encode()) for state in ("running", "succeeded")
    )
    answers = iter([running, running, AWAY, b"", done])
    with served(lambda _: next(answers)) as (home, _):
        assert asked(home, "jobs", "watch", "8e03978e").code == 0
    monkeypatch.setattr(remote, "_AWAY_S", 0.0)
    gone = iter([running, running])
    with served(lambda _: next(gone, AWAY)) as (home, _):
        ran = asked(home, "jobs", "watch", "8e03978e")
    assert (ran.code, ran.complaint[0]) == (1, "error: starting")
