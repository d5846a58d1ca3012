"""``tubegrader channels``: what is watched, added in bulk, tagged, paused and forgotten."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli import completing, remote
from services.cli.common import asked, emit, emit_rows, minute, print_json, say
from services.cli.options import AsJson, ChannelFiles, DryRun, Yes
from services.cli.tables import print_pairs, print_table
from services.cli.words import Words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from services.crawl.intake import Outcome
    from services.crawl.sources import NamedChannel
    from services.crawl.watchlist import Forgotten

app = typer.Typer(help="The channels that are watched.")
tag_app = typer.Typer(help="Tag channels, or take tags off.", no_args_is_help=True)
app.add_typer(tag_app, name="tag", cls=Words)

Watched = Annotated[
    list[str],
    typer.Argument(
        help="Ids (UC…), @handles or URLs.",
        metavar="CHANNEL...",
        autocompletion=completing.channels,
    ),
]
Tags = Annotated[
    list[str],
    typer.Option(
        "--tag", help="May be given again.", metavar="TAG", autocompletion=completing.tags
    ),
]


@app.command("list")
def list_(
    tag: Annotated[
        str | None, typer.Option(help="Only those with this tag.", autocompletion=completing.tags)
    ] = None,
    state: Annotated[
        str | None,
        typer.Option(
            help="Only active, empty, closed, suspended, gone, paused, watched or imported ones."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the channels that are watched, and those that were only imported."""
    from services.crawl import watchlist

    found: list[dict[str, Any]] = asked(
        lambda context: watchlist.overview(context, tag=tag, state=state),
        lambda there: [
            each | {"n_videos": each["video_count"]}
            for each in there.items("/channels", Any, tag=tag, state=state)
        ],
    )
    emit_rows(
        found,
        {
            "channel": lambda c: c["channel_id"],
            "handle": lambda c: c["handle"],
            "title": lambda c: c["title"],
            "state": _state,
            "language": lambda c: c["language"],
            "subscribers": lambda c: _counter(c["subscriber_count"]),
            "videos": lambda c: f"{c['n_videos'] or 0:,}",
            "tags": lambda c: ", ".join(c["tags"]),
        },
        as_json=as_json,
        right=["subscribers", "videos"],
        spare=["tags", "language", "handle"],
    )


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
    body = {"channels": [n.text for n in named], "tags": tags or [], "language": language}
    outcomes = asked(
        lambda context: intake.add(context, named, tags=tags or [], language=language),
        lambda there: there.post("/channels", body, list[intake.Outcome]),
    )
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
    channel: Annotated[
        str,
        typer.Argument(help="Its id (UC…), @handle or URL.", autocompletion=completing.channels),
    ],
    as_json: AsJson = False,
) -> None:
    """Show what is known of a channel: facts, counts, states, and how its crawl stands."""
    from services.crawl import watchlist

    facts = asked(
        lambda context: watchlist.facts(context, channel),
        lambda there: there.get(f"/channels/{remote.channel(channel)}"),
    )
    emit(facts, _print_facts, as_json=as_json)


def _print_facts(facts: dict[str, Any]) -> None:
    plain = {k: v for k, v in facts.items() if k not in ("videos", "work")}
    rows = [(key.replace("_", " "), _cell(key, value)) for key, value in plain.items()]
    print_pairs(rows)
    typer.echo()
    print_table(
        ["videos", "format", "count"],
        [[v["state"], v["format"], f"{v['n']:,}"] for v in facts["videos"]],
        right=["count"],
    )
    typer.echo()
    print_table(
        ["work", "state", "reason", "items", "last done (UTC)", "next (UTC)"],
        [
            [
                w["kind"],
                w["state"],
                w["reason"],
                f"{w['n']:,}",
                _at(w["last_done_at"]),
                _at(w["next_at"]),
            ]
            for w in facts["work"]
        ],
        right=["items"],
    )


@tag_app.command("add")
def tag_add(channel: Watched, tags: Tags, as_json: AsJson = False) -> None:
    """Tag channels."""
    _tag(channel, tags, remove=False, as_json=as_json)


