"""Headless Chromium, asked over its DevTools protocol what a page looks like."""

import asyncio
import itertools
import os
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

BINARIES = ("chromium", "chromium-browser", "google-chrome", "chrome")
WAIT_S = 60


def chromium() -> str | None:
    """Return where a Chromium is, or None."""
    return next((path for name in BINARIES if (path := shutil.which(name))), None)


class Tab:
    """One open page."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, session_id: str) -> None:
        self.events: list[dict[str, Any]] = []
        self._socket = socket
        self._session_id = session_id
        self._ids = itertools.count(100)

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result; events are kept meanwhile."""
        number = next(self._ids)
        await self._socket.send_json(
            {"id": number, "sessionId": self._session_id, "method": method, "params": params}
        )
        while True:
            answer = await self._socket.receive_json(timeout=WAIT_S)
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self.events.append(answer)

    async def event(self, method: str) -> None:
        """Wait until an event has come."""
        while not any(event.get("method") == method for event in self.events):
            self.events.append(await self._socket.receive_json(timeout=WAIT_S))

    async def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression in the page."""
        answer = await self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def requested_addresses(self) -> list[str]:
        """Return the addresses that the page asked for, without its own pictures."""
        sent = [e for e in self.events if e.get("method") == "Network.requestWillBeSent"]
        urls = [event["params"]["request"]["url"] for event in sent]
        return [url for url in urls if not url.startswith("data:")]

    def complaints(self) -> list[str]:
        """Return what the browser complained about: refused loads, errors, warnings."""
        logged = [e for e in self.events if e.get("method") == "Log.entryAdded"]
        return [event["params"]["entry"]["text"] for event in logged]


def visit(
    page: Path,
    ask: Callable[[Tab], Awaitable[Any]],
    folder: Path,
    *,
    width: int,
    dark: bool = False,
) -> Any:
    """Open a file in a fresh Chromium and return what ``ask`` returns about it.

    Args:
        page: An HTML file.
        ask: Called with the loaded page.
        folder: An empty folder for the browser's profile.
        width: Of the window in CSS pixels.
        dark: Prefer the dark theme.
    """
    binary = chromium()
    assert binary is not None, "skip the test where there is no Chromium"
    command = [
        binary, "--headless", "--disable-gpu", "--disable-background-networking",
        "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-port=0",
        f"--user-data-dir={folder}", "about:blank",
    ]  # fmt: skip
    if os.geteuid() == 0:
        command.insert(1, "--no-sandbox")
    # Its helpers outlive a killed parent unless they die with their group.
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, process_group=0
    )
    try:
        assert process.stderr is not None
        address = next(
            line.split()[-1] for line in process.stderr if line.startswith("DevTools listening on")
        )
        return asyncio.run(_ask(address, page, ask, width, dark=dark))
    finally:
        os.killpg(process.pid, 15)
        process.communicate(timeout=30)


async def _ask(
    address: str, page: Path, ask: Callable[[Tab], Awaitable[Any]], width: int, *, dark: bool
) -> Any:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(address, max_msg_size=0) as socket,
    ):
        target = await _call(socket, 1, "Target.createTarget", url="about:blank")
        attached = await _call(
            socket, 2, "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        tab = Tab(socket, attached["sessionId"])
        for domain in ("Page", "Network", "Log", "Runtime"):
            await tab.send(f"{domain}.enable")
        await tab.send(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=900, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await tab.send("Emulation.setEmulatedMedia", features=[scheme])
        await tab.send("Page.navigate", url=page.as_uri())
        await tab.event("Page.loadEventFired")
        return await ask(tab)


async def _call(
    socket: aiohttp.ClientWebSocketResponse, number: int, method: str, **params: Any
) -> dict[str, Any]:
    await socket.send_json({"id": number, "method": method, "params": params})
    while True:
        answer = await socket.receive_json(timeout=WAIT_S)
        if answer.get("id") == number:
            return dict(answer["result"])
