"""``tubegrader``: the front door for people and scripts.

Start-up is a budget: nothing heavier than Typer is imported before a command runs.
"""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from services.cli import (
    audio,
    channels,
    completeness,
    control,
    data,
    datasets,
    demo,
    drift,
    emulator,
    grade,
    growth,
    jobs,
    language,
    learning,
    models,
    policy,
    quota,
    schedules,
    stack,
    swaps,
    transfer,
)
from services.cli.options import VideosCommand

app = typer.Typer(
    name="tubegrader",
    help="What a thumbnail is worth, measured: crawl channels, train, score, compare.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"tubegrader {version('tubegrader')}")
        raise typer.Exit


@app.callback()
def options(
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
    if home is not None:
        os.environ["TUBEGRADER_HOME"] = str(home)


WATCH, LEARN, RUN, TRY = "Collect", "Learn and compare", "Run the stack", "Try it offline"
app.command(rich_help_panel=WATCH)(data.crawl)
app.add_typer(channels.app, name="channels", rich_help_panel=WATCH)
app.command(rich_help_panel=WATCH)(completeness.completeness)
app.command(rich_help_panel=WATCH)(quota.plan)
app.command(rich_help_panel=WATCH)(quota.quota)
app.command("import", rich_help_panel=WATCH)(transfer.import_data)
app.command("export", rich_help_panel=WATCH)(transfer.export_data)
app.command(rich_help_panel=WATCH)(policy.purge)
app.add_typer(policy.approvals, name="approvals", rich_help_panel=WATCH)
app.add_typer(audio.app, name="audio", rich_help_panel=WATCH)
app.command(cls=VideosCommand, rich_help_panel=WATCH)(audio.label)
app.command(rich_help_panel=LEARN)(learning.train)
app.command(rich_help_panel=LEARN)(learning.score)
app.command(rich_help_panel=LEARN)(learning.compare)
app.command(rich_help_panel=LEARN)(learning.retrain)
app.command(rich_help_panel=LEARN)(drift.drift)
app.command(rich_help_panel=LEARN)(learning.report)
app.command(rich_help_panel=LEARN)(grade.grade)
app.command(rich_help_panel=LEARN)(growth.growth)
app.command(rich_help_panel=LEARN)(swaps.swaps)
app.command(rich_help_panel=LEARN, context_settings=language.ANY_NAME)(language.language)
app.add_typer(datasets.app, name="datasets", rich_help_panel=LEARN)
app.add_typer(models.app, name="models", rich_help_panel=LEARN)
app.command(rich_help_panel=LEARN)(data.sql)
app.command(rich_help_panel=RUN)(stack.up)
app.command(rich_help_panel=RUN)(stack.down)
app.command(rich_help_panel=RUN)(stack.status)
app.command(rich_help_panel=RUN)(stack.doctor)
app.command(rich_help_panel=RUN)(data.migrate)
app.add_typer(jobs.app, name="jobs", rich_help_panel=RUN)
app.add_typer(schedules.app, name="schedule", rich_help_panel=RUN)
app.command(rich_help_panel=RUN)(control.pause)
app.command(rich_help_panel=RUN)(control.resume)
app.command("blockers", rich_help_panel=RUN)(control.blockers)
app.command("holdups", hidden=True)(control.blockers)  # the name it had before
app.add_typer(control.breakers, name="breakers", rich_help_panel=RUN)
app.add_typer(control.notify, name="notify", rich_help_panel=RUN)
app.command(rich_help_panel=TRY)(demo.demo)
app.command(rich_help_panel=TRY)(emulator.emulator)


def main() -> None:
    """Run the command line; expected failures become one line, a hint and an exit code."""
    # The import of torch, Celery and the like is for commands; so is telling their errors apart.
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        from services.errors import TubeGraderError, UsageError
        from services.settings import refusal

        error = refusal(error) or error
        if not isinstance(error, TubeGraderError):
            raise
        typer.secho(f"error: {error}", fg=typer.colors.RED, err=True)
        if error.hint:
            typer.echo(f"  {error.hint}", err=True)
        sys.exit(2 if isinstance(error, UsageError) else 1)


if __name__ == "__main__":
    main()
