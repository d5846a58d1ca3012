"""What this process was asked for, counted, as Prometheus reads it."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.metrics.recording import PREFIX

REQUESTS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "api_requests_total": ("Requests answered.", ("method", "status")),
    "api_seconds_total": ("Time that they took.", ()),
    "api_under_way": ("Requests at this moment.", ()),
}
"""Each figure's meaning and labels, by name without the prefix."""


class Counters(Collector):
    """Requests by method and status, and the seconds that they took."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.requests: Counter[tuple[str, int]] = Counter()
        self.seconds = 0.0
        self.under_way = 0

    def collect(self) -> Iterator[Metric]:
        """Yield what was counted."""
        values: dict[str, dict[tuple[str, ...], float]] = {
            "api_requests_total": {(m, str(s)): n for (m, s), n in sorted(self.requests.items())},
            "api_seconds_total": {(): self.seconds},
            "api_under_way": {(): self.under_way},
        }
        for name, (said, labels) in REQUESTS.items():
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            family = kind(PREFIX + name, said, labels=labels)
            for of, value in values[name].items():
                family.add_metric(of, value)
            yield family


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
