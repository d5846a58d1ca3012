"""``tubegrader thumbnails growth``: two labels of the same videos."""

from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.common import emit, open_context
from services.cli.options import MOST_VIEWS, AsJson
from services.cli.tables import print_table

if TYPE_CHECKING:
    from ml.evaluation.bootstrap import Interval
    from services.learning.thumbnails.growth import Growth, TooLittle


def growth(
    threshold: Annotated[
        float, typer.Option(help="Views a day.", min=0.001, max=MOST_VIEWS)
    ] = 100.0,
    as_json: AsJson = False,
) -> None:
    """Compare views of one true week with the lifetime average, and how subscribers tell them."""
    from services.learning.thumbnails.growth import study_growth

    with open_context() as context:
        found = study_growth(context, threshold=threshold)
    emit(found, lambda study: _print(study, threshold), as_json=as_json)


def _print(found: "Growth | TooLittle", threshold: float) -> None:
    from services.learning.thumbnails.growth import Growth

    typer.echo(found.sentence)
    if not isinstance(found, Growth):
        typer.echo("  they come by themselves while `tubegrader up` goes on counting")
        return
    print_table(
        [
            "views a day",
            f"reach {threshold:g}",
            "median",
            "AUC by subscribers",
            "R² by subscribers",
        ],
        [
            [name, f"{side.base_rate:.1%}", f"{side.median:.1f}", _with(side.auc), _with(side.r2)]
            for name, side in (("of a week", found.week), ("over their life", found.lifetime))
        ]
        + [["difference", "", "", _with(found.delta_auc), _with(found.delta_r2)]],
        right=["median"],
    )
    typer.echo(
        f"{found.fell:,} over by the average are under in the week, {found.rose:,} the other way"
        f" round; correlation {found.correlation:.2f}, of ranks {found.spearman:.2f}"
    )


def _with(interval: "Interval") -> str:
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
