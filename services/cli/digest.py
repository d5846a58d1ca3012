"""``tubegrader digest``: what came of the last day and its nights."""

from typing import TYPE_CHECKING, Any

import typer

from services.cli.common import asked, print_json
from services.cli.options import AsJson

if TYPE_CHECKING:
    from services.context import Context


def digest(as_json: AsJson = False) -> None:
    """Say what was collected, missed, trained, promoted and drifted in a day, and what to look at.

    The same is sent after each retraining where notifications are set up.
    """
    from services.digest import digest as made

    def here(context: "Context") -> dict[str, Any]:
        found = made(context)
        return found.as_json() | {"text": found.as_text()}

    found: dict[str, Any] = asked(here, lambda home: home.get("/digest", dict[str, Any]))
    body = found.pop("text")
    if as_json:
        print_json(found)
        return
    typer.secho(found["sentence"], bold=True)
    typer.echo(f"\n{body}", nl=False)
