"""``tubegrader audio`` and ``label``: of whom speech is collected, and what it is said to be."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli import completing, labels_there, language
from services.cli.common import asked, confirm, emit, emit_rows, open_context, print_json
from services.cli.options import AsJson, DryRun, VideosCommand, Yes
from services.cli.tables import print_table

if TYPE_CHECKING:
    from services.media.audio.labels import NamedLabel

app = typer.Typer(
    help="Of which channels speech is collected, and its language.", no_args_is_help=True
)

Channels = Annotated[
    list[str] | None,
    typer.Argument(
        help="Watched channels: ids (UC…), @handles or URLs.",
        metavar="CHANNEL...",
        autocompletion=completing.channels,
    ),
]
Tags = Annotated[
    list[str] | None,
    typer.Option(
        "--tag",
        help="All channels with this tag. May be given again.",
        metavar="TAG",
        autocompletion=completing.tags,
    ),
]
app.command("classify", context_settings=language.ANY_NAME)(language.language)


@app.command()
def add(
    channel: Channels = None,
    tags: Tags = None,
    seconds: Annotated[int, typer.Option(min=10, help="Of speech, of each video.")] = 120,
    shortest: Annotated[int, typer.Option(min=1, help="Leave out shorter videos (s).")] = 30,
    longest: Annotated[int, typer.Option(min=1, help="Leave out longer videos (s).")] = 10_800,
    videos: Annotated[int, typer.Option(min=1, help="So many of the newest that fit.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Collect speech of channels from now on. Adding the same again changes nothing."""
    from services.formatting import counted
    from services.media.audio import selection
    from services.policy.permission import not_allowed

    policy = selection.AudioPolicy(seconds, shortest, longest, videos)
    with open_context() as context:
        done = selection.add(context, channel or [], tags=tags or [], policy=policy)
    if as_json:
        print_json(done.as_json())
    else:
        outcomes = list(done.channels.values())
        counts = [f"{outcomes.count(o)} {o}" for o in dict.fromkeys(outcomes)]
        typer.echo(f"{', '.join(counts)}; audio of {counted(done.due, 'video')} is due")
    if done.not_allowed:
        error = not_allowed(len(done.not_allowed))
        typer.echo(f"it waits: {error}\n  {error.hint}", err=True)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the channels of which speech is collected."""
    from services.media.audio import selection

    with open_context() as context:
        found = selection.listed(context)
    emit_rows(
        found,
        {
            "channel": lambda s: s["channel_id"],
            "title": lambda s: s["title"],
            "state": lambda s: "on" if s["enabled"] else "off",
            "allowed by": lambda s: s["allowed_by"] or "nothing",
            "seconds": lambda s: s["seconds_wanted"],
            "lengths (s)": lambda s: f"{s['shortest_s']}–{s['longest_s']}",
            "videos": lambda s: s["newest_videos"],
            "waiting": lambda s: s["waiting"],
            "failed": lambda s: s["failed"],
            "clips": lambda s: s["clips"],
            "segments": lambda s: s["segments"],
            "minutes": lambda s: f"{s['kept_s'] / 60:.1f}",
        },
        as_json=as_json,
        right=["seconds", "videos", "waiting", "failed", "clips", "segments", "minutes"],
    )


@app.command()
def remove(
    channel: Channels = None,
    tags: Tags = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Collect speech of channels no longer. What was collected stays until its retention ends."""
    from services.formatting import counted
    from services.media.audio import selection

    with open_context() as context:
        ended = selection.remove(context, channel or [], tags=tags or [], dry_run=True)
        if not dry_run:
            confirm(f"Listen to {counted(len(ended), 'channel')} no longer?", yes=yes)
            ended = selection.remove(context, channel or [], tags=tags or [], dry_run=False)
    if as_json:
        print_json({"removed": ended, "dry_run": dry_run})
    elif dry_run:
        typer.echo(f"{counted(len(ended), 'channel')} would be removed")
    else:
        typer.echo(f"{counted(len(ended), 'channel')} removed")


