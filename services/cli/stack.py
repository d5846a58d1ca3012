"""``tubegrader up``, ``down``, ``status`` and ``doctor``: the stack on this machine."""

from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.common import print_json
from services.cli.options import AsJson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.panel import Panel
    from rich.table import Table

    from services.embedded.endpoints import Endpoints
    from services.embedded.home import Home
    from services.embedded.status import Status
    from services.policy.sizes import Sizes
    from services.settings import Settings
    from services.work.fleet import ProcessView

_NOT_UP = 3
_POLL_S = 0.2
_SHOWN_BYTES = 1_000_000
"""Smaller tables are in the total only, and in the JSON."""
_LOG_COLOURS = {
    "postgres": "blue",
    "redis": "red",
    "supervisor": "white",
    "crawl": "green",
    "media": "magenta",
    "learning": "yellow",
    "dispatcher": "cyan",
}
_STATE_COLOURS = {"up": "green", "ok": "green", "starting": "yellow", "warn": "yellow"}


def up(
    detach: Annotated[
        bool,
        typer.Option("--detach", help="Return once everything is ready, and leave it running."),
    ] = False,
) -> None:
    """Start PostgreSQL, Redis, the workers and the dispatcher; Ctrl-C stops them."""
    from contextlib import ExitStack

    from services import embedded
    from services.embedded import lifecycle
    from services.embedded.home import Home
    from services.settings import Settings

    settings = Settings()
    home = Home(settings.home)
    console = _console()
    if _is_up(home, settings):
        console.print(f"{home.path} is up already; `tubegrader status` shows it", soft_wrap=True)
        return
    with ExitStack() as until_the_end:
        with console.status("starting") as spinner:
            role = "starting" if detach else "up"
            endpoints = until_the_end.enter_context(
                embedded.stack(settings, workers=True, role=role, progress=spinner.update)
            )
        console.print(_summary(home, endpoints, detached=detach))
        if detach:
            lifecycle.stay_up(home)
            return
        try:
            _follow(console, home, settings)
        except KeyboardInterrupt:
            console.print("stopping; running tasks get a few seconds to finish")
    console.print("stopped")


def down() -> None:
    """Stop everything that runs in this home, and nothing else."""
    from services.embedded import lifecycle
    from services.embedded.home import Home
    from services.settings import Settings

    home = Home(Settings().home)
    console = _console()
    with console.status("stopping"):
        stopped, users = lifecycle.stop_all(home)
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


def status(as_json: AsJson = False) -> None:
    """Show each part, what is held back, and how large it is; exit code 3 unless all are up."""
    from services.cli.control import asked
    from services.embedded import status as parts
    from services.policy import sizes
    from services.settings import Settings
    from services.work import admission, fleet

    settings = Settings()
    seen = parts.status(settings)
    held = asked(settings, seen, admission.blockers) or []
    processes = asked(settings, seen, fleet.listed) or []
    measured = asked(settings, seen, sizes.measure)
    if as_json:
        print_json(
            {
                "up": seen.all_up,
                "home": settings.home,
                "parts": [part.as_json() for part in seen.parts],
                "users": [
                    {"pid": user.process.pid, "role": user.role, "command": user.command}
                    for user in seen.users
                ],
                "fleet": [process.as_json() for process in processes],
                "held_back": [blocker.as_json() for blocker in held],
                "sizes": None if measured is None else measured.as_json(),
            }
        )
    else:
        _print_status(_console(), settings, seen)
        if processes:
            _console().print(_fleet_table(processes))
        for blocker in held:
            until = f" (until {blocker.until:%Y-%m-%d %H:%M} UTC)" if blocker.until else ""
            line = _plain(f"held back: {blocker.what}: {blocker.message}{until}")
            _console().print(line, style="yellow", soft_wrap=True)
        if measured is not None:
            _console().print(_size_table(measured))
    if not seen.all_up:
        raise typer.Exit(_NOT_UP)


