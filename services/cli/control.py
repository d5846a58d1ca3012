"""``tubegrader pause``, ``resume``, ``breakers`` and ``notify``: the operator's hand."""

from typing import TYPE_CHECKING, Annotated

import typer

from services.queue import QUEUES

if TYPE_CHECKING:
    from services.embedded.status import Status
    from services.settings import Settings
    from services.work.admission import Blocker

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
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
    from services.cli.common import open_context
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
    from services.cli.common import open_context
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
    from services.cli.common import open_context
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
    from services.cli.common import open_context, print_json, print_table
    from services.work import admission

    with open_context() as context:
        found = admission.blockers(context)
    if as_json:
        print_json([blocker.as_json() for blocker in found])
        return
    if not found:
        typer.echo("nothing is held back")
        return
    print_table(
        ["what", "why", "until (UTC)", "message"],
        [
            [g.what, g.kind, f"{g.until:%Y-%m-%d %H:%M:%S}" if g.until else "resumed", g.message]
            for g in found
        ],
    )


def held_back(settings: "Settings", seen: "Status") -> "list[Blocker]":
    """Return what holds work back, for `status`: it starts nothing and fails of nothing."""
    from sqlalchemy.exc import SQLAlchemyError

    from services.context import Context
    from services.embedded import postgres, urls
    from services.embedded.home import Home
    from services.work import admission

    running = postgres.running(Home(settings.home)) if settings.database_url is None else None
    url = settings.database_url or (running.url if running is not None else None)
    if url is None or not any(
        part.name == "postgres" and part.state == "up" for part in seen.parts
    ):
        return []
    context = Context(settings.model_copy(update={"database_url": urls.database_url(url)}))
    try:
        return admission.blockers(context)
    except SQLAlchemyError:
        return []  # of an earlier version: the next command migrates it
    finally:
        context.close()


@breakers.callback(invoke_without_command=True)
def list_breakers(context: typer.Context, as_json: AsJson = False) -> None:
    """Show the breaker of each host: closed is well, open is not asked for a while."""
    if context.invoked_subcommand is not None:
        return
    from services.cli.common import open_context, print_json, print_table
    from services.work import breakers as states

    with open_context() as opened:
        found = states.listed(opened)
    if as_json:
        print_json([breaker.as_json() for breaker in found])
        return
    print_table(
        ["host", "state", "failures", "opened (UTC)", "asked again (UTC)", "reason"],
        [
            [
                b.host,
                b.state,
                b.failures,
                f"{b.opened_at:%Y-%m-%d %H:%M:%S}" if b.opened_at else "",
                f"{b.retry_at:%Y-%m-%d %H:%M:%S}" if b.retry_at else "",
                f"{b.reason}: {b.message}" if b.reason else "",
            ]
            for b in found
        ],
        right=["failures"],
    )


@breakers.command("reset")
def reset_breaker(host: Annotated[str, typer.Argument(help="Such as data-api.")]) -> None:
    """Close a breaker now: the host is asked again at once."""
    from services.cli.common import open_context
    from services.work import breakers as states

    with open_context() as context:
        opened = states.reset(context, host)
    typer.echo(f"{host} is asked again" if opened else f"{host} was closed already")


@notify.command("test")
def test_notifications() -> None:
    """Send a test to the webhook and the command now; exit code 1 if it does not arrive."""
    from services import notify as notifications
    from services.cli.common import open_context

    with open_context() as context:
        for target in notifications.send_test(context):
            typer.echo(f"the {target} took it")


@notify.command("list")
def count_notifications(as_json: AsJson = False) -> None:
    """Count the notifications by event, target and state."""
    from services import notify as notifications
    from services.cli.common import open_context, print_json, print_table

    with open_context() as context:
        found = notifications.counts(context)
    if as_json:
        print_json(found)
        return
    print_table(
        ["event", "target", "state", "count"],
        [[c["event"], c["target"], c["state"], c["count"]] for c in found],
        right=["count"],
    )
