"""What ``tubegrader status`` shows: parts, processes, what is held back, and sizes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from services.cli import remote
from services.cli.common import print_json
from services.cli.tables import print_pairs, print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

    from services.embedded.status import Status
    from services.policy.sizes import Sizes
    from services.work.admission import Blocker
    from services.work.fleet import ProcessView

_SHOWN_BYTES = 1_000_000
"""Smaller tables are in the total only, and in the JSON."""
_COLOURS = {"up": "green", "starting": "yellow"}


def show(*, as_json: bool) -> bool:
    """Show how the home stands; tell whether all of its parts are up."""
    other = remote.home()
    if other is not None:
        return _show_other(other, as_json=as_json)
    from services.backups import standing as backups
    from services.cli.if_up import asked
    from services.clock import system_clock
    from services.embedded import status as parts
    from services.policy import sizes
    from services.settings import Settings
    from services.work import admission, fleet

    settings = Settings()
    seen = parts.status(settings)
    held = asked(settings, seen, admission.blockers) or []
    processes = asked(settings, seen, fleet.listed) or []
    measured = asked(settings, seen, sizes.measure)
    kept = backups.standing(settings, now=system_clock())
    if as_json:
        print_json(
            {
                "up": seen.all_up,
                "home": settings.home,
                "parts": [part.as_json() for part in seen.parts],
                "users": [user.as_json() for user in seen.users],
                "fleet": [process.as_json() for process in processes],
                "held_back": [blocker.as_json() for blocker in held],
                "sizes": None if measured is None else measured.as_json(),
                "backups": kept.as_json(),
            }
        )
        return seen.all_up
    typer.secho(str(settings.home), bold=True)
    _print_parts(seen)
    print_work(processes, held)
    if measured is not None:
        _print_sizes(measured)
    colour = None if kept.problem is None else typer.colors.YELLOW
    typer.secho(f"\nbackups: {kept.line}", fg=colour)
    return seen.all_up


def _show_other(other: remote.Remote, *, as_json: bool) -> bool:
    """Show what the API tells: its database answers, so what may be lacking is who works."""
    from services.embedded.status import DOWN, UP, Part
    from services.queue import DISPATCHER, QUEUES
    from services.work.admission import Blocker
    from services.work.fleet import ProcessView

    @dataclass(frozen=True)
    class System:
        fleet: list[ProcessView]
        held_back: list[Blocker]

    system: System = other.get("/system", System)
    processes, held = system.fleet, system.held_back
    alive = {process.role for process in processes if process.is_alive}
    parts = [Part(role, UP if role in alive else DOWN) for role in (*QUEUES, DISPATCHER)]
    down = [part.name for part in parts if part.state == DOWN]
    if as_json:
        print_json(
            {
                "up": not down,
                "home": other.url,
                "parts": [part.as_json() for part in parts],
                "users": [],
                "fleet": [process.as_json() for process in processes],
                "held_back": [blocker.as_json() for blocker in held],
                "sizes": None,
                "backups": None,
            }
        )
        return not down
    typer.secho(other.url, bold=True)
    print_work(processes, held)
    for role in down:
        typer.secho(f"{role} is down: no live process has this role", fg="red")
    if down:
        typer.echo("`tubegrader status` on the home's machine tells more", err=True)
    return not down


def print_work(processes: "Sequence[ProcessView]", held: "Sequence[Blocker]") -> None:
    """Print who works on the database, on whatever machine, and what is held back."""
    if processes:
        typer.echo()
        print_table(
            ["works on", "machine", "pid", "since", "last heard of"],
            [
                [
                    f"{process.role}{' (elected)' if process.is_elected else ''}",
                    process.host,
                    process.pid,
                    f"{process.started_at:%m-%d %H:%MZ}",
                    _coloured(
                        f"{process.silent_s:,.0f} s ago", "green" if process.is_alive else "red"
                    ),
                ]
                for process in processes
            ],
        )
    for late in filter(None, (process.lateness for process in processes)):
        typer.secho(late, fg="red")
    for unfit in filter(None, (process.unfitness for process in processes)):
        typer.secho(unfit, fg="red")
    for blocker in held:
        until = f" (until {blocker.until:%Y-%m-%d %H:%M} UTC)" if blocker.until else ""
        typer.secho(f"held back: {blocker.what}: {blocker.message}{until}", fg="yellow")


def _print_parts(seen: "Status") -> None:
    """Print the parts, and beneath them where they are: addresses are longer than a line."""
    print_table(
        ["part", "state", "pid", "since", "version"],
        [
            [
                part.name,
                _coloured(str(part.state), _COLOURS.get(part.state, "red")),
                part.pid,
                f"{part.since:%m-%d %H:%MZ}" if part.since else "",
                part.version,
            ]
            for part in seen.parts
        ],
    )
    typer.echo()
    print_pairs([(part.name, part.endpoint) for part in seen.parts if part.endpoint])
    for part in seen.parts:
        if part.message:
            typer.secho(f"{part.name}: {part.message}", fg="yellow")
    for user in seen.users:
        typer.secho(f"in use by {user.command} (pid {user.process.pid})", dim=True)


def _print_sizes(measured: "Sizes") -> None:
    from services.policy.sizes import described

    typer.echo()
    shown = [each for each in measured.kinds if each.bytes >= _SHOWN_BYTES]
    print_table(
        ["what is kept", "rows", "size", "a day", "a year"],
        [
            [
                each.kind,
                f"{each.rows:,}",
                described(each.bytes),
                *(
                    "" if value is None else described(value)
                    for value in (each.bytes_per_day, each.bytes_per_year)
                ),
            ]
            for each in [*shown, measured.total]
        ],
        right=["rows", "size", "a day", "a year"],
    )


def _coloured(text: str, colour: str) -> "Text":
    from rich.text import Text

    return Text(text, style=colour)
