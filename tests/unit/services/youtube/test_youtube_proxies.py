"""The environment's proxies: who is asked through them, and who is not."""

import base64
import json
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from services import notify
from services.errors import TransientError
from services.settings import Settings
from services.youtube.feed import fetch_feed
from services.youtube.proxies import environment_proxy, http_proxy
from services.youtube.thumbnails import ThumbnailRequest, fetch_all_thumbnails
from tests.support.youtube import (
    MemoryLedger,
    ReceivedRequest,
    Reply,
    ScriptedServer,
    as_json,
    gateway_to,
    scripted_server,
)

CHANNEL, VIDEO = "UC" + "a" * 22, "a" * 11
CREDENTIALS = "Basic " + base64.b64encode(b"me:p:w d").decode()


def answer(asked: ReceivedRequest) -> Reply:
    if asked.method == "CONNECT":
        return Reply(status=403)
    if asked.path.startswith("/youtube"):
        return as_json({"items": [{"id": VIDEO}], "pageInfo": {"totalResults": 1}})
    return Reply(status=200 if asked.method == "POST" else 404)


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    """A proxy that answers by itself, which the environment names with credentials."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with scripted_server(answer) as server:
        address = server.url.replace("http://", "http://me:p%3Aw%20d@")
        monkeypatch.setenv("http_proxy", address)
        monkeypatch.setenv("https_proxy", address)
        yield server


def ask(gateway_url: str, ledger: MemoryLedger | None = None) -> None:
    gateway_to(gateway_url, ledger).statistics([VIDEO])


def test_the_data_api_is_asked_through_it(proxy: ScriptedServer):
    ask("http://api.example")
    [asked] = proxy.requests
    assert (asked.site, asked.query["id"]) == ("api.example", VIDEO)
    assert asked.headers["Proxy-Authorization"] == CREDENTIALS


def test_of_a_secure_address_it_learns_the_host_alone_and_no_quota_is_spent(proxy: ScriptedServer):
    ledger = MemoryLedger()
    with pytest.raises(TransientError):
        ask("https://api.example", ledger)
    assert {(a.method, a.site, a.path) for a in proxy.requests} == {
        ("CONNECT", "api.example:443", "")
    }
    assert {a.headers["Proxy-Authorization"] for a in proxy.requests} == {CREDENTIALS}
    assert ledger.booked == {}


def test_pictures_and_feeds_are_asked_through_it(proxy: ScriptedServer):
    list(fetch_all_thumbnails([ThumbnailRequest(VIDEO)], base_url="http://pictures.example"))
    fetch_feed(CHANNEL, base_url="http://feeds.example")
    assert [a.site for a in proxy.requests] == ["pictures.example", "feeds.example"]
    assert {a.headers["Proxy-Authorization"] for a in proxy.requests} == {CREDENTIALS}


def test_a_proxy_that_refuses_is_named(proxy: ScriptedServer):
    [found] = fetch_all_thumbnails([ThumbnailRequest(VIDEO)], base_url="https://pictures.example")
    assert found.error.reason == "proxyFailed"


def test_the_webhook_is_called_through_it(proxy: ScriptedServer):
    settings = Settings(notify_webhook=SecretStr("http://hook.example/secret"))
    notify.deliver(settings, notify.WEBHOOK, json.dumps({}).encode())
    assert [(a.method, a.site) for a in proxy.requests] == [("POST", "hook.example")]


@pytest.mark.parametrize(
    "except_for", ["api.example", ".example", "example", "other,api.example", "*"]
)
def test_hosts_that_are_excepted_are_asked_directly(
    proxy: ScriptedServer, monkeypatch: pytest.MonkeyPatch, except_for: str
):
    monkeypatch.setenv("no_proxy", except_for)
    assert environment_proxy("https://api.example/x") is None


def test_this_machine_is_asked_directly(proxy: ScriptedServer):
    with scripted_server(answer) as own:
        ask(own.url)
        assert [a.site for a in own.requests] == [""]
    assert proxy.requests == []
    assert environment_proxy("http://localhost:1/") is None
    assert environment_proxy("http://[::1]:1/") is None


@pytest.mark.parametrize(
    ("named", "used"),
    [
        ("proxy.example:3128", "http://proxy.example:3128"),
        ("http://proxy.example:3128", "http://proxy.example:3128"),
    ],
)
def test_it_may_be_named_without_a_scheme(
    monkeypatch: pytest.MonkeyPatch, proxy: ScriptedServer, named: str, used: str
):
    monkeypatch.setenv("https_proxy", named)
    assert http_proxy("https://api.example") == used


def test_one_of_another_kind_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch, proxy: ScriptedServer
):
    monkeypatch.setenv("https_proxy", "socks5://me:hunter2@proxy.example")
    with pytest.raises(TransientError) as caught:
        http_proxy("https://api.example")
    assert caught.value.reason == "badProxy"
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"
