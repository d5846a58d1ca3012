"""``tubegrader digest``: what came of the last day and its nights."""

import typer

from services.cli.common import open_context, print_json
from services.cli.options import AsJson


def digest(as_json: AsJson = False) -> None:
    """Say what was collected, missed, trained, promoted and drifted in a day, and what to look at.

    The same is sent after each retraining where notifications are set up.
    """
    from services.digest import digest as made

    with open_context() as context:
        found = made(context)
    if as_json:
        print_json(found.as_json())
        return
    typer.secho(found.sentence, bold=True)
    typer.echo(f"\n{found.as_text()}", nl=False)