@tag_app.command("remove")
def tag_remove(channel: Watched, tags: Tags, as_json: AsJson = False) -> None:
    """Take tags off channels."""
    _tag(channel, tags, remove=True, as_json=as_json)


@app.command()
def pause(channel: Watched, as_json: AsJson = False) -> None:
    """Collect nothing of channels until they are resumed."""
    _set_paused(channel, paused=True, as_json=as_json)


@app.command()
def resume(channel: Watched, as_json: AsJson = False) -> None:
    """Go on with channels that were paused."""
    _set_paused(channel, paused=False, as_json=as_json)


@app.command()
def forget(
    channel: Annotated[
        str,
        typer.Argument(help="Its id (UC…), @handle or URL.", autocompletion=completing.channels),
    ],
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Delete a channel with all that was collected of it."""
    from functools import partial

    from services.crawl import watchlist
    from services.errors import UsageError

    def forgotten(forget: "Callable[..., Forgotten]") -> "Forgotten":
        going: Forgotten = forget(channel, dry_run=True)
        if not as_json:
            _print_going(going)
        if not dry_run:
            if not yes:
                if not typer.get_text_stream("stdin").isatty():
                    raise UsageError("nothing was deleted: nobody can be asked", hint="say --yes")
                typer.confirm("Delete all of that?", abort=True)
            forget(going.channel_id, dry_run=False)
        return going

    going = asked(
        lambda context: forgotten(partial(watchlist.forget, context)),
        lambda there: forgotten(
            lambda named, **how: there.delete(
                f"/channels/{remote.channel(named)}", watchlist.Forgotten, **how
            )
        ),
    )
    if as_json:
        print_json({**going.as_json(), "deleted": not dry_run})
    else:
        typer.echo("nothing was deleted" if dry_run else "deleted")


def _print_going(going: "Forgotten") -> None:
    typer.echo(
        f"{going.title or going.channel_id} ({going.channel_id}): {going.videos:,} videos, "
        f"{going.video_snapshots:,} + {going.channel_snapshots:,} snapshots, "
        f"{going.scores:,} scores, {going.thumbnails:,} thumbnails of nobody else, "
        f"{going.audio_clips:,} clips of audio"
    )
    if going.datasets:
        typer.echo(f"  {going.datasets} frozen datasets keep their own copies of what they took")


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


def _tag(channel: list[str], tags: list[str], *, remove: bool, as_json: bool) -> None:
    from services.crawl import watchlist
    from services.formatting import counted

    body = {"remove" if remove else "add": tags}
    n = asked(
        lambda context: watchlist.tag(context, channel, tags, remove=remove),
        lambda there: sum(
            there.post(f"/channels/{remote.channel(each)}/tags", body)["changed"]
            for each in channel
        ),
    )
    line = f"{counted(n, 'tag')} {'removed' if remove else 'added'}"
    say({"changed": n}, line, as_json=as_json)


def set_paused(channel: list[str], *, paused: bool) -> list[str]:
    """Pause or resume channels, here or where commands are for; return those that were not."""
    from services.crawl import watchlist

    verb = "pause" if paused else "resume"
    changed: list[str] = asked(
        lambda context: watchlist.set_paused(context, channel, paused=paused),
        lambda there: [
            channel_id
            for each in channel
            for channel_id in there.post(f"/channels/{remote.channel(each)}/{verb}")["changed"]
        ],
    )
    return changed


def _set_paused(channel: list[str], *, paused: bool, as_json: bool) -> None:
    from services.formatting import counted

    changed = set_paused(channel, paused=paused)
    line = f"{counted(len(changed), 'channel')} {'paused' if paused else 'resumed'}"
    say({"changed": changed}, line, as_json=as_json)


def _at(value: Any) -> str:
    return "" if value is None else minute(str(value))


def _cell(key: str, value: Any) -> str:
    if key.endswith("_at"):
        return _at(value)
    if key == "subscriber_count" and value is None:
        return "hidden or not known"
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value or "")
