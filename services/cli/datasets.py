"""``tubegrader datasets``: what the models learned from."""

from typing import Annotated, Any

import typer

app = typer.Typer(help="The frozen datasets that models learn from.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="The beginning of its id, or newest.")]


@app.command("list")
def list_datasets(as_json: AsJson = False) -> None:
    """List all datasets, the newest first."""
    from services.cli.common import open_context, print_json, print_table
    from services.learning.thumbnails import inspection

    with open_context() as context:
        found = inspection.overview(context)
    if as_json:
        print_json(found)
        return
    print_table(
        ["dataset", "as of (UTC)", "videos", "channels", "label", "over", "base rate"],
        [
            [
                row["dataset_id"][:12],
                f"{row['as_of']:%Y-%m-%d %H:%M}",
                row["n_videos"],
                row["n_channels"],
                row["label"],
                f"{row['threshold']:g}/day",
                f"{row['base_rate']:.1%}",
            ]
            for row in found
        ],
        right=["videos", "channels", "base rate"],
    )


@app.command()
def show(name: Name = "newest", as_json: AsJson = False) -> None:
    """Show what is in a dataset, what was left out of it, and what its features lack."""
    from services.cli.common import open_context, print_json, print_table
    from services.learning.thumbnails import inspection

    with open_context() as context:
        found = inspection.show(context, name)
    if as_json:
        print_json(found)
        return
    asked = found["label_asked"]
    print_table(
        ["dataset", found["dataset_id"]],
        [
            ["as of", f"{found['as_of']:%Y-%m-%d %H:%M} UTC, schema {found['schema_version']}"],
            ["videos", f"{found['n_videos']} of {found['n_channels']} channels"],
            ["pictures", found["n_thumbnails"]],
            ["for the folds", f"{found['n_split_groups']} groups; who shares a picture is in one"],
            ["label", f"{_listed(found['label_kinds'])} (asked for: {asked})"],
            ["over", f"{found['base_rate']:.1%} reach {found['threshold']:g} views a day"],
            [
                "predicted",
                f"{found['predicted_from']:%Y-%m-%d} to {found['predicted_to']:%Y-%m-%d}",
            ],
            ["formats", _listed(found["formats"])],
            ["left out", _listed(found["excluded"]) or "nothing"],
            ["subscribers read too late", found["subscribers_after"]],
            ["counts across a change", found["mixed_definitions"]],
        ],
    )
    typer.echo("")
    print_table(
        ["feature", "missing"],
        [[feature, f"{share:.1%}"] for feature, share in found["missing"].items()],
        right=["missing"],
    )


@app.command()
def diff(
    one: Annotated[str, typer.Argument(help="The beginning of the one's id, or newest.")],
    other: Annotated[str, typer.Argument(help="Likewise of the other.")] = "newest",
    as_json: AsJson = False,
) -> None:
    """Say how another dataset differs from one: rows added, removed, changed by column."""
    from services.cli.common import open_context, print_json, print_table
    from services.learning.thumbnails import inspection

    with open_context() as context:
        found = inspection.diff(context, one, other)
    if as_json:
        print_json(found)
        return
    typer.echo(
        f"{found['added']} videos added, {found['removed']} removed, {found['same']} in both"
    )
    if found["changed"]:
        print_table(["changed", "videos"], list(found["changed"].items()), right=["videos"])


@app.command()
def verify(name: Name = "newest", as_json: AsJson = False) -> None:
    """Read every file of a dataset again, and look for leaks; fails if there are any."""
    from services.cli.common import open_context, print_json
    from services.learning.thumbnails import inspection

    with open_context() as context:
        found = inspection.verify(context, name)
    if as_json:
        print_json(found)
    else:
        typer.echo(f"{found['dataset_id'][:12]}: {found['files']} files whole")
        for finding in found["findings"]:
            typer.echo(f"  {finding['severity']} {finding['reason']}: {finding['message']}")
        if not found["findings"]:
            typer.echo("  no leaks")
    if not found["clean"]:
        raise typer.Exit(1)


def _listed(counts: dict[str, Any]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
