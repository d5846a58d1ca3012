"""``tubegrader channels``: what is watched, added in bulk, tagged, paused and forgotten."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.common import emit, emit_rows, open_context, print_json, print_table
from services.cli.options import AsJson, ChannelFiles

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from services.crawl.intake import Outcome
    from services.crawl.sources import NamedChannel

app = typer.Typer(help="The channels that are watched.", invoke_without_command=True)
tag_app = typer.Typer(help="Tag channels, or take tags off.", no_args_is_help=True)
app.add_typer(tag_app, name="tag")

Watched = Annotated[
    list[str], typer.Argument(help="Ids (UC…), @handles or URLs.", metavar="CHANNEL...")
]
Tags = Annotated[list[str], typer.Option("--tag", help="May be given again.", metavar="TAG")]


@app.callback()
def channels(context: typer.Context, as_json: AsJson = False) -> None:
    """List the channels that are watched, or see to them."""
    if context.invoked_subcommand is None:
        _list(tag=None, state=None, as_json=as_json)


@app.command("list")
def list_(
    tag: Annotated[str | None, typer.Option(help="Only those with this tag.")] = None,
    state: Annotated[
        str | None,
        typer.Option(
            help="Only active, empty, closed, suspended, gone, paused, watched or imported ones."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the channels that are watched, and those that were only imported."""
    _list(tag=tag, state=state, as_json=as_json)


