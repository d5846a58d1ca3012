"""``tubegrader drift``: whether new videos differ from those that the champion learned on."""

from typing import Annotated

import typer


def drift(
    now: Annotated[
        bool, typer.Option("--now", help="Look now, rather than show what last night found.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say whether the newest videos differ from those that the champion learned on.

    Every retraining looks. A threshold is what the distance reaches by chance; together they are
    exceeded in 1 of 20 nights at most if nothing has changed.
    """
    from services.cli.common import open_context, print_json, print_table
    from services.learning.drift import reading

    with open_context() as context:
        found = None if now else reading.newest(context)
        if found is None:
            # Loads torch and the champion, which reading does without.
            from services.learning.drift import measuring

            found = measuring.measure(context)
    if as_json:
        print_json(found)
        return
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
    typer.echo(f"\nas of {found['created_at'][:16].replace('T', ' ')} UTC")
