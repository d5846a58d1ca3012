"""How the Data API's client reaches the network: one attempt a call, no redirects, no leaks."""

import http.client
import logging
import os
import select
import threading
from collections.abc import Callable
from functools import cache
from typing import Any
from weakref import WeakSet

import httplib2
from googleapiclient.discovery import build

from services.youtube.proxies import ForwardedConnection, TunnelledConnection, http_proxy

LARGEST_ANSWER = 16 * 2**20
"""Bytes. Fifty items take at most a tenth of a megabyte."""


class Transport:
    """The Data API's client and one connection pool a thread (httplib2 is not thread-safe)."""

    def __init__(self, api_key: str, endpoint: str | None, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._local = threading.local()
        self._opened: WeakSet[OneAttemptHttp] = WeakSet()
        self.service: Any = _service(api_key, endpoint)

    def execute(self, request: Any, before_send: Callable[[], None]) -> Any:
        """Send a request of ``service`` once and return its JSON.

        ``before_send`` is called when the connection stands and nothing is sent yet, so that
        an hour without network costs no quota. What it raises ends the call.
        """
        connections = self._connections()
        connections.before_send = before_send
        return request.execute(http=connections, num_retries=0)

    def close(self) -> None:
        """Close the idle connections of all threads; a later call opens new ones."""
        for connections in tuple(self._opened):
            connections.close()

    def _connections(self) -> "OneAttemptHttp":
        """Return this thread's connections; a forked process does not inherit its parent's."""
        if getattr(self._local, "pid", None) != os.getpid():
            self._local.pid = os.getpid()
            self._local.http = self._open()
        opened: OneAttemptHttp = self._local.http
        return opened

    def _open(self) -> "OneAttemptHttp":
        # httplib2 knows proxies only with PySocks beside it, and fails half-way without: ours are
        # connections of another kind.
        connections = OneAttemptHttp(timeout=self._timeout_s, proxy_info=None)
        # The address carries the key, so it goes to nobody but the endpoint.
        connections.follow_redirects = False
        self._opened.add(connections)
        return connections


class OneAttemptHttp(httplib2.Http):  # type: ignore[misc]  # httplib2 is untyped
    """An ``Http`` that sends each request once.

    httplib2 itself resends when a connection breaks off before the answer; YouTube may have
    booked the first one already, and the ledger knows of one. Retrying is the gateway's.
    """

    before_send: Callable[[], None]

    def request(self, uri: str, *args: Any, **options: Any) -> tuple[httplib2.Response, bytes]:
        """Send a request, through the environment's proxy if it names one for the address."""
        if http_proxy(uri) is not None:
            secure = uri.startswith("https:")
            options["connection_type"] = TunnelledConnection if secure else ForwardedConnection
        answer: tuple[httplib2.Response, bytes] = super().request(uri, *args, **options)
        return answer

    def __del__(self) -> None:
        # A thread that ends drops its pool without a word.
        self.close()

    def _conn_request(
        self,
        conn: Any,
        request_uri: str,
        method: str,
        body: Any,
        headers: dict[str, str],
    ) -> tuple[httplib2.Response, bytes]:
        if conn.sock is not None and _closed_by_peer(conn.sock):
            conn.close()
        try:
            if conn.sock is None:
                conn.connect()
            self.before_send()
            conn.request(method, request_uri, body, headers)
            response = conn.getresponse()
            content = response.read(LARGEST_ANSWER + 1)
            if len(content) > LARGEST_ANSWER:
                raise http.client.HTTPException("an answer without end")  # noqa: TRY301
            if response.length:  # announced and not sent
                raise http.client.IncompleteRead(content, response.length)
        except (OSError, http.client.HTTPException):
            conn.close()  # what is left in it must not be read as the next answer
            raise
        parsed = httplib2.Response(response)
        return parsed, httplib2._decompressContent(parsed, content, self.limit_kwargs)  # noqa: SLF001


@cache
def _service(api_key: str, endpoint: str | None) -> Any:
    """Build the client from the document in its package: needs no network, takes 0.1 s."""
    # Below WARNING the client logs each address, and the address holds the key.
    logging.getLogger("googleapiclient").setLevel(logging.WARNING)
    return build(
        "youtube",
        "v3",
        developerKey=api_key,
        http=httplib2.Http(),  # never used: each call brings its thread's own
        static_discovery=True,
        cache_discovery=False,
        client_options={"api_endpoint": endpoint} if endpoint else None,
    )


def _closed_by_peer(sock: Any) -> bool:
    """Tell whether an idle connection has something to read: that is its end."""
    readable, _, _ = select.select([sock], [], [], 0)
    return bool(readable)
