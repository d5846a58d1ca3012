"""``tubegrader datasets``: what the models learned from."""

from typing import Annotated, Any

import typer

from services.cli import completing
from services.cli.common import emit, emit_rows, open_context
from services.cli.options import AsJson
from services.cli.tables import print_table

app = typer.Typer(help="The frozen datasets that models learn from.", no_args_is_help=True)

Name = Annotated[
    str,
    typer.Argument(help="The beginning of its id, or newest.", autocompletion=completing.datasets),
]


@app.command("list")
def list_datasets(as_json: AsJson = False) -> None:
    """List all datasets, the newest first."""
    from services.learning.thumbnails import inspection

    with open_context() as context:
        found = inspection.overview(context)
    emit_rows(
        found,
        {
            "dataset": lambda row: row["dataset_id"][:12],
            "as of (UTC)": lambda row: f"{row['as_of']:%Y-%m-%d %H:%M}",
            "videos": lambda row: row["n_videos"],
            "channels": lambda row: row["n_channels"],
            "label": lambda row: row["label"],
            "over": lambda row: f"{row['threshold']:g}/day",
            "base rate": lambda row: f"{row['base_rate']:.1%}",
        },
        as_json=as_json,
        right=["videos", "channels", "base rate"],
    )


@app.command()
def show(name: Name = "newest", as_json: AsJson = False) -> None:
    """Show what is in a dataset, what was left out of it, and what its features lack."""
    from services.learning.thumbnails import inspection

    with open_context() as context:
        found = inspection.show(context, name)
    emit(found, _print_dataset, as_json=as_json)


def _print_dataset(found: dict[str, Any]) -> None:
    requested = found["label_asked"]
    print_table(
        ["dataset", found["dataset_id"]],
        [
            ["as of", f"{found['as_of']:%Y-%m-%d %H:%M} UTC, schema {found['schema_version']}"],
            ["videos", f"{found['n_videos']} of {found['n_channels']} channels"],
            ["pictures", found["n_thumbnails"]],
            ["for the folds", f"{found['n_split_groups']} groups; who shares a picture is in one"],
            ["label", f"{_listed(found['label_kinds'])} (asked for: {requested})"],
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
    one: Annotated[
        str,
        typer.Argument(
            help="The beginning of the one's id, or newest.", autocompletion=completing.datasets
        ),
    ],
    other: Annotated[
        str, typer.Argument(help="Likewise of the other.", autocompletion=completing.datasets)
    ] = "newest",
    as_json: AsJson = False,
) -> None:
    """Say how another dataset differs from one: rows added, removed, changed by column."""
    from services.learning.thumbnails import inspection

    with open_context() as context:
        found = inspection.diff(context, one, other)
    emit(found, _print_difference, as_json=as_json)


def _print_difference(found: dict[str, Any]) -> None:
    typer.echo(
        f"{found['added']} videos added, {found['removed']} removed, {found['same']} in both"
    )
    if found["changed"]:
        print_table(["changed", "videos"], list(found["changed"].items()), right=["videos"])


@app.command()
def verify(name: Name = "newest", as_json: AsJson = False) -> None:
    """Read every file of a dataset again, and look for leaks; fails if there are any."""
    from services.learning.thumbnails import inspection

    with open_context() as context:
        found = inspection.verify(context, name)
    emit(found, _print_findings, as_json=as_json)
    if not found["clean"]:
        raise typer.Exit(1)


def _print_findings(found: dict[str, Any]) -> None:
    typer.echo(f"{found['dataset_id'][:12]}: {found['files']} files whole")
    if found["pictures_purged_at"] is not None:
        typer.echo(f"  its pictures were removed on {found['pictures_purged_at']:%Y-%m-%d}")
    for finding in found["findings"]:
        typer.echo(f"  {finding['severity']} {finding['reason']}: {finding['message']}")
    if not found["findings"]:
        typer.echo("  no leaks")


@app.command()
def features(as_json: AsJson = False) -> None:
    """Read every pack of image features again; fails if one is missing or damaged."""
    from dataclasses import asdict

    from services.policy import embeddings

    with open_context() as context:
        found = embeddings.verify(context)
    emit(asdict(found) | {"clean": found.clean}, _print_verified, as_json=as_json)
    if not found.clean:
        raise typer.Exit(1)


def _print_verified(found: dict[str, Any]) -> None:
    typer.echo(f"{found['packs']:,} packs of {found['embeddings']:,} image features")
    if found["clean"]:
        typer.echo("  all whole")
        return
    typer.echo(
        f"  {found['missing']:,} packs are missing and {found['damaged']:,} damaged: "
        f"{found['lost']:,} image features are made anew when they are next asked for"
    )


def _listed(counts: dict[str, Any]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