def doctor(
    as_json: AsJson = False,
    online: Annotated[
        bool, typer.Option("--online", help="Also try the YouTube key: 1 unit of its quota.")
    ] = False,
) -> None:
    """Check everything TubeGrader needs and say what to do; exit code 1 if something fails."""
    from services.embedded.doctor import Level, checks
    from services.settings import Settings

    console = _console()
    done = []
    for check in checks(Settings(), online=online):
        done.append(check)
        if not as_json:
            colour = _STATE_COLOURS.get(check.level, "red")
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


def _follow(console: "Console", home: "Home", settings: "Settings") -> None:
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
            for line in follower.lines():
                tag = Text(f"{line.name:>10} │ ", style=_LOG_COLOURS[line.name])
                console.print(tag + Text.from_ansi(line.text), soft_wrap=True)
            if workers.supervisor(home) is None and holders.of_process(home, me):
                console.print("[yellow]the supervisor was killed; starting it again")
                workers.ensure(home, settings)
            time.sleep(_POLL_S)


def _summary(home: "Home", endpoints: "Endpoints", *, detached: bool) -> "Panel":
    from rich.panel import Panel
    from rich.table import Table

    from services.embedded.urls import redacted

    rows = Table.grid(padding=(0, 2))
    rows.add_row("database", _plain(redacted(endpoints.database_url)))
    rows.add_row("redis", _plain(redacted(endpoints.redis_url)))
    rows.add_row("objects", _plain(redacted(endpoints.storage_url)))
    rows.add_row("logs", _plain(str(home.logs)))
    stop = f"tubegrader --home '{home.path}' down"
    rows.add_row("stop with", _plain(stop if detached else f"Ctrl-C, or {stop}"))
    return Panel(rows, title="TubeGrader is up", title_align="left", border_style="green")


def _print_status(console: "Console", settings: "Settings", seen: "Status") -> None:
    console.print(_plain(str(settings.home)), style="bold", soft_wrap=True)
    console.print(_status_table(seen))
    for part in seen.parts:
        if part.message:
            console.print(_plain(f"{part.name}: {part.message}"), style="yellow", soft_wrap=True)
    for user in seen.users:
        console.print(_plain(f"in use by {user.command} (pid {user.process.pid})"), style="dim")


def _fleet_table(processes: "Sequence[ProcessView]") -> "Table":
    """Return who works on the database, on whatever machine."""
    from rich import box
    from rich.table import Table

    table = Table("works on", "machine", "pid", "since", "last heard of", box=box.SIMPLE_HEAD)
    for process in processes:
        elected = " (elected)" if process.is_elected else ""
        colour = "green" if process.is_alive else "red"
        table.add_row(
            f"{process.role}{elected}",
            _plain(process.host),
            str(process.pid),
            f"{process.started_at:%m-%d %H:%MZ}",
            f"[{colour}]{process.silent_s:,.0f} s ago",
        )
    return table


def _status_table(seen: "Status") -> "Table":
    from rich import box
    from rich.table import Table

    table = Table("part", "state", "pid", "since", "version", box=box.SIMPLE_HEAD)
    table.add_column("endpoint", overflow="fold")
    for part in seen.parts:
        colour = _STATE_COLOURS.get(part.state, "red")
        table.add_row(
            part.name,
            f"[{colour}]{part.state}",
            str(part.pid or ""),
            f"{part.since:%m-%d %H:%MZ}" if part.since else "",
            part.version or "",
            _plain(part.endpoint or ""),
        )
    return table


def _size_table(measured: "Sizes") -> "Table":
    from rich import box
    from rich.table import Table

    from services.policy.sizes import described

    table = Table("what is kept", box=box.SIMPLE_HEAD)
    for title in ("rows", "size", "a day", "a year"):
        table.add_column(title, justify="right")
    shown = [each for each in measured.kinds if each.bytes >= _SHOWN_BYTES]
    for each in [*shown, measured.total]:
        growth = (each.bytes_per_day, each.bytes_per_year)
        table.add_row(
            each.kind,
            f"{each.rows:,}",
            described(each.bytes),
            *("" if value is None else described(value) for value in growth),
        )
    return table


def _console() -> "Console":
    from rich.console import Console

    return Console(highlight=False)


def _plain(text: str) -> str:
    """Keep brackets in foreign text from being read as markup."""
    from rich.markup import escape

    return escape(text)
