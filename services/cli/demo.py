"""``tubegrader demo``: the whole job once, against an offline YouTube."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.common import open_context, wait_for
from services.cli.tables import print_table

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
    speech: Annotated[
        bool, typer.Option(help="Also listen to a few channels: English or Chinese?")
    ] = True,
    keep: Annotated[
        bool, typer.Option("--keep", help="Serve the pages afterwards, until Ctrl-C.")
    ] = False,
) -> None:
    """Crawl, train, score and compare against an offline YouTube, then stop.

    What it collected stays in the folder: `tubegrader --home .demo sql` asks it afterwards.
    """
    import os

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
            spoken_ids = youtube.spoken_ids if speech else []
            if speech and not spoken_ids:
                typer.echo("too few channels of each language are labelled: no speech", err=True)
            if (url := _pages(context)) is not None:
                typer.echo(f"its pages, to look meanwhile: {url}", err=True)
            page = _whole_job(context, youtube.channel_ids, spoken_ids, world)
            typer.echo(f"\nreport    {page}")
            if keep:
                _stay(context)
    shown = os.path.relpath(world.home)
    typer.echo(f"ask it    .venv/bin/tubegrader --home {shown} sql -c 'TABLE model_comparison'")
    typer.echo(f"pages     .venv/bin/tubegrader --home {shown} up")


def _stay(context: "Context") -> None:
    """Leave the workers, the pages and the offline YouTube up until Ctrl-C."""
    import threading
    from contextlib import suppress

    url = _pages(context)
    typer.echo(f"pages     {url or 'are not installed: pip install fastapi uvicorn'}")
    if url is not None:
        typer.echo(f"grade     {url}/grade")
    typer.echo("Everything goes on until Ctrl-C.", err=True)
    with suppress(KeyboardInterrupt):
        threading.Event().wait()
    typer.echo("stopping", err=True)


def _pages(context: "Context") -> str | None:
    """Return where the pages are; None where they cannot be served."""
    from services.embedded import workers
    from services.embedded.home import Home

    return workers.api_url(Home(context.settings.home))


def _whole_job(
    context: "Context", channel_ids: list[str], spoken_ids: list[str], world: "World"
) -> Path:
    from services.cli.data import describe_crawl
    from services.cli.learning_tables import describe_scoring, describe_training, print_comparison
    from services.crawl import intake, runs
    from services.learning.results import newest_comparison
    from services.work import jobs

    context.store.check()  # without it nothing would come of the crawl, nor of what follows
    intake.add_all(context, channel_ids)
    if spoken_ids:
        _select(context, spoken_ids)
    crawl = runs.start(context, channel_ids, with_audio=bool(spoken_ids))
    job = wait_for(context, crawl, "crawling", quiet=False)
    typer.echo(describe_crawl(job.result or {}))
    # A network that knows photographs has nothing to say of drawn rectangles, and takes minutes.
    params = {"backbone": False} if world.catalog is None else {}
    job = wait_for(context, jobs.submit(context, "train", params), "training", quiet=False)
    typer.echo(describe_training(job.result or {}))
    job = wait_for(context, jobs.submit(context, "score", {}), "scoring", quiet=False)
    typer.echo(describe_scoring(job.result or {}))
    wait_for(context, jobs.submit(context, "compare", {}), "comparing", quiet=False)
    print_comparison(newest_comparison(context, "thumbnails"))
    if spoken_ids:
        _listen(context)
    from services.learning.report import write_report

    return write_report(context, world.home / "report.html")


def _select(context: "Context", channel_ids: list[str]) -> None:
    from services.demo import SPOKEN_VIDEOS
    from services.media.audio import selection

    policy = selection.AudioPolicy(
        seconds_wanted=30, shortest_s=1, longest_s=12 * 3600, newest_videos=SPOKEN_VIDEOS
    )
    selection.add(context, channel_ids, policy=policy)


def _listen(context: "Context") -> None:
    """Learn which language is spoken from the segments that came, and ask the database."""
    from services import querying
    from services.cli.learning_tables import describe_scoring, describe_training
    from services.errors import PermanentError
    from services.work import jobs

    # So little is spoken that a pass over it is one step, and a network needs some dozens.
    params = {
        "task": "speech",
        "rungs": ["spectrogram_cnn", "crnn"],
        "folds": 2,
        "epochs": 60,
    }
    typer.echo("\nspeech")
    try:
        job = wait_for(context, jobs.submit(context, "retrain", params), "listening", quiet=False)
    except PermanentError as error:
        if error.reason not in ("noLabelledSpeech", "oneLanguage", "tooFewSpeakers"):
            raise
        # Labels of a small invented world may contradict each other: few of its videos are spoken.
        typer.echo(f"nothing was learned of speech: {error}")
        return
    done = job.result or {}
    typer.echo(describe_training(done["train"]))
    typer.echo(describe_scoring(done["score"]))
    columns, rows = querying.run_query(
        context,
        "SELECT rung, label, count(*) AS clips,"
        " count(*) FILTER (WHERE language = 'en') AS predicted_en,"
        " count(*) FILTER (WHERE language = 'zh') AS predicted_zh,"
        " count(*) FILTER (WHERE language = 'unknown') AS predicted_unknown"
        " FROM language_results GROUP BY 1, 2 ORDER BY 1 DESC, 2",
    )
    print_table(columns, rows, right=columns[2:])
    typer.echo(done["compare"]["sentence"])
    typer.secho(
        "These voices are synthetic: the figures prove that the parts work together, and nothing "
        "about accuracy. `tubegrader models compare speech --folder DIR` measures on real speech.",
        bold=True,
    )
