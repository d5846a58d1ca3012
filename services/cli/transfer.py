"""``tubegrader data export`` and ``import``: tables and pictures out of the database and in."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.common import emit, open_context
from services.cli.options import AsJson

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.transfer.export import Exported
    from services.transfer.importing import Imported

SHOWN = 20


def export_data(
    directory: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
    file_format: Annotated[str, typer.Option("--format", help="parquet or csv.")] = "parquet",
    what: Annotated[
        str | None,
        typer.Option(
            help="Of channels,videos,channel_snapshots,snapshots,thumbnails; none: all of them."
        ),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="Only snapshots from then on, UTC."
        ),
    ] = None,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw", help="CSV: leave texts alone that a spreadsheet would take for formulas."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write tables and pictures into a folder, with a manifest of counts and hashes."""
    from datetime import UTC

    from services.transfer.export import export

    with open_context() as context:
        done = export(
            context,
            directory,
            file_format=file_format,
            what=[name.strip() for name in what.split(",")] if what else (),
            since=since and since.replace(tzinfo=UTC),
            raw=raw,
            progress=_show(quiet=as_json),
        )
    emit(done, _print_exported, as_json=as_json)


def _print_exported(done: "Exported") -> None:
    for name, rows in done.rows.items():
        typer.echo(f"{rows:>12,} {name}")
    if done.missing_pictures:
        typer.echo(f"{done.missing_pictures:>12,} pictures are not in the store any more")
    typer.echo(f"written to {done.directory}")


def import_data(
    directory: Annotated[
        Path,
        typer.Argument(
            help="An export, or a folder with videos.csv, snapshots.csv, channel_snapshots.csv."
        ),
    ],
    watch: Annotated[
        bool, typer.Option("--watch", help="Also crawl these channels from now on.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="Write refused rows into this CSV file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Take in recorded videos and snapshots; nothing that is there is changed.

    Exits with 1 if every row was refused.
    """
    from services.transfer.importing import import_folder

    if report is not None:
        _check_place(report)
    with open_context() as context:
        done = import_folder(context, directory, watch=watch, progress=_show(quiet=as_json))
    if report is not None:
        import csv

        from services.formatting import neutral_cell

        with report.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["file", "line", "reason", "message"])
            writer.writeheader()
            writer.writerows(
                {k: neutral_cell(v) if isinstance(v, str) else v for k, v in refused.items()}
                for refused in done.refusals
            )
    emit(done, lambda imported: _print_imported(imported, watch=watch), as_json=as_json)
    if done.all_refused:
        typer.echo("nothing was taken: every row was refused", err=True)
        raise typer.Exit(1)


def _check_place(report: Path) -> None:
    """See that a report can be written before anything is imported that it is about."""
    import tempfile

    from services.errors import UsageError

    try:
        why = "it is a folder" if report.is_dir() else None
        tempfile.TemporaryFile(dir=report.absolute().parent).close()
    except OSError as error:
        why = error.strerror
    if why is not None:
        raise UsageError(f"cannot write {report}: {why}", hint="nothing was imported yet")


def _print_imported(done: "Imported", *, watch: bool) -> None:
    for table, rows in done.new.items():
        typer.echo(f"{rows:>12,} new {table}")
    for reason, count in sorted(done.refused.items()):
        typer.echo(f"{count:>12,} refused: {reason}")
    for refused in done.refusals[:SHOWN]:
        typer.echo(f"  {refused['file']}:{refused['line']}: {refused['message']}", err=True)
    if not watch and not done.all_refused:
        typer.echo("these channels are not crawled; --watch does that")


def _show(*, quiet: bool) -> "Callable[[str, int], None]":
    import sys

    def show(name: str, rows: int) -> None:
        if not quiet and sys.stderr.isatty():
            typer.echo(f"\r{name}: {rows:,} \033[K", nl=False, err=True)

    return show
