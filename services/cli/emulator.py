"""``tubegrader emulator``: serve an offline YouTube on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.common import print_json
from services.cli.options import AsJson


def emulator(
    catalog: Annotated[
        Path | None,
        typer.Option(
            help="Serve this folder instead of invented videos: videos.csv and thumbnails/, or "
            "recorded speech, clips.csv and its files."
        ),
    ] = None,
    synthetic: Annotated[
        bool, typer.Option("--synthetic", help="Serve invented channels and videos (the default).")
    ] = False,
    seed: Annotated[int, typer.Option(help="Which invented world.")] = 0,
    channels: Annotated[int, typer.Option(help="How many invented channels.")] = 60,
    videos: Annotated[int, typer.Option(help="How many invented videos.")] = 1_500,
    effect: Annotated[
        float | None,
        typer.Option(
            help="What the thumbnail adds to views: log10 of views/day per standard deviation. "
            "0 plants no effect; left out, a clear one is planted."
        ),
    ] = None,
    epoch: Annotated[
        str | None,
        typer.Option(
            help="The moment at which the numbers hold, such as 2026-11-01T00:00:00Z (default: "
            "now). Give the same one again to get the same world again."
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8765,
    ready_file: Annotated[
        Path | None, typer.Option(help="Write {url, pid} here once requests are answered.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="The only valid API key (default: any but an empty one).")
    ] = None,
    daily_units: Annotated[
        int, typer.Option(min=0, help="Quota units a key and a Pacific day.")
    ] = 10_000,
    latency: Annotated[float, typer.Option(min=0, help="Seconds to wait before answering.")] = 0.0,
    days: Annotated[
        float | None,
        typer.Option(
            help="Let the invented world live for so many days after the epoch: new uploads, "
            "deletions, swapped thumbnails, closing channels."
        ),
    ] = None,
    speed: Annotated[
        float | None,
        typer.Option(
            help="Start the clock at the epoch and let it run so many times faster than real time."
        ),
    ] = None,
    clock: Annotated[
        str | None,
        typer.Option(
            help="`manual`: start at the epoch and stand still until POST /emulator/clock."
        ),
    ] = None,
    media_seconds: Annotated[
        float, typer.Option(min=1, help="How long invented speech is, at most.")
    ] = 20.0,
    faults: Annotated[
        str | None,
        typer.Option(
            help="Let answers fail: the share of them, such as 0.2, or a JSON file with a plan. "
            "`odd`: bend five items in a hundred, each in one of a hundred ways."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Serve an offline YouTube: Data API, thumbnails, feeds and sound, until Ctrl-C."""
    from services.emulator.app import create_app
    from services.emulator.catalogs import choose_catalog, choose_clock, choose_faults
    from services.emulator.introspection import exports
    from services.emulator.quota import Quotas
    from services.emulator.server import address, bind, serve

    world = choose_catalog(
        folder=catalog,
        synthetic=synthetic,
        seed=seed,
        channels=channels,
        videos=videos,
        effect=effect,
        epoch=epoch,
        days=days,
    )
    app = create_app(
        world,
        clock=choose_clock(world.epoch, mode=clock, speed=speed),
        faults=choose_faults(faults),
        keys=None if key is None else frozenset({key}),
        quotas=Quotas(units=daily_units),
        latency_s=latency,
        media_seconds=media_seconds,
    )
    if ready_file is not None:
        ready_file.unlink(missing_ok=True)  # one of an earlier run would announce us too early
    bound = bind(host, port)
    url = address(bound)

    def announce() -> None:
        if as_json:
            print_json({"url": url, "channels": len(world.channels), "videos": len(world.videos)})
            return
        counts = f"{len(world.channels):,} channels, {len(world.videos):,} videos"
        typer.echo(f"The offline YouTube listens on {url} ({counts}). Ctrl-C stops it.")
        typer.echo("\n".join(exports(url, key=key or "offline")))

    serve(app, bound, ready_file=ready_file, announce=announce)
