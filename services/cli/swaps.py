"""``tubegrader thumbnails swaps``: what swapped thumbnails did to views."""

from typing import TYPE_CHECKING

import typer

from services.cli.common import emit, open_context
from services.cli.options import AsJson
from services.cli.tables import print_table

if TYPE_CHECKING:
    from ml.evaluation.bootstrap import Interval
    from services.learning.thumbnails.swaps import SwapsFound


def swaps(
    as_json: AsJson = False,
) -> None:
    """Hold videos whose thumbnail was swapped against videos like them that kept theirs."""
    from services.learning.thumbnails.swaps import study_swaps

    with open_context() as context:
        found = study_swaps(context)
    emit(found, _print, as_json=as_json)


def _print(found: "SwapsFound") -> None:
    typer.echo(found.sentence)
    _print_estimates(found)
    if found.n_changes == 0:
        typer.echo("  no swap was seen yet: thumbnails are asked for again while crawling goes on")
    for reason, n in found.left_out.items():
        typer.echo(f"  {n:,} left out: {reason}")


def _print_estimates(found: "SwapsFound") -> None:
    """Print one line an estimate, in percent of views."""
    from services.learning.thumbnails.swaps import percent_of

    study, by_score = found.found, found.found.by_score
    if study.effect is None:
        return
    rows: list[tuple[str, int | str, Interval]] = [("all swaps", study.n_swaps, study.effect)]
    if study.placebo is not None:
        rows.append(("the week before (nothing was swapped yet)", "", study.placebo))
    if by_score is not None:
        rows.append(("to a picture with a higher score", by_score.n_rose, by_score.rose))
        rows.append(("to one with a lower score", by_score.n_fell, by_score.fell))
    print_table(
        ["", "swaps", "views", "low", "high"],
        [[name, n, *(percent_of(v) for v in vars(each).values())] for name, n, each in rows],
        right=["swaps", "views", "low", "high"],
    )
    if by_score is not None:
        slope = by_score.slope
        typer.echo(
            f"of what the model predicted, {slope.value:.2f} [{slope.low:.2f}, {slope.high:.2f}]"
            " came about (1: all of it)"
        )
