"""An offline crawl that is watched: its figures and counters, as Prometheus would have them."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry, generate_latest

from services.context import Context
from services.emulator.catalog import Catalog
from services.metrics import recording
from services.metrics.instruments import INSTRUMENTS
from services.queue import DISPATCHER, QUEUES
from services.work import telling
from services.work.fleet import Member
from tests.support.api import client_of
from tests.support.crawl import Crawl, offline_crawl
from tests.support.prometheus import Series, Timeline, series, series_of

API, WORKER = "tubegrader-api", "tubegrader"


@dataclass
class Watched:
    """A crawl with somebody in every role, and what was scraped of it so far."""

    crawl: Crawl
    client: TestClient
    counted: CollectorRegistry
    members: dict[str, Member]
    timeline: Timeline = field(default_factory=Timeline)

    @property
    def context(self) -> Context:
        return self.crawl.context

    def beat(self) -> None:
        """Everybody is heard of, and the dispatcher has just handed out what was due."""
        for member in self.members.values():
            member.beat()
        if DISPATCHER in self.members:
            self.members[DISPATCHER].holds(DISPATCHER, done_ago=timedelta())

    def scrape(self) -> Series:
        """Ask the API's own page, and this process for what it counted."""
        answer = self.client.get("/metrics")
        assert answer.status_code == 200, answer.text
        return self._found(answer.text)

    def scrape_port(self) -> Series:
        """Ask what the API's process tells at its port for Prometheus."""
        app: Any = self.client.app
        return self._found(generate_latest(app.state.metrics).decode())

    def _found(self, text: str) -> Series:
        api = {"job": API, "instance": "api"}
        return {
            **series_of(text, **api),
            series("up", api): 1.0,
            **series_of(generate_latest(self.counted).decode(), job=WORKER, instance="worker"),
        }

    def stays(self, **for_: float) -> set[str]:
        """Scrape, let it stay like that, and tell which alerts fire then."""
        self.timeline.stays(self.scrape(), timedelta(**for_))
        return self.timeline.firing()

    def about(self) -> set[tuple[str, str]]:
        return self.timeline.firing_about()


@contextmanager
def watched_crawl(context: Context, catalog: Catalog, **options: Any) -> Iterator[Watched]:
    """Watch a crawl in which nothing is done yet and nothing is wrong."""
    with ExitStack() as stack:
        crawl = stack.enter_context(offline_crawl(context, catalog, **options))
        registry = stack.enter_context(counting())
        client = stack.enter_context(client_of(crawl.context))
        members = {role: Member(crawl.context, role) for role in (*QUEUES, DISPATCHER)}
        watched = Watched(crawl, client, registry, members)
        watched.beat()
        yield watched


@contextmanager
def counting() -> Iterator[CollectorRegistry]:
    """Have this process count, from zero."""
    registry = CollectorRegistry()
    recording.switch_off()
    recording.switch_on(INSTRUMENTS, registry)
    telling.begin()
    try:
        yield registry
    finally:
        recording.switch_off()
