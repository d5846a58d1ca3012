"""The whole stack in front of an offline YouTube, and Chromium on its pages."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from services import embedded
from services.context import Context
from services.demo import OfflineYouTube, World, offline_youtube
from services.embedded import workers
from services.embedded.home import Home
from services.settings import Settings
from tests.support.chromium import chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

WAIT_MS = 60_000.0
SERIOUS = ("serious", "critical")


@dataclass(frozen=True)
class Site:
    """Where the pages are, what they show, and the invented YouTube behind them."""

    url: str
    context: Context
    youtube: OfflineYouTube


@contextmanager
def running_site(home: Path, *, channels: int, videos: int) -> Iterator[Site]:
    """Run everything on an empty home while the block runs."""
    world = World(home=home, catalog=None, channels=channels, videos=videos, effect=None, seed=0)
    with offline_youtube(world) as youtube:
        given = {
            name.removeprefix("TUBEGRADER_").lower(): value
            for name, value in youtube.environment.items()
        }
        settings = Settings(home=home, api_port=0, **given)
        with embedded.stack(settings, workers=True, durable=False) as endpoints:
            url = workers.api_url(Home(home))
            assert url is not None, "no page is served"
            context = Context.of_process(endpoints.applied_to(settings))
            try:
                yield Site(url, context, youtube)
            finally:
                context.close()


@dataclass
class Heard:
    """What a browser asked for and complained about."""

    addresses: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @property
    def elsewhere(self) -> list[str]:
        """Return what was asked of another machine."""
        ours = ("127.0.0.1", None)
        return [url for url in self.addresses if urlsplit(url).hostname not in ours]


@contextmanager
def browser() -> "Iterator[Browser]":
    """Have the system's Chromium, driven by Playwright."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as playwright:
        options = [
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            "--disable-dev-shm-usage",
        ]
        opened = playwright.chromium.launch(
            executable_path=chromium(), chromium_sandbox=False, args=options
        )
        try:
            yield opened
        finally:
            opened.close()


@contextmanager
def visitor(opened: "Browser", site: Site, heard: Heard, **options: Any) -> "Iterator[Page]":
    """Open a window on the site; whatever it asks for or complains about is written down."""
    window: BrowserContext = opened.new_context(
        base_url=site.url, locale="en-GB", timezone_id="Europe/Berlin", **options
    )
    window.set_default_timeout(WAIT_MS)
    page = window.new_page()

    def complain(message: "ConsoleMessage") -> None:
        if message.type in ("error", "warning"):
            heard.complaints.append(f"{page.url}: {message.text}")

    def remember(request: "Request") -> None:
        heard.addresses.append(request.url)

    page.on("console", complain)
    page.on("pageerror", lambda error: heard.complaints.append(f"{page.url}: {error}"))
    page.on("request", remember)
    try:
        yield page
    finally:
        window.close()


def violations(page: "Page", axe: str) -> list[str]:
    """Return what axe finds serious on the page that is open.

    Args:
        page: With its content loaded.
        axe: The source of axe-core; it is run by the browser and not by the page, which would
            refuse it.
    """
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['id']} ({each['impact']}): {node['html'][:160]} {_why(node)}"
        for each in found["violations"]
        if each["impact"] in SERIOUS
        for node in each["nodes"]
    ]


def _why(node: dict[str, Any]) -> str:
    checks: Sequence[dict[str, Any]] = [*node["any"], *node["all"], *node["none"]]
    return json.dumps([check["message"] for check in checks])
