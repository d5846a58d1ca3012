"""``tubegrader thumbnails grade``: what the models say of pictures before one is used."""

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli import completing, remote
from services.cli.common import emit, interval, open_context
from services.cli.options import AsJson
from services.cli.tables import print_table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ml.training.callbacks import Progress
    from services.learning.grading import Grades, Grading


def grade(
    images: Annotated[
        list[Path], typer.Argument(help="Pictures: JPEG, PNG or WebP.", metavar="IMAGE...")
    ],
    channel: Annotated[
        str | None,
        typer.Option(
            help="Whose video it is for: an id (UC…) or @handle that was crawled.",
            autocompletion=completing.channels,
        ),
    ] = None,
    subscribers: Annotated[
        int | None,
        typer.Option(min=0, help="The channel's size, if it is not crawled or hides it."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Also write one page with all of it.", metavar="FILE")
    ] = None,
    heatmap: Annotated[
        Path | None,
        typer.Option(help="Also write where the answer comes from, as a PNG.", metavar="FILE"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Grade thumbnails against the channel's own and those of like-sized channels.

    Several pictures are compared with each other. Files that cannot be graded are named, and the
    others graded, with exit code 1.
    """
    from services.errors import UsageError
    from services.learning.grading import grade as grade_pictures
    from services.learning.grading.output import write_heatmap, write_page

    if heatmap is not None and len(images) != 1:
        raise UsageError(
            "--heatmap draws one picture", hint="give one picture, or take --html for several"
        )
    there = remote.home()
    if there is not None:
        if html is not None or heatmap is not None:
            remote.refuse("writing a page or a heat map")
        _grade_there(there, images, channel, subscribers, as_json=as_json)
        return
    with open_context() as context, _shown(quiet=as_json) as (progress, first):
        grading = grade_pictures(
            context,
            images,
            channel=channel,
            subscribers=subscribers,
            progress=progress,
            first=first,
        )
    if heatmap is not None:
        write_heatmap(grading.graded[0], heatmap.absolute())
    if html is not None:
        write_page(grading, html.absolute())
    emit(grading, print_rest, as_json=as_json)
    for each in grading.unusable:
        typer.secho(each.problem, fg="red", err=True)
    if grading.unusable:
        raise typer.Exit(1)


def _grade_there(
    there: remote.Remote,
    images: list[Path],
    channel: str | None,
    subscribers: int | None,
    *,
    as_json: bool,
) -> None:
    from services.learning.grading import formatting

    files = [("pictures", image.name, image.read_bytes()) for image in images]
    found = there.upload("/grades", files, {"channel": channel, "subscribers": subscribers})

    def show(grading: dict[str, Any]) -> None:
        print_table(
            ["picture", "against own videos", "against like-sized", "views, median thumbnail = 1"],
            [
                [
                    each["name"],
                    *(_interval(each["percentiles"].get(r)) for r in ("own", "likeSized")),
                    _interval(each["over_median"]),
                ]
                for each in grading["pictures"]
            ],
        )
        typer.echo(formatting.TEST_IT)

    emit(found, show, as_json=as_json)
    for each in found["unusable"]:
        typer.secho(f"{each['name']}: {each['problem']}", fg="red", err=True)
    if found["unusable"]:
        raise typer.Exit(1)


def _interval(value: Any) -> str:
    return "" if value is None else interval(value) if isinstance(value, dict) else f"{value:.2f}"


def print_grades(grading: "Grades") -> None:
    """Print how each picture does, at once, whoever reads it."""
    from services.learning.grading import formatting

    typer.secho(formatting.headline(grading), bold=True)
    for line in formatting.cautions(grading):
        typer.echo(line)
    typer.echo()
    print_table(
        ["picture", "against own videos", "against like-sized", "views, median thumbnail = 1"],
        [
            [
                each.candidate.name,
                formatting.grade_cell(each.percentiles["own"]),
                formatting.grade_cell(each.percentiles["likeSized"]),
                formatting.factor_cell(each.over_median),
            ]
            for each in grading.graded
        ],
    )
    if grading.pairs:
        typer.echo()
        print_table(
            ["of two pictures", "views of the first, the second = 1", ""],
            [
                [
                    f"{p.first} / {p.second}",
                    formatting.factor_cell(p.ratio),
                    formatting.pair_verdict(p),
                ]
                for p in grading.pairs
            ],
        )
    sys.stdout.flush()


def print_rest(grading: "Grading") -> None:
    """Print what was measured and tried on each picture, and what to do next."""
    from services.learning.grading import formatting

    for each in grading.graded:
        typer.secho(f"\n{each.candidate.name}", bold=True)
        typer.echo(formatting.edits_line(grading, each))
        for tried in formatting.shown_edits(each.edits):
            typer.echo(f"  {tried.title}: {formatting.change(tried.change)}")
        print_table(
            ["measured", "value", "percentile", "among comparable videos associated with"],
            [
                [
                    m.feature.title,
                    formatting.value_cell(m),
                    formatting.place_cell(m),
                    formatting.association(m),
                ]
                for m in each.measured
            ],
            right=["value", "percentile"],
        )
    typer.echo(f"\n{formatting.grad_cam(grading)}" if formatting.grad_cam(grading) else "")
    typer.echo(formatting.TEST_IT)


@contextmanager
def _shown(*, quiet: bool) -> "Iterator[tuple[Progress, Callable[[Grades], None]]]":
    """Show how far it is, and between that the grades as soon as there are any."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    columns: list[Any] = [
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
    ]
    bar = Progress(*columns, console=Console(stderr=True), disable=quiet, transient=True)
    with bar:
        task = bar.add_task("loading the model", total=None)

        def show(done: int, total: int, what: str) -> None:
            bar.update(task, description=what, completed=done, total=total or None)

        def first(grades: "Grades") -> None:
            if not quiet:
                # A bar that is drawn takes what is printed to the other output.
                bar.stop()
                print_grades(grades)
                bar.start()

        yield show, first
