"""The offline YouTube in a thread of the test's own process, and readers for it."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.parse import urlencode

from googleapiclient.discovery import build

from services.emulator.app import create_app
from services.emulator.catalog import Catalog
from services.emulator.server import ListeningServer, address, bind


@dataclass(frozen=True, slots=True)
class RunningEmulator:
    """Where it listens and what it serves."""

    url: str
    catalog: Catalog


@contextmanager
def running_emulator(catalog: Catalog, **options: Any) -> Iterator[RunningEmulator]:
    """Serve ``catalog`` on a free port; ``options`` are those of ``create_app``."""
    listening = threading.Event()
    bound = bind("127.0.0.1", 0)
    url = address(bound)
    server = ListeningServer(create_app(catalog, **options), listening.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    try:
        assert listening.wait(30), "the emulator did not start"
        yield RunningEmulator(url, catalog)
    finally:
        server.should_exit = True
        thread.join(30)
        bound.close()
        assert not thread.is_alive(), "the emulator did not stop"


@contextmanager
def api_client(url: str, key: str = "a-key") -> Iterator[Any]:
    """Google's own client, pointed at ``url``."""
    options = {"api_endpoint": url}
    client = build("youtube", "v3", static_discovery=True, developerKey=key, client_options=options)
    with client:
        yield client


@dataclass(frozen=True, slots=True)
class Answer:
    """A plain HTTP answer."""

    status: int
    headers: Message
    body: bytes


def fetch(url: str, headers: Mapping[str, str] | None = None, data: bytes | None = None) -> Answer:
    """GET ``url``, or POST ``data`` to it; a refusal is an answer too."""
    request = urllib.request.Request(url, data, headers or {})
    try:
        with urllib.request.urlopen(request) as reply:
            return Answer(reply.status, reply.headers, reply.read())
    except urllib.error.HTTPError as refusal:
        with refusal:
            return Answer(refusal.code, refusal.headers, refusal.read())


def get(url: str, method: str, **params: str) -> Answer:
    return fetch(f"{url}/youtube/v3/{method}?" + urlencode({"key": "k"} | params))


def reason(answer: Answer) -> tuple[int, str]:
    error = json.loads(answer.body)["error"]
    assert error["code"] == answer.status
    assert error["message"] == error["errors"][0]["message"]
    return answer.status, error["errors"][0]["reason"]