@app.command(cls=VideosCommand)
def refetch(
    video: Annotated[
        list[str], typer.Argument(help="Videos: ids or addresses.", metavar="VIDEO...")
    ],
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Fetch the audio of videos again, also where it came well. The workers do it.

    The same audio changes nothing; other audio opens a new version, which the next scoring scores.
    """
    from services.formatting import counted
    from services.media.audio import selection
    from services.policy.permission import not_allowed

    with open_context() as context:
        done = selection.refetch(context, video, dry_run=dry_run)
    if as_json:
        print_json(done.as_json() | {"dry_run": dry_run})
    else:
        would = "would be" if dry_run else "will be"
        typer.echo(f"{counted(len(done.due), 'video')} {would} fetched again")
        if done.under_way:
            typer.echo(f"{counted(len(done.under_way), 'video')} due or being fetched already")
    if done.not_allowed:
        error = not_allowed(len(done.not_allowed))
        typer.echo(f"it waits: {error}\n  {error.hint}", err=True)


@app.command()
def status(as_json: AsJson = False) -> None:
    """Tell what allows audio to be taken, what waits or failed and why, and what is held."""
    from services.media.audio import selection

    with open_context() as context:
        found = selection.status(context)
    emit(found, _print_status, as_json=as_json)


def _print_status(found: dict[str, Any]) -> None:
    from services.formatting import counted

    allowed = ["the setting TUBEGRADER_AUDIO_ALLOWED"] if found["allowed_by_setting"] else []
    typer.echo(f"allowed by: {', '.join(allowed + found['approvals']) or 'nothing'}")
    held = found["held"]
    typer.echo(
        f"held: {counted(held['clips'], 'clip')}, {counted(held['segments'], 'segment')}, "
        f"{held['kept_s'] / 3600:.1f} hours of speech, {held['byte_size'] / 1e6:.1f} MB of "
        f"originals; {counted(held['purged'], 'clip')} purged"
    )
    print_table(
        ["state", "reason", "videos"],
        [[w["state"], w["reason"], f"{w['count']:,}"] for w in found["work"]],
        right=["videos"],
    )


@app.command(cls=VideosCommand)
def label(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            help="Videos (ids or addresses) and, last, the language: en, zh, …; none withdraws.",
            metavar="VIDEO... [LANGUAGE]",
        ),
    ] = None,
    from_file: Annotated[
        Path | None,
        typer.Option(help="CSV with columns video_id,language; - is stdin.", metavar="FILE"),
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="Who says so; your user name by default.", metavar="NAME")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Show all that is claimed.")] = False,
    conflicts: Annotated[
        bool, typer.Option("--conflicts", help="List videos whose claims contradict.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """See which language videos are said to speak, and correct it by hand."""
    from services.errors import UsageError
    from services.formatting import counted
    from services.media.audio import labels

    if conflicts + show + (from_file is not None) > 1 or (conflicts and words):
        raise UsageError("give videos, or --from-file, or --show VIDEO…, or --conflicts")
    if conflicts or show:
        found: list[dict[str, Any]] = asked(
            lambda context: (
                labels.conflicts(context) if conflicts else labels.show(context, words or [])
            ),
            labels_there.conflicts
            if conflicts
            else lambda home: labels_there.show(home, words or []),
        )
        emit(found, _print_conflicts if conflicts else _print_claims, as_json=as_json)
        return
    named = _named(words or [], from_file)
    by = by or _user()
    done = asked(
        lambda context: labels.label(context, named, by=by),
        lambda home: labels_there.label(home, named, by=by),
    )
    if as_json:
        print_json({"named": done.named, "changed": done.changed})
    else:
        typer.echo(f"{len(done.changed)} of {counted(done.named, 'label')} changed")


def _named(words: list[str], file: Path | None) -> "list[NamedLabel]":
    from services.errors import UsageError
    from services.media.audio.labels import LARGEST_FILE, NamedLabel, read_csv

    if file is None:
        if len(words) < 2:  # noqa: PLR2004
            raise UsageError(
                "name videos and their language",
                hint="tubegrader audio label VIDEO… en; or --show VIDEO…",
            )
        return [NamedLabel(video, words[-1]) for video in words[:-1]]
    if words:
        raise UsageError("give videos or --from-file, not both")
    if str(file) == "-":
        return read_csv(typer.get_binary_stream("stdin").read(LARGEST_FILE + 1), "stdin")
    try:
        with file.open("rb") as opened:
            return read_csv(opened.read(LARGEST_FILE + 1), str(file))
    except OSError as error:
        raise UsageError(f"cannot read labels from {file}: {error.strerror}") from error


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's number without a name
        import os

        return f"uid {os.getuid()}"


def _print_claims(found: list[dict[str, Any]]) -> None:

    print_table(
        ["video", "language", "source", "by", "at (UTC)", ""],
        [
            [
                video["video_id"],
                claim["language"],
                claim["source"],
                claim["claimed_by"],
                f"{claim['claimed_at']:%Y-%m-%d %H:%M}" if claim["claimed_at"] else "",
                "in force" if claim["in_force"] else "",
            ]
            for video in found
            for claim in video["claims"]
        ],
    )
    ended = [(v["video_id"], h) for v in found for h in v["by_hand"] if h["ended_at"] is not None]
    for video_id, entry in ended:
        typer.echo(
            f"{video_id} was {entry['language']} by {entry['labelled_by']} from "
            f"{entry['labelled_at']:%Y-%m-%d %H:%M} to {entry['ended_at']:%Y-%m-%d %H:%M}"
        )
    for video in found:
        if not video["claims"]:
            typer.echo(f"{video['video_id']}: nobody says")


def _print_conflicts(found: list[dict[str, Any]]) -> None:

    print_table(
        ["video", "channel", "title", "in force", "by hand", "metadata", "channel's"],
        [
            [
                row["video_id"],
                row["channel_title"],
                row["title"],
                f"{row['language']} ({row['source']})",
                *(row["claims"].get(source) for source in ("hand", "metadata", "channel")),
            ]
            for row in found
        ],
    )
