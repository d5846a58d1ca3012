"""``tubegrader work``, ``breakers`` and ``notifications``: the operator's hand."""

from dataclasses import dataclass
from operator import itemgetter
from typing import Annotated

import typer

from services.cli import channels, completing, remote
from services.cli.common import asked, emit_rows, open_context, say
from services.cli.options import AsJson
from services.queue import QUEUES

Queue = Annotated[
    str | None, typer.Option(help=f"Only this queue: {' or '.join(QUEUES)}.", metavar="QUEUE")
]

Channels = Annotated[
    list[str] | None,
    typer.Option(
        "--channel",
        help="Only this channel: id, @handle or URL; again for more.",
        autocompletion=completing.channels,
    ),
]

breakers = typer.Typer(help="Show and reset the breakers of hosts.")
notifications = typer.Typer(help="Notifications by webhook or command.", no_args_is_help=True)


def pause(
    queue: Queue = None,
    channel: Channels = None,
    reason: Annotated[str | None, typer.Option(help="Shown wherever the pause is.")] = None,
    as_json: AsJson = False,
) -> None:
    """Begin no more work until `resume`; what is running finishes. Schedules go on queueing."""
    from services.work import pauses

    if channel:
        _set_channels(channel, queue, paused=True, as_json=as_json)
        return
    scope = queue or pauses.EVERYTHING
    new = asked(
        lambda context: pauses.pause(context, scope, reason=reason),
        lambda home: home.post("/pauses", {"scope": scope, "reason": reason})["changed"],
    )
    line = f"{scope} is paused" if new else f"{scope} was paused already"
    say({"scope": scope, "changed": new}, line, as_json=as_json)


def resume(queue: Queue = None, channel: Channels = None, as_json: AsJson = False) -> None:
    """Lift a pause: of everything, of a queue, or of channels."""
    from services.work import pauses

    if channel:
        _set_channels(channel, queue, paused=False, as_json=as_json)
        return
    scope = queue or pauses.EVERYTHING
    lifted = asked(
        lambda context: pauses.resume(context, scope),
        lambda home: home.delete(f"/pauses/{remote.segment(scope)}")["changed"],
    )
    left = asked(pauses.listed, lambda home: home.get("/pauses", list[pauses.PauseView]))
    lines = [f"{scope} goes on" if lifted else f"{scope} was not paused"]
    lines += [
        f"still paused: {other.scope}" + (f" ({other.reason})" if other.reason else "")
        for other in left
    ]
    found = {"scope": scope, "changed": lifted, "still_paused": [each.scope for each in left]}
    say(found, "\n".join(lines), as_json=as_json)


def _set_channels(typed: list[str], queue: str | None, *, paused: bool, as_json: bool) -> None:
    from services.errors import UsageError

    if queue is not None:
        raise UsageError("choose one of --queue and --channel")
    changed = channels.set_paused(typed, paused=paused)
    lines = [f"{channel_id} {'is paused' if paused else 'goes on'}" for channel_id in changed]
    nothing = f"nothing to do: {'paused' if paused else 'not paused'} already"
    say({"changed": changed}, "\n".join(lines) or nothing, as_json=as_json)


def blockers(as_json: AsJson = False) -> None:
    """Show what holds work back now: pauses, open breakers, used-up quota."""
    from services.work import admission

    @dataclass(frozen=True)
    class System:
        held_back: list[admission.Blocker]

    found = asked(admission.blockers, lambda home: home.get("/system", System).held_back)
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


@breakers.command("list")
def list_breakers(as_json: AsJson = False) -> None:
    """Show the breaker of each host: closed is well, open is not asked for a while."""
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
def reset_breaker(
    host: Annotated[str, typer.Argument(help="Such as data-api.", autocompletion=completing.hosts)],
    as_json: AsJson = False,
) -> None:
    """Close a breaker now: the host is asked again at once."""
    from services.work import breakers as states

    with open_context() as context:
        opened = states.reset(context, host)
    line = f"{host} is asked again" if opened else f"{host} was closed already"
    say({"host": host, "changed": opened}, line, as_json=as_json)


@notifications.command("test")
def send_test(as_json: AsJson = False) -> None:
    """Send a test to the webhook and the command now; exit code 1 if it does not arrive."""
    from services import notify

    with open_context() as context:
        taken = list(notify.send_test(context))
    lines = "\n".join(f"the {target} took it" for target in taken)
    say({"targets": taken}, lines, as_json=as_json)


@notifications.command("list")
def count_notifications(as_json: AsJson = False) -> None:
    """Count the notifications by event, target and state."""
    from services import notify

    with open_context() as context:
        found = notify.counts(context)
    emit_rows(
        found,
        {name: itemgetter(name) for name in ("event", "target", "state", "count")},
        as_json=as_json,
        right=["count"],
    )
