"""``tubegrader``: the front door for people and scripts.

Start-up is a budget: nothing heavier than Typer is imported before a command runs.
"""

import errno
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli import (
    audio,
    backups,
    channels,
    completeness,
    control,
    data,
    datasets,
    demo,
    digest,
    drift,
    emulator,
    grade,
    growth,
    jobs,
    learning,
    models,
    policy,
    quota,
    remote,
    schedules,
    stack,
    swaps,
    tokens,
    transfer,
    videos,
)
from services.cli.words import COLLECT, LEARN, RUN, TRY, Words

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

if TYPE_CHECKING:
    from services.errors import TubeGraderError

app = typer.Typer(
    name="tubegrader",
    help="What a thumbnail is worth, measured: crawl channels, train, score, compare.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    cls=Words,
)


def _show_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"tubegrader {version('tubegrader')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(help="Folder of the embedded stack's state (TUBEGRADER_HOME).", metavar="DIR"),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="And exit.")
    ] = False,
) -> None:
    """Take the options that go before any command."""
    del version
    context.color = _colour()
    if home is not None:
        os.environ["TUBEGRADER_HOME"] = str(home)


def _noun(name: str, panel: str, group: typer.Typer | None = None, about: str = "") -> typer.Typer:
    """Register what commands are about, under the heading where a user would look for it."""
    group = group or typer.Typer(help=about)
    app.add_typer(group, name=name, rich_help_panel=panel, cls=Words, no_args_is_help=True)
    return group


noun = _noun("channels", COLLECT, channels.app)
noun.command()(data.crawl)
noun.command()(completeness.completeness)
_noun("videos", COLLECT, videos.app)
noun = _noun("quota", COLLECT, about="What the quota goes for, and what it will.")
noun.command("show")(quota.quota)
noun.command()(quota.plan)
_noun("audio", COLLECT, audio.app)
_noun("approvals", COLLECT, policy.approvals)
noun = _noun("data", COLLECT, about="Take data in and out, and remove what may not be kept.")
noun.command("import")(transfer.import_data)
noun.command("export")(transfer.export_data)
noun.command()(policy.purge)
noun.command()(data.catalog)
noun = _noun("models", LEARN, models.app)
noun.command()(learning.train)
noun.command()(learning.score)
noun.command()(learning.compare)
noun.command()(learning.retrain)
noun.command()(drift.drift)
noun.command()(learning.report)
noun = _noun("thumbnails", LEARN, about="Grade pictures, and see what pictures did.")
noun.command()(grade.grade)
noun.command()(growth.growth)
noun.command()(swaps.swaps)
_noun("datasets", LEARN, datasets.app)
app.command(rich_help_panel=LEARN)(digest.digest)
app.command(rich_help_panel=LEARN)(data.sql)
app.command(rich_help_panel=RUN)(stack.up)
app.command("open", rich_help_panel=RUN)(stack.open_page)
app.command(rich_help_panel=RUN)(stack.down)
app.command(rich_help_panel=RUN)(stack.status)
app.command(rich_help_panel=RUN)(stack.doctor)
app.command(rich_help_panel=RUN)(data.migrate)
_noun("backups", RUN, backups.app)
_noun("jobs", RUN, jobs.app)
_noun("schedules", RUN, schedules.app)
noun = _noun("work", RUN, about="Hold work back, let it go on, and count what there is.")
noun.command()(control.pause)
noun.command()(control.resume)
noun.command()(control.blockers)
noun.command()(jobs.items)
_noun("breakers", RUN, control.breakers)
_noun("tokens", RUN, tokens.app)
_noun("notifications", RUN, control.notifications)
app.command(rich_help_panel=TRY)(demo.demo)
app.command(rich_help_panel=TRY)(emulator.emulator)


def main() -> None:
    """Run the command line; expected failures become one line, a hint and an exit code."""
    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        # A name that the stream's encoding lacks is written as an escape, and costs no command.
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
    # The import of torch, Celery and the like is for commands; so is telling their errors apart.
    try:
        app(prog_name="tubegrader")
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        from services.errors import TubeGraderError, UsageError
        from services.settings import refusal

        error = refusal(error) or _of_what_was_named(error) or remote.misread(error) or error
        if not isinstance(error, TubeGraderError):
            raise
        typer.secho(f"error: {error}", fg=typer.colors.RED, err=True, color=_colour())
        if error.hint:
            typer.echo(f"  {error.hint}", err=True)
        sys.exit(2 if isinstance(error, UsageError) else 1)


def _colour() -> bool | None:
    """Return False where nobody wants colours; else they go to terminals only, which is None."""
    return False if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" else None


def _open_what_is_closed() -> None:
    """Have all three streams, as who starts us may have closed some (``>&-``).

    Otherwise the next file or connection that is opened is what children take for theirs.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            opened = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - to the end
            setattr(sys, name, opened)


def _of_what_was_named(error: Exception) -> "TubeGraderError | None":
    """Return one line about a file or text of the user's that the system itself refuses."""
    from services.errors import PermanentError, UsageError

    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        name = os.fsdecode(error.filename) if not isinstance(error.filename, int) else "a stream"
        return PermanentError(f"{name} cannot be used: {error.strerror}", reason="fileUnusable")
    if isinstance(error, OSError) and error.errno in _FULL:
        # What is left of the output would be tried once more, and complained of, at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return PermanentError(f"the output cannot be written: {error.strerror}", reason="diskFull")
    typed = "".join(sys.argv)
    if isinstance(error, UnicodeEncodeError) and not typed.isascii():
        return UsageError(
            f"what was typed holds bytes that are no text: {ascii(error.object)[:80]}",
            hint="write it in UTF-8",
            reason="notText",
        )
    from sqlalchemy.exc import DataError

    if isinstance(error, DataError):
        problem = next(iter(str(error.orig).splitlines()), "")
        return UsageError(f"the database refuses a value: {problem}", reason="badValue")
    return None


if __name__ == "__main__":
    main()
