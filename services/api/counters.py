"""What this process was asked for, counted, and how the whole stands, as Prometheus reads it."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from db.queries.work import overview as rows
from db.queries.work.jobs import counted_by_state
from services.context import Context
from services.work import admission, fleet

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Counters:
    """Requests by method and status, and the seconds that they took."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.requests: Counter[tuple[str, int]] = Counter()
        self.seconds = 0.0
        self.under_way = 0


class Counting:
    """Counts each request; outermost, so that what is refused counts too."""

    def __init__(self, app: ASGIApp, *, counters: Counters) -> None:
        """Stand before ``app``."""
        self._app = app
        self._counters = counters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        counters, status = self._counters, 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        method = scope["method"] if scope["method"].isalpha() else "other"
        began = time.perf_counter()
        counters.under_way += 1
        try:
            await self._app(scope, receive, watched)
        finally:
            counters.under_way -= 1
            counters.seconds += time.perf_counter() - began
            counters.requests[method if len(method) < 10 else "other", status] += 1  # noqa: PLR2004


def exposition(context: Context, counters: Counters) -> str:
    """Return all figures as text."""
    return "".join(f"{line}\n" for line in _lines(context, counters))


def _lines(context: Context, counters: Counters) -> Iterator[str]:
    now = context.clock()
    with context.transaction() as session:
        jobs = counted_by_state(session)
        due = rows.oldest_due(session, now=now)
    silent = [process for process in fleet.listed(context) if process.silent_s > 60]  # noqa: PLR2004
    requests = {
        f'method="{method}",status="{status}"': n
        for (method, status), n in sorted(counters.requests.items())
    }
    yield from _metric("api_requests_total", "counter", "Requests answered.", requests)
    seconds = {"": counters.seconds}
    yield from _metric("api_seconds_total", "counter", "Time that they took.", seconds)
    yield from _metric(
        "api_under_way", "gauge", "Requests at this moment.", {"": counters.under_way}
    )
    by_state = {f'state="{state}"': n for state, n in sorted(jobs.items())}
    yield from _metric("jobs", "gauge", "Jobs that are remembered, by state.", by_state)
    ages = {f'kind="{kind}"': (now - slot).total_seconds() for kind, slot in due}
    yield from _metric("oldest_due_seconds", "gauge", "For how long the oldest is due.", ages)
    held = {f'kind="{b.kind}",what="{b.what}"': 1 for b in admission.blockers(context)}
    yield from _metric("held_back", "gauge", "What holds work back.", held)
    yield from _metric(
        "silent_processes", "gauge", "Processes not heard of for a minute.", {"": len(silent)}
    )


def _metric(name: str, kind: str, said: str, values: Mapping[str, float]) -> Iterator[str]:
    whole = f"tubegrader_{name}"
    yield f"# HELP {whole} {said}"
    yield f"# TYPE {whole} {kind}"
    for labels, value in values.items():
        yield f"{whole}{{{labels}}} {value:.10g}" if labels else f"{whole} {value:.10g}"
