"""``tubegrader videos``: what was collected, with what the model in use says of it."""

from typing import Annotated, Any

import typer

from services.cli import completing, remote
from services.cli.common import asked, emit, emit_rows
from services.cli.options import AsJson
from services.cli.tables import print_pairs

app = typer.Typer(help="Videos, with what the model in use says of them.")


@app.command("list")
def list_videos(
    order: Annotated[
        str,
        typer.Option(help="newest, or underestimated, overestimated: furthest from predicted."),
    ] = "newest",
    channel: Annotated[
        str | None,
        typer.Option(help="Only of this one.", autocompletion=completing.channels),
    ] = None,
    title: Annotated[str | None, typer.Option(help="Only with these words.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="The most to show.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List videos, the newest first or by how far views are from what was predicted."""
    from typing import get_args

    from services import browsing
    from services.errors import UsageError

    if order not in get_args(browsing.Order):
        raise UsageError(f"no order {order!r}", hint=f"use {', '.join(get_args(browsing.Order))}")
    query: Any = {"order": order, "channel": channel, "title": title}
    found = asked(
        lambda context: browsing.videos(context, limit=limit, **query).items,
        lambda there: there.items("/videos", browsing.VideoRow, most=limit, **query),
    )
    columns = {
        "video": lambda v: v["video_id"],
        "channel": lambda v: v["channel_title"],
        "title": lambda v: v["title"],
        "published": lambda v: f"{v['published_at']:%Y-%m-%d}",
        "views": lambda v: "" if v["view_count"] is None else f"{v['view_count']:,}",
        "a day": lambda v: _number(v["views_per_day"]),
        "predicted": lambda v: _number(v["predicted_views_per_day"]),
    }
    emit_rows(
        [vars(video) for video in found],
        columns,
        as_json=as_json,
        right=["views", "a day", "predicted"],
        spare=["published", "channel", "views"],
    )


@app.command()
def show(
    video: Annotated[str, typer.Argument(help="Its id.", metavar="VIDEO")],
    as_json: AsJson = False,
) -> None:
    """Show one video: its newest counts, how many pictures it had, what each model says."""
    from services import browsing

    found = asked(
        lambda context: browsing.video(context, video),
        lambda there: there.get(f"/videos/{remote.segment(video)}", browsing.VideoFacts),
    )

    def print_facts(facts: dict[str, Any]) -> None:
        plain = {k: v for k, v in facts.items() if not isinstance(v, list) and v is not None}
        print_pairs([(name.replace("_", " "), value) for name, value in plain.items()])
        print_pairs([(name, len(facts[name])) for name in ("counts", "thumbnails", "scores")])

    emit(vars(found), print_facts, as_json=as_json)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}"
