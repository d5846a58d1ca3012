"""``tubegrader crawl``, ``sql`` and ``migrate``: collecting, and asking the data."""

from pathlib import Path
from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def crawl(
    channel: Annotated[
        list[str] | None,
        typer.Argument(help="Ids (UC…), @handles or URLs to watch from now on. None: all."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--from", help="Read channels from this file, one a line; - is stdin."),
    ] = None,
    audio: Annotated[
        bool, typer.Option("--audio", help="Also speech, of the videos that `audio` selects.")
    ] = False,
    wait: Annotated[bool, typer.Option(help="Wait until the crawl is done.")] = True,
    as_json: AsJson = False,
) -> None:
    """Collect channels now: their videos, counts and thumbnails."""
    from services.cli.common import open_context, print_json, wait_for
    from services.crawl import channels as watched
    from services.crawl import runs
    from services.formatting import counted

    named = list(channel or ())
    if file is not None:
        named += _lines(file)
    with open_context(workers=wait) as context:
        ids = None
        if named or file is not None:
            added = watched.add(context, named)
            ids = added.channel_ids
            typer.echo(f"{counted(len(ids), 'channel')}, {added.new} new", err=True)
        if audio:
            from services.media.audio.selection import refuse_unless_allowed

            refuse_unless_allowed(context, ids)
        job_id = runs.start(context, ids, with_audio=audio)
        if not wait:
            typer.echo(str(job_id))
            return
        job = wait_for(context, job_id, "crawling", quiet=as_json)
    if as_json:
        print_json(job.as_json())
        return
    typer.echo(describe_crawl(job.result or {}))


def sql(
    query: Annotated[
        str | None, typer.Option("-c", "--command", help="Run this query and print what it gives.")
    ] = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    owner: Annotated[
        bool, typer.Option("--owner", help="psql with all rights, not as the analyst.")
    ] = False,
) -> None:
    """Open psql on the database, or run a query on it, as an analyst who may only read."""
    from services import querying
    from services.cli.common import open_context, print_json, print_table
    from services.formatting import counted

    with open_context() as context:
        if query is None:
            raise typer.Exit(querying.open_psql(context, owner=owner))
        columns, rows = querying.run_query(context, query)
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    elif as_csv:
        import csv

        writer = csv.writer(typer.get_text_stream("stdout"), lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    else:
        print_table(columns, rows)
        typer.echo(f"({counted(len(rows), 'row')})")


def migrate() -> None:
    """Bring the database that TUBEGRADER_DATABASE_URL names to this version's schema."""
    from services.cli.common import open_context

    # Opening a stack migrates it.
    with open_context():
        typer.echo("the database is at the newest schema")


def describe_crawl(result: dict[str, Any]) -> str:
    """Return lines on what a crawl collected and what it could not."""
    from services.formatting import counted

    lines = [f"collected {counted(result['done'], 'item')}"]
    lines += [
        f"  {failure['count']} × {failure['work']} failed: {failure['reason']}"
        for failure in result["failures"]
    ]
    return "\n".join(lines)


def _lines(file: Path) -> list[str]:
    from services.errors import UsageError

    try:
        text = (
            typer.get_text_stream("stdin").read()
            if str(file) == "-"
            else file.read_text(encoding="utf-8-sig")
        )
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read channels from {file}: {error}") from error
    stripped = (line.strip() for line in text.splitlines())
    return [line for line in stripped if line and not line.startswith("#")]
