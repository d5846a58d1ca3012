"""``tubegrader demo``: the whole job once, against an offline YouTube."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from services.context import Context
    from services.demo import World


def demo(
    home: Annotated[Path, typer.Option(help="Where the demo keeps everything.")] = Path(".demo"),
    catalog: Annotated[
        Path | None,
        typer.Option(help="A folder with videos.csv and thumbnails/ instead of invented videos."),
    ] = None,
    channels: Annotated[int, typer.Option(min=1, help="Invented channels.")] = 60,
    videos: Annotated[int, typer.Option(min=1, help="Invented videos.")] = 1_500,
    effect: Annotated[
        float | None,
        typer.Option(help="What an invented thumbnail adds to log10(views/day); 0 plants none."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Which invented world.")] = 0,
) -> None:
    """Crawl, train, score and compare against an offline YouTube, then stop.

    What it collected stays in the folder: `tubegrader --home .demo sql` asks it afterwards.
    """
    import os

    from services.cli.common import open_context
    from services.demo import World, offline_youtube

    world = World(
        home=home.absolute(),
        catalog=catalog.absolute() if catalog else None,
        channels=channels,
        videos=videos,
        effect=effect,
        seed=seed,
    )
    os.environ["TUBEGRADER_HOME"] = str(world.home)
    with offline_youtube(world) as youtube:
        os.environ.update(youtube.environment)
        typer.echo(f"the offline YouTube serves {len(youtube.channel_ids)} channels", err=True)
        with open_context(workers=True) as context:
            page = _whole_job(context, youtube.channel_ids, world)
    shown = os.path.relpath(world.home)
    typer.echo(f"\nreport    {page}")
    typer.echo(f"ask it    .venv/bin/tubegrader --home {shown} sql -c 'TABLE model_comparison'")


def _whole_job(context: "Context", channel_ids: list[str], world: "World") -> Path:
    from services import jobs
    from services.cli.common import wait_for
    from services.cli.data import describe_crawl
    from services.cli.learning import describe_scoring, describe_training, print_comparison
    from services.crawl import channels, runs
    from services.learning.results import newest_comparison

    channels.add(context, channel_ids)
    job = wait_for(context, runs.start(context, channel_ids), "crawling", quiet=False)
    typer.echo(describe_crawl(job.result or {}))
    job = wait_for(context, jobs.submit(context, "train", {}), "training", quiet=False)
    typer.echo(describe_training(job.result or {}))
    job = wait_for(context, jobs.submit(context, "score", {}), "scoring", quiet=False)
    typer.echo(describe_scoring(job.result or {}))
    wait_for(context, jobs.submit(context, "compare", {}), "comparing", quiet=False)
    print_comparison(newest_comparison(context))
    from services.learning.report import write_report

    return write_report(context, world.home / "report.html")
