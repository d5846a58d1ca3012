"""``tubegrader channels crawl``, ``sql`` and ``migrate``: collecting, and asking the data."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli import completing, remote
from services.cli.common import asked, emit, open_context, print_json, say, submit_there, wait_for
from services.cli.options import AsJson, ChannelFiles
from services.cli.tables import print_table

if TYPE_CHECKING:
    from services.context import Context


def crawl(
    channel: Annotated[
        list[str] | None,
        typer.Argument(
            help="Ids (UC…), @handles or URLs to watch from now on. None: all.",
            autocompletion=completing.channels,
        ),
    ] = None,
    files: ChannelFiles = None,
    audio: Annotated[
        bool, typer.Option("--audio", help="Also speech, of the videos that `audio` selects.")
    ] = False,
    wait: Annotated[bool, typer.Option(help="Wait until the crawl is done.")] = True,
    as_json: AsJson = False,
) -> None:
    """Collect channels now: their videos, counts and thumbnails.

    What is typed is added as a whole or not at all. Of files, lines that fail are reported and the
    others crawled; then it exits with 1.
    """
    from services.crawl import runs

    other = remote.home()
    if other is not None:
        if audio or files or "-" in (channel or []):
            remote.refuse("a crawl of files or of audio")
        request = {"kind": "crawl", "channels": channel or []}
        submit_there(other, request, "crawling", describe_crawl, wait=wait, as_json=as_json)
        return
    with open_context(workers=wait) as context:
        ids, failed = None, False
        if files or (channel and "-" in channel):
            ids, failed = _added_by_line(context, channel or [], files or [])
        elif channel:
            ids = _added(context, channel)
        if audio:
            from services.media.audio.selection import refuse_unless_allowed

            refuse_unless_allowed(context, ids)
        job_id = runs.start(context, ids, with_audio=audio)
        if wait:
            job = wait_for(context, job_id, "crawling", quiet=as_json)
            emit(job, lambda done: typer.echo(describe_crawl(done.result or {})), as_json=as_json)
        else:
            say({"job_id": str(job_id)}, str(job_id), as_json=as_json)
    if failed:
        raise typer.Exit(1)


def _added(context: "Context", typed: Sequence[str]) -> list[str]:
    """Watch the channels that were typed; return their ids."""
    from services.crawl import intake
    from services.formatting import counted

    added = intake.add_all(context, typed)
    typer.echo(f"{counted(len(added.channel_ids), 'channel')}, {added.new} new", err=True)
    return added.channel_ids


def _added_by_line(
    context: "Context", typed: list[str], files: list[Path]
) -> tuple[list[str], bool]:
    """Watch the channels that lines name, and report those that fail.

    Returns:
        The ids of the others, and whether any failed.

    Raises:
        UsageError: A file cannot be read, or no line of it leads to a channel.
    """
    from services.cli.channels import count_outcomes, named_channels
    from services.crawl import intake
    from services.errors import UsageError

    outcomes = intake.add(context, named_channels(typed, files))
    failed = [outcome for outcome in outcomes if outcome.failed]
    for outcome in failed:
        typer.echo(
            f"line {outcome.line}, {outcome.text}: {outcome.status}; {outcome.message}", err=True
        )
    count_outcomes(outcomes)
    ids = {o.channel_id for o in outcomes if o.channel_id is not None and not o.failed}
    if not ids:
        raise UsageError(
            "no channel was named that can be crawled",
            hint="give ids, @handles or URLs, or a file with --from",
        )
    return sorted(ids), bool(failed)


def sql(
    query: Annotated[
        str | None, typer.Option("-c", "--command", help="Run this query and print what it gives.")
    ] = None,
    as_json: AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw", help="CSV: leave texts alone that a spreadsheet would take for formulas."
        ),
    ] = False,
    owner: Annotated[
        bool, typer.Option("--owner", help="psql with all rights, not as the analyst.")
    ] = False,
) -> None:
    """Open psql on the database, or run a query on it, as an analyst who may only read."""
    from services import querying
    from services.formatting import counted

    if query is None:
        with open_context() as context:
            raise typer.Exit(querying.open_psql(context, owner=owner))
    columns, rows = asked(
        lambda context: querying.run_query(context, query),
        lambda there: _answer(there, query),
    )
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    elif as_csv:
        import csv

        from services.formatting import CsvLines, neutral_cell

        def cell(value: Any) -> Any:
            return neutral_cell(value) if isinstance(value, str) and not raw else value

        writer = csv.writer(CsvLines(typer.get_text_stream("stdout")))
        writer.writerow([cell(column) for column in columns])
        writer.writerows([cell(value) for value in row] for row in rows)
    else:
        print_table(columns, rows)
        typer.echo(f"({counted(len(rows), 'row')})")


def _answer(there: remote.Remote, query: str) -> tuple[list[str], Any]:
    answer = there.post("/sql", {"query": query})
    if answer["cut"]:
        typer.echo(f"only the first {len(answer['rows']):,} rows; LIMIT says which", err=True)
    return answer["columns"], answer["rows"]


def migrate(as_json: AsJson = False) -> None:
    """Bring the database to this version's schema, as TUBEGRADER_OWNER_URL if that is set."""
    from services.embedded.lifecycle import migrate_database
    from services.settings import Settings

    remote.refuse("`migrate`")
    migrate_database(Settings())
    say({"newest": True}, "the database is at the newest schema", as_json=as_json)


def catalog(as_json: AsJson = False) -> None:
    """Print what each view has and means, as Markdown, or as dbt describes models."""
    from services import catalog as views

    with open_context() as context:
        found = views.described(context)
    if as_json:
        print_json(views.as_dbt(found))
    else:
        typer.echo(views.as_markdown(found), nl=False)


def describe_crawl(result: dict[str, Any]) -> str:
    """Return lines on what a crawl collected and what it could not."""
    from services.crawl import odd
    from services.formatting import counted

    lines = [f"collected {counted(result['done'], 'item')}"]
    lines += [
        f"  {failure['count']} × {failure['work']} failed: {failure['reason']}"
        for failure in result["failures"]
    ]
    lines += [
        f"  {doubt['count']} × {doubt['work']} in doubt: {doubt['reason']}; asked again in hours"
        for doubt in result.get("doubts", ())
    ]
    if result.get("odd"):
        lines.append(f"  {odd.described(result['odd'])}")
    return "\n".join(lines)