@app.command()
def add(
    channel: Annotated[
        list[str] | None, typer.Argument(help="Ids (UC…), @handles or URLs; - reads stdin.")
    ] = None,
    files: ChannelFiles = None,
    tags: Annotated[
        list[str] | None, typer.Option("--tag", help="Tag them. May be given again.", metavar="TAG")
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="What they speak: en, zh, … Overrides what YouTube says.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Watch channels from now on. Exits with 1 if any line failed; the others are added."""
    from services.crawl import intake
    from services.errors import UsageError

    named = named_channels(channel or [], files or [])
    if not named:
        raise UsageError(
            "no channel was named", hint="give ids, @handles or URLs, or a file with --from"
        )
    with open_context() as context:
        outcomes = intake.add(context, named, tags=tags or [], language=language)
    if as_json:
        print_json([vars(outcome) for outcome in outcomes])
    else:
        print_table(
            ["line", "named", "outcome", "channel", ""],
            [[o.line, o.text, o.status, o.channel_id, o.message] for o in outcomes],
            right=["line"],
        )
        count_outcomes(outcomes)
    if any(outcome.failed for outcome in outcomes):
        raise typer.Exit(1)


@app.command()
def show(
    channel: Annotated[str, typer.Argument(help="Its id (UC…), @handle or URL.")],
    as_json: AsJson = False,
) -> None:
    """Show what is known of a channel: facts, counts, states, and how its crawl stands."""
    from services.crawl import watchlist

    with open_context() as context:
        facts = watchlist.facts(context, channel)
    emit(facts, _print_facts, as_json=as_json)


def _print_facts(facts: dict[str, Any]) -> None:
    plain = {k: v for k, v in facts.items() if k not in ("videos", "work")}
    rows = [(key.replace("_", " "), _cell(key, value)) for key, value in plain.items()]
    print_table(["", ""], rows)
    typer.echo()
    print_table(
        ["videos", "format", "count"],
        [[v["state"], v["format"], f"{v['n']:,}"] for v in facts["videos"]],
        right=["count"],
    )
    typer.echo()
    print_table(
        ["work", "state", "reason", "items", "last done", "next"],
        [
            [w["kind"], w["state"], w["reason"], f"{w['n']:,}", w["last_done_at"], w["next_at"]]
            for w in facts["work"]
        ],
        right=["items"],
    )


@tag_app.command("add")
def tag_add(channel: Watched, tags: Tags) -> None:
    """Tag channels."""
    _tag(channel, tags, remove=False)


@tag_app.command("remove")
def tag_remove(channel: Watched, tags: Tags) -> None:
    """Take tags off channels."""
    _tag(channel, tags, remove=True)


@app.command()
def pause(channel: Watched) -> None:
    """Collect nothing of channels until they are resumed."""
    _set_paused(channel, paused=True)


@app.command()
def resume(channel: Watched) -> None:
    """Go on with channels that were paused."""
    _set_paused(channel, paused=False)


@app.command()
def forget(
    channel: Annotated[str, typer.Argument(help="Its id (UC…), @handle or URL.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would go.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a channel with all that was collected of it."""
    from services.crawl import watchlist
    from services.errors import UsageError

    with open_context() as context:
        going = watchlist.forget(context, channel, dry_run=True)
        if not as_json:
            typer.echo(
                f"{going.title or going.channel_id} ({going.channel_id}): {going.videos:,} videos, "
                f"{going.video_snapshots:,} + {going.channel_snapshots:,} snapshots, "
                f"{going.scores:,} scores, {going.thumbnails:,} thumbnails of nobody else, "
                f"{going.audio_clips:,} clips of audio"
            )
            if going.datasets:
                typer.echo(
                    f"  {going.datasets} frozen datasets keep their own copies of what they took"
                )
        if not dry_run:
            if not yes:
                if not typer.get_text_stream("stdin").isatty():
                    raise UsageError("nothing was deleted: nobody can be asked", hint="say --yes")
                typer.confirm("Delete all of that?", abort=True)
            watchlist.forget(context, going.channel_id)
    if as_json:
        print_json({**going.as_json(), "deleted": not dry_run})
    else:
        typer.echo("nothing was deleted" if dry_run else "deleted")


def _list(*, tag: str | None, state: str | None, as_json: bool) -> None:
    from services.crawl import watchlist

    with open_context() as context:
        found = watchlist.overview(context, tag=tag, state=state)
    emit_rows(
        found,
        {
            "channel": lambda c: c["channel_id"],
            "handle": lambda c: c["handle"],
            "title": lambda c: c["title"],
            "state": _state,
            "language": lambda c: c["language"],
            "subscribers": lambda c: _counter(c["subscriber_count"]),
            "videos": lambda c: f"{c['n_videos']:,}",
            "tags": lambda c: ", ".join(c["tags"]),
        },
        as_json=as_json,
        right=["subscribers", "videos"],
    )


def _state(channel: "Mapping[str, Any]") -> str:
    if not channel["watched"]:
        return "imported, not watched"
    return str(channel["state"]) + (" (paused)" if channel["paused_at"] else "")


def _counter(count: int | None) -> str:
    return "hidden" if count is None else f"{count:,}"


def named_channels(typed: list[str], files: list[Path]) -> "list[NamedChannel]":
    """Return what was typed (its place as its line), then what the files say."""
    from services.crawl.sources import NamedChannel, read_channels

    named = [NamedChannel(i, text) for i, text in enumerate(typed, start=1) if text != "-"]
    if "-" in typed:
        files = [Path("-"), *files]
    for file in files:
        named += read_channels(_content(file), "stdin" if str(file) == "-" else str(file))
    return named


def _content(file: Path) -> bytes:
    from services.crawl.sources import LARGEST_FILE
    from services.errors import UsageError

    if str(file) == "-":
        return typer.get_binary_stream("stdin").read(LARGEST_FILE + 1)
    try:
        with file.open("rb") as opened:
            return opened.read(LARGEST_FILE + 1)
    except OSError as error:
        raise UsageError(f"cannot read channels from {file}: {error.strerror}") from error


def count_outcomes(outcomes: "Sequence[Outcome]") -> None:
    """Say what became of lines, counted, beside what a command prints."""
    from services.crawl.intake import STATUSES

    counts = {status: sum(o.status == status for o in outcomes) for status in STATUSES}
    typer.echo(", ".join(f"{n} {status}" for status, n in counts.items() if n), err=True)


def _tag(channel: list[str], tags: list[str], *, remove: bool) -> None:
    from services.crawl import watchlist
    from services.formatting import counted

    with open_context() as context:
        n = watchlist.tag(context, channel, tags, remove=remove)
    typer.echo(f"{counted(n, 'tag')} {'removed' if remove else 'added'}")


def _set_paused(channel: list[str], *, paused: bool) -> None:
    from services.crawl import watchlist
    from services.formatting import counted

    with open_context() as context:
        changed = watchlist.set_paused(context, channel, paused=paused)
    typer.echo(f"{counted(len(changed), 'channel')} {'paused' if paused else 'resumed'}")


def _cell(key: str, value: Any) -> str:
    if key == "subscriber_count" and value is None:
        return "hidden or not known"
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value or "")
