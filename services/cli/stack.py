"""``tubegrader up``, ``down``, ``status`` and ``doctor``: the stack on this machine."""

from typing import TYPE_CHECKING, Annotated

import typer

from services.cli import remote
from services.cli.common import print_json, say
from services.cli.options import AsJson, Watch

if TYPE_CHECKING:
    from rich.console import Console
    from rich.panel import Panel

    from services.embedded.endpoints import Endpoints
    from services.embedded.home import Home
    from services.settings import Settings

_NOT_UP = 3
_POLL_S = 0.2
_LOG_COLOURS = {
    "postgres": "blue",
    "redis": "red",
    "supervisor": "white",
    "crawl": "green",
    "media": "magenta",
    "learning": "yellow",
    "scoring": "bright_yellow",
    "dispatcher": "cyan",
    "api": "bright_blue",
}
_LEVEL_COLOURS = {"ok": "green", "warn": "yellow"}


def up(
    detach: Annotated[
        bool,
        typer.Option("--detach", help="Return once everything is ready, and leave it running."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Start PostgreSQL, Redis, the workers, the dispatcher and the pages; Ctrl-C stops them."""
    from contextlib import ExitStack

    from services import embedded
    from services.embedded import lifecycle
    from services.embedded.home import Home
    from services.settings import Settings

    remote.refuse("`up`")
    settings = Settings()
    home = Home(settings.home)
    console = _console()
    if _is_up(home, settings):
        line = f"{home.path} is up already; `tubegrader status` shows it"
        say({"already_up": True}, line, as_json=as_json)
        return
    with ExitStack() as until_the_end:
        with console.status("starting") as spinner:
            role = "starting" if detach else "up"
            endpoints = until_the_end.enter_context(
                embedded.stack(settings, workers=True, role=role, progress=spinner.update)
            )
        addresses = _addresses(home, endpoints)
        if as_json:
            print_json(addresses)
        else:
            console.print(_summary(home, addresses, detached=detach))
        if detach:
            lifecycle.stay_up(home)
            return
        try:
            _follow(console, home, settings, quiet=as_json)
        except KeyboardInterrupt:
            if not as_json:
                console.print("stopping; running tasks get a few seconds to finish")
    if not as_json:
        console.print("stopped")


def open_page(
    page: Annotated[
        str, typer.Argument(help="A page, such as jobs, or a channel, or a video's or job's id.")
    ] = "",
    show: Annotated[bool, typer.Option("--url", help="Only print its address.")] = False,
    as_json: AsJson = False,
) -> None:
    """Open a page in the browser: the overview, or that of whatever is named."""
    from services.embedded import workers
    from services.embedded.home import Home
    from services.errors import PermanentError
    from services.settings import Settings

    home = Home(Settings().home)
    other = remote.home()
    here = workers.api_url(home) if workers.supervisor(home) is not None else None
    url = here if other is None else other.url
    if url is None:
        raise PermanentError(
            "no page is served in this home", reason="notUp", hint="`tubegrader up` first"
        )
    address = f"{url}/{_page_of(page)}"
    if as_json or show or typer.launch(address) != 0:
        say({"url": address}, address, as_json=as_json)


def _page_of(name: str) -> str:
    """Return the path of the page of what is named."""
    import re
    from urllib.parse import quote

    from services.errors import UsageError
    from services.naming import parse_channel
    from services.youtube.identifiers import ReferenceKind

    try:
        named = parse_channel(name)
    except UsageError:
        pass
    else:
        mark = "" if named.kind is ReferenceKind.ID else "@"
        return f"channels/{quote(mark + named.value)}"
    for pattern, folder in (
        (r"[\w-]{11}", "videos/"),
        (r"[0-9a-f]{8}|[0-9a-f-]{36}", "jobs/"),
    ):
        if re.fullmatch(pattern, name) and name not in _PAGES:
            return folder + quote(name)
    return quote(name.strip("/"), safe="/?=&")


_PAGES = frozenset({"comparison"})
"""Pages whose names could be an id."""


def down(as_json: AsJson = False) -> None:
    """Stop everything that runs in this home, and nothing else."""
    from contextlib import nullcontext

    from services.embedded import lifecycle
    from services.embedded.home import Home
    from services.settings import Settings

    remote.refuse("`down`")
    home = Home(Settings().home)
    console = _console()
    with console.status("stopping") if not as_json else nullcontext():
        stopped, users = lifecycle.stop_all(home)
    if as_json:
        print_json({"stopped": list(stopped), "used_by": [user.as_json() for user in users]})
        return
    names = ", ".join(stopped)
    console.print(
        f"stopped {names} in {home.path}" if names else f"nothing runs in {home.path}",
        markup=False,
        soft_wrap=True,
    )
    for user in users:
        if user.role == "command":
            text = f"it was in use by {user.command} (pid {user.process.pid})"
            console.print(text, style="yellow", markup=False)


def status(watch: Watch = False, as_json: AsJson = False) -> None:
    """Show each part, what is held back, and how large it is; exit code 3 unless all are up."""
    from services.cli import standing, watching

    all_up = False

    def draw() -> bool:
        nonlocal all_up
        all_up = standing.show(as_json=as_json)
        return True

    watching.watch(draw, once=not watch)
    if not all_up:
        raise typer.Exit(_NOT_UP)


def doctor(
    as_json: AsJson = False,
    online: Annotated[
        bool, typer.Option("--online", help="Also try the YouTube key: 1 unit of its quota.")
    ] = False,
) -> None:
    """Check everything TubeGrader needs and say what to do; exit code 1 if something fails."""
    from services.embedded.checks import Level
    from services.embedded.doctor import checks
    from services.settings import Settings

    remote.refuse("`doctor`")
    console = _console()
    done = []
    for check in checks(Settings(), online=online):
        done.append(check)
        if not as_json:
            colour = _LEVEL_COLOURS.get(check.level, "red")
            mark = f"[{colour}]{check.level:<4}[/]"
            console.print(mark, check.name, "[dim]·[/]", _plain(check.found), soft_wrap=True)
            if check.level is not Level.OK and check.remedy:
                console.print("     [dim]→[/]", _plain(check.remedy), soft_wrap=True)
    failed = any(check.level is Level.FAIL for check in done)
    if as_json:
        print_json({"ok": not failed, "checks": [vars(check) for check in done]})
    if failed:
        raise typer.Exit(1)


def _is_up(home: "Home", settings: "Settings") -> bool:
    from services.embedded import holders
    from services.embedded import status as parts

    started = any(user.role == "up" for user in holders.living(home))
    return started and parts.status(settings).all_up


def _follow(console: "Console", home: "Home", settings: "Settings", *, quiet: bool) -> None:
    """Print what the processes log until somebody stops them."""
    import time
    from contextlib import closing

    from rich.text import Text

    from services.embedded import holders, workers
    from services.embedded.identity import ProcessId
    from services.embedded.logs import Follower

    me = ProcessId.current()
    logs = [(name, home.log(name)) for name in _LOG_COLOURS]
    with closing(Follower(logs)) as follower:
        while holders.of_process(home, me):  # `tubegrader down` takes us off the list
            for line in () if quiet else follower.lines():
                tag = Text(f"{line.name:>10} │ ", style=_LOG_COLOURS[line.name])
                console.print(tag + Text.from_ansi(line.text), soft_wrap=True)
            if workers.supervisor(home) is None and holders.of_process(home, me):
                console.print("[yellow]the supervisor was killed; starting it again")
                workers.ensure(home, settings)
            time.sleep(_POLL_S)


def _addresses(home: "Home", endpoints: "Endpoints") -> dict[str, str | None]:
    """Return where everything is, without passwords."""
    from services.embedded import workers
    from services.embedded.urls import redacted

    return {
        "pages": workers.api_url(home),
        "database": redacted(endpoints.database_url),
        "redis": redacted(endpoints.redis_url),
        "objects": redacted(endpoints.storage_url),
        "logs": str(home.logs),
    }


def _summary(home: "Home", addresses: dict[str, str | None], *, detached: bool) -> "Panel":
    from rich.panel import Panel
    from rich.table import Table

    rows = Table.grid(padding=(0, 2))
    rows.add_column(no_wrap=True)
    rows.add_column(overflow="fold")
    for name, address in addresses.items():
        if address is not None:
            rows.add_row(name, _plain(address), style="bold" if name == "pages" else None)
    stop = f"tubegrader --home '{home.path}' down"
    rows.add_row("stop with", _plain(stop if detached else f"Ctrl-C, or {stop}"))
    return Panel(rows, title="TubeGrader is up", title_align="left", border_style="green")


def _console() -> "Console":
    from rich.console import Console

    return Console(highlight=False)


def _plain(text: str) -> str:
    """Keep brackets in foreign text from being read as markup."""
    from rich.markup import escape

    return escape(text)
