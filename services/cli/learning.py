"""``tubegrader train``, ``score``, ``compare`` and ``report``."""

from pathlib import Path
from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Wait = Annotated[bool, typer.Option(help="Wait until it is done.")]


def train(
    threshold: Annotated[
        float, typer.Option(min=0.001, help="Views per day that split over from under.")
    ] = 100.0,
    label: Annotated[
        str,
        typer.Option(
            help="Which views: day7, day30, week, lifetime; auto takes what enough videos have."
        ),
    ] = "auto",
    seed: Annotated[int, typer.Option(help="Decides folds, first weights and order.")] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Train although nothing new was collected.")
    ] = False,
    wait: Wait = True,
    as_json: AsJson = False,
) -> None:
    """Freeze a dataset of what was collected and train every rung of the ladder on it."""
    from services import jobs
    from services.cli.common import open_context, print_json, wait_for

    with open_context(workers=wait) as context:
        params = {"threshold": threshold, "label": label, "seed": seed, "force": force}
        job_id = jobs.submit(context, "train", params)
        if not wait:
            typer.echo(str(job_id))
            return
        job = wait_for(context, job_id, "training", quiet=as_json)
    if as_json:
        print_json(job.as_json())
        return
    typer.echo(describe_training(job.result or {}))


def score(wait: Wait = True, as_json: AsJson = False) -> None:
    """Score every video that has no score of the newest models yet."""
    from services import jobs
    from services.cli.common import open_context, print_json, wait_for

    with open_context(workers=wait) as context:
        job_id = jobs.submit(context, "score", {})
        if not wait:
            typer.echo(str(job_id))
            return
        job = wait_for(context, job_id, "scoring", quiet=as_json)
    if as_json:
        print_json(job.as_json())
        return
    typer.echo(describe_scoring(job.result or {}))


def compare(
    as_json: AsJson = False,
) -> None:
    """Say what the thumbnail tells beyond the channel's subscribers, with intervals.

    Compares the newest models if that was not done yet.
    """
    from services import jobs
    from services.cli.common import open_context, print_json, wait_for
    from services.learning.results import needs_comparison, newest_comparison

    with open_context() as context:
        if needs_comparison(context):
            with open_context(workers=True):
                job_id = jobs.submit(context, "compare", {})
                wait_for(context, job_id, "comparing", quiet=as_json)
        comparison = newest_comparison(context)
    if as_json:
        print_json(comparison)
        return
    print_comparison(comparison)


def report(
    output: Annotated[Path, typer.Option("-o", "--output", help="The page to write.")] = Path(
        "tubegrader-report.html"
    ),
) -> None:
    """Write one self-contained HTML page with pictures of the newest comparison."""
    from services.cli.common import open_context
    from services.learning.report import write_report

    with open_context() as context:
        typer.echo(str(write_report(context, output.absolute())))


def describe_training(result: dict[str, Any]) -> str:
    """Return a line on what a training job did."""
    versions = ", ".join(f"{rung} v{version}" for rung, version in result["versions"].items())
    did = "trained" if result["trained"] else "nothing new to learn from; there are already"
    excluded = sum(result["excluded"].values())
    left_out = f" ({excluded} videos left out)" if excluded else ""
    return f"{did} {versions} on dataset {result['dataset_id'][:12]}{left_out}"


def describe_scoring(result: dict[str, Any]) -> str:
    """Return a line on what a scoring job did."""
    unreadable = f", {result['unreadable']} pictures unreadable" if result["unreadable"] else ""
    return f"scored {result['scored']} videos with {len(result['models'])} models{unreadable}"


def print_comparison(comparison: dict[str, Any]) -> None:
    """Print the ladder as a table, and the sentence."""
    from services.cli.common import print_table

    metrics = ("auc", "r2", "spearman")
    print_table(
        ["rung", "AUC", "R²", "Spearman"],
        [
            [rung, *(_interval(values[metric]) for metric in metrics)]
            for rung, values in comparison["rungs"].items()
        ],
    )
    typer.echo(
        f"{comparison['n_videos']} videos of {comparison['n_channels']} channels, each judged by "
        f"models that never saw its channel; "
        f"{comparison['base_rate']:.0%} reach {comparison['threshold']:g} views a day. "
        "[ ] is the 95 % interval by channel."
    )
    typer.secho(f"\n{comparison['sentence']}", bold=True)


def _interval(value: dict[str, float | None]) -> str:
    if value["value"] is None:
        return "–"
    return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
