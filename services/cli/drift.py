"""``tubegrader models drift``: whether new videos differ from what the champion learned on."""

from typing import Annotated, Any

import typer

from services.cli import remote
from services.cli.common import emit, minute, open_context
from services.cli.options import AsJson
from services.cli.tables import print_table


def drift(
    now: Annotated[
        bool, typer.Option("--now", help="Measure now, rather than show what last night found.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say whether the newest videos differ from those that the champion learned on.

    Every retraining measures it. A threshold is what the distance reaches by chance; together they
    are exceeded in 1 of 20 nights at most if nothing has changed.
    """
    there = remote.home()
    if there is not None and not now:
        emit(there.get("/drift/newest"), _print, as_json=as_json)
        return
    from services.learning.drift import reading

    with open_context() as context:
        found = None if now else reading.newest(context)
        if found is None:
            # Loads torch and the champion, which reading does without.
            from services.learning.drift import measuring

            found = measuring.measure(context)
    emit(found, _print, as_json=as_json)


def _print(found: dict[str, Any]) -> None:
    typer.secho(found["sentence"], bold=True)
    if found["columns"]:
        typer.echo()
        print_table(
            ["compared", "distance", "threshold", "drifted", "what happened"],
            [
                [
                    each["name"],
                    f"{each['distance']:.3f}",
                    f"{each['threshold']:.3f}",
                    "yes" if each["is_drifted"] else "no",
                    each["sentence"],
                ]
                for each in found["columns"]
            ],
            right=["distance", "threshold"],
        )
    typer.echo(f"\nas of {minute(found['created_at'])} UTC")
