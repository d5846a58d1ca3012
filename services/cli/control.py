"""``tubegrader pause``, ``resume``, ``breakers`` and ``notify``: the operator's hand."""

from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from services.cli.common import emit_rows, open_context
from services.cli.options import AsJson
from services.queue import QUEUES

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.context import Context
    from services.embedded.status import Status
    from services.settings import Settings

Found = TypeVar("Found")

Queue = Annotated[
    str | None, typer.Option(help=f"Only this queue: {' or '.join(QUEUES)}.", metavar="QUEUE")
]

Channels = Annotated[
    list[str] | None,
    typer.Option("--channel", help="Only this channel: id, @handle or URL; again for more."),
]

breakers = typer.Typer(help="Show and reset the breakers of hosts.")
notify = typer.Typer(help="Notifications by webhook or command.", no_args_is_help=True)


def pause(
    queue: Queue = None,
    channel: Channels = None,
    reason: Annotated[str | None, typer.Option(help="Shown wherever the pause is.")] = None,
) -> None:
    """Begin no more work until `resume`; what is running finishes. Schedules go on queueing."""
    from services.work import pauses

    if channel:
        _set_channels(channel, queue, paused=True)
        return
    scope = queue or pauses.EVERYTHING
    with open_context() as context:
        new = pauses.pause(context, scope, reason=reason)
    typer.echo(f"{scope} is paused" if new else f"{scope} was paused already")


def resume(queue: Queue = None, channel: Channels = None) -> None:
    """Lift a pause: of everything, of a queue, or of channels."""
    from services.work import pauses

    if channel:
        _set_channels(channel, queue, paused=False)
        return
    scope = queue or pauses.EVERYTHING
    with open_context() as context:
        lifted = pauses.resume(context, scope)
        left = pauses.listed(context)
    typer.echo(f"{scope} goes on" if lifted else f"{scope} was not paused")
    for other in left:
        typer.echo(f"still paused: {other.scope}" + (f" ({other.reason})" if other.reason else ""))


def _set_channels(typed: list[str], queue: str | None, *, paused: bool) -> None:
    from services.crawl import watchlist
    from services.errors import UsageError

    if queue is not None:
        raise UsageError("choose one of --queue and --channel")
    with open_context() as context:
        changed = watchlist.set_paused(context, typed, paused=paused)
    for channel_id in changed:
        typer.echo(f"{channel_id} {'is paused' if paused else 'goes on'}")
    if not changed:
        typer.echo(f"nothing to do: {'paused' if paused else 'not paused'} already")


def blockers(as_json: AsJson = False) -> None:
    """Show what holds work back now: pauses, open breakers, used-up quota."""
    from services.work import admission

    with open_context() as context:
        found = admission.blockers(context)
    if not found and not as_json:
        typer.echo("nothing is held back")
        return
    emit_rows(
        found,
        {
            "what": lambda b: b.what,
            "why": lambda b: b.kind,
            "until (UTC)": lambda b: f"{b.until:%Y-%m-%d %H:%M:%S}" if b.until else "resumed",
            "message": lambda b: b.message,
        },
        as_json=as_json,
    )


def asked(
    settings: "Settings", seen: "Status", question: "Callable[[Context], Found]"
) -> "Found | None":
    """Ask the database for `status`, which starts nothing; None where it cannot say."""
    from sqlalchemy.exc import SQLAlchemyError

    from services.context import Context
    from services.embedded import lifecycle, postgres, urls
    from services.embedded.home import Home
    from services.errors import TubeGraderError

    home = Home(settings.home)
    running = postgres.running(home) if settings.database_url is None else None
    url = settings.database_url or (running.url if running is not None else None)
    up = {part.name for part in seen.parts if part.state == "up"}
    if url is None or "postgres" not in up:
        return None
    own = {
        "database_url": urls.database_url(url),
        "storage_url": lifecycle.storage_url(home, settings),
    }
    context = Context.of_process(settings.model_copy(update=own))
    try:
        return question(context)
    except (SQLAlchemyError, TubeGraderError):
        return None  # of an earlier version: the next command migrates it
    finally:
        context.close()


@breakers.callback(invoke_without_command=True)
def list_breakers(context: typer.Context, as_json: AsJson = False) -> None:
    """Show the breaker of each host: closed is well, open is not asked for a while."""
    if context.invoked_subcommand is not None:
        return
    from services.work import breakers as states

    with open_context() as opened:
        found = states.listed(opened)
    emit_rows(
        found,
        {
            "host": lambda b: b.host,
            "state": lambda b: b.state,
            "failures": lambda b: b.failures,
            "opened (UTC)": lambda b: f"{b.opened_at:%Y-%m-%d %H:%M:%S}" if b.opened_at else "",
            "asked again (UTC)": lambda b: f"{b.retry_at:%Y-%m-%d %H:%M:%S}" if b.retry_at else "",
            "reason": lambda b: f"{b.reason}: {b.message}" if b.reason else "",
        },
        as_json=as_json,
        right=["failures"],
    )


@breakers.command("reset")
def reset_breaker(host: Annotated[str, typer.Argument(help="Such as data-api.")]) -> None:
    """Close a breaker now: the host is asked again at once."""
    from services.work import breakers as states

    with open_context() as context:
        opened = states.reset(context, host)
    typer.echo(f"{host} is asked again" if opened else f"{host} was closed already")


@notify.command("test")
def test_notifications() -> None:
    """Send a test to the webhook and the command now; exit code 1 if it does not arrive."""
    from services import notify as notifications

    with open_context() as context:
        for target in notifications.send_test(context):
            typer.echo(f"the {target} took it")


@notify.command("list")
def count_notifications(as_json: AsJson = False) -> None:
    """Count the notifications by event, target and state."""
    from services import notify as notifications

    with open_context() as context:
        found = notifications.counts(context)
    emit_rows(
        found,
        {name: itemgetter(name) for name in ("event", "target", "state", "count")},
        as_json=as_json,
        right=["count"],
    )
