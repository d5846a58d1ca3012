"""``tubegrader tokens``: who may use the pages and the HTTP API."""

from enum import StrEnum
from typing import Annotated

import typer

from services.cli.common import emit_rows, open_context, print_json, say
from services.cli.options import AsJson

app = typer.Typer(help="Tokens for the pages and the HTTP API.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="To know it by, such as ci or anna.", metavar="NAME")]


class Scope(StrEnum):
    """What a token may."""

    read = "read"
    operate = "operate"
    admin = "admin"


@app.command()
def create(
    name: Name,
    scope: Annotated[
        Scope,
        typer.Option(help="read; operate: jobs, channels, labels too; admin: models, deletions."),
    ] = Scope.read,
    expires: Annotated[
        str | None, typer.Option(help="After how long, such as 90d; never if left out.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a token and show it, this once: only its hash is kept.

    From the first one on every page and every call needs one.
    """
    from datetime import timedelta

    from services import tokens
    from services.schedules.names import parse_length

    lifetime = None if expires is None else timedelta(seconds=parse_length(expires))
    with open_context() as context:
        token = tokens.create(context, name, scope=scope.value, lifetime=lifetime)
    if as_json:
        print_json({"name": name.strip(), "scope": scope.value, "token": token})
        return
    typer.echo(token)
    typer.echo("keep it: it is not shown again", err=True)


@app.command("list")
def list_tokens(as_json: AsJson = False) -> None:
    """List the tokens, also those that ended."""
    from services import tokens

    with open_context() as context:
        found = tokens.listed(context)
    emit_rows(
        found,
        {
            "token": lambda t: t.name,
            "scope": lambda t: t.scope,
            "state": lambda t: t.state,
            "made (UTC)": lambda t: f"{t.created_at:%Y-%m-%d}",
            "expires": lambda t: f"{t.expires_at:%Y-%m-%d}" if t.expires_at else "never",
            "last used (UTC)": lambda t: f"{t.used_at:%Y-%m-%d %H:00}" if t.used_at else "never",
        },
        as_json=as_json,
        none="There is no token; `tubegrader tokens create NAME` makes one, and from then on pages"
        " and calls need one.",
    )


@app.command()
def revoke(
    name: Name,
    forget: Annotated[
        bool, typer.Option("--forget", help="Also delete that there ever was one.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """End a token: within seconds it lets nobody in."""
    from services import tokens

    with open_context() as context:
        tokens.revoke(context, name, forget=forget)
    line = f"{name} is {'forgotten' if forget else 'revoked'}"
    say({"name": name, "revoked": True, "forgotten": forget}, line, as_json=as_json)
