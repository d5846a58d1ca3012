"""``tubegrader quota``: what the quota went for, and what it will."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.common import asked, emit, open_context
from services.cli.options import AsJson, Watch
from services.cli.tables import print_table

if TYPE_CHECKING:
    from datetime import datetime

    from services.context import Context
    from services.crawl.plan import Plan
    from services.crawl.spending import Spending

_PURPOSES = ("discovery", "statistics", "adHoc")


def quota(
    days: Annotated[int, typer.Option(min=1, max=400, help="How many days to show.")] = 7,
    watch: Watch = False,
    as_json: AsJson = False,
) -> None:
    """Show what the YouTube quota was spent on: today, and in the last days."""
    from services.cli import watching
    from services.crawl.spending import Spending, spending

    def drawn(found: Callable[[], Spending]) -> None:
        def draw() -> bool:
            emit(found(), _print_spending, as_json=as_json)
            return True

        watching.watch(draw, once=not watch)

    asked(
        lambda context: drawn(lambda: spending(context, days=days)),
        lambda there: drawn(lambda: there.get("/quota", Spending, days=days)),
    )


def _print_spending(spent: "Spending") -> None:
    typer.echo(f"Pacific day {spent.pacific_day}; the quota resets at {_both(spent.reset_at)}.\n")
    print_table(
        ["bucket", "used", "limit", *_PURPOSES, "state"],
        [
            [
                b.bucket,
                f"{b.units:,}",
                f"{b.limit:,}",
                *(
                    f"{b.purposes[p]:,}" + (f" of {b.kept[p]:,}" if p in b.kept else "")
                    for p in _PURPOSES
                ),
                f"empty since {_both(b.exhausted_at)}"
                if b.exhausted_at is not None
                else "used up"
                if b.units >= b.limit
                else "",
            ]
            for b in spent.buckets
        ],
        right=["used", "limit", *_PURPOSES],
    )
    if any(b.kept for b in spent.buckets):
        typer.echo(f"\nThe shares end at {_both(spent.shares_end_at)}: then all may use the rest.")
    typer.echo("")
    print_table(
        ["Pacific day", "bucket", "used", *_PURPOSES, "state"],
        [
            [
                d.pacific_day,
                d.bucket,
                f"{d.units:,}",
                *(f"{d.purposes[p]:,}" for p in _PURPOSES),
                "ended early" if d.exhausted else "",
            ]
            for d in spent.days
        ],
        right=["used", *_PURPOSES],
    )


def plan(
    channels: Annotated[
        int | None, typer.Option(min=0, help="Channels; without it, what is in the database.")
    ] = None,
    videos: Annotated[int | None, typer.Option(min=0, help="Videos they have together.")] = None,
    uploads_per_day: Annotated[
        float | None, typer.Option(min=0, help="New videos a day, of all channels together.")
    ] = None,
    units: Annotated[
        int | None, typer.Option(min=0, help="Units of the shared quota a day.")
    ] = None,
    show_policy: Annotated[
        bool, typer.Option("--show-policy", help="Print the cadence in force as TOML, and exit.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tell what will be read how often, what it costs, and whether the quota allows it."""
    from services.cadence import as_toml
    from services.context import Context
    from services.crawl.plan import plan_watched
    from services.errors import UsageError
    from services.settings import Settings

    if show_policy:
        typer.echo(as_toml(Context(Settings()).cadence), nl=False)
        return
    if (channels is None) != (videos is None):
        raise UsageError(
            "--channels and --videos go together",
            hint="such as `tubegrader quota plan --channels 200 --videos 10000`",
        )
    if channels is not None and videos is not None:
        found = _assumed(Context(Settings()), channels, videos, uploads_per_day, units)
    else:
        with open_context() as context:
            found = plan_watched(context, uploads_per_day=uploads_per_day, units=units)
    emit(found, _print_plan, as_json=as_json)


def _assumed(
    context: "Context", channels: int, videos: int, uploads: float | None, units: int | None
) -> "Plan":
    from services.crawl.plan import plan_assumed

    return plan_assumed(
        context,
        channels=channels,
        videos=videos,
        uploads_per_day=0.0 if uploads is None else uploads,
        units=units,
    )


def _print_plan(found: "Plan") -> None:

    print_table(
        ["what", "count", "every", "a day"],
        [[r.what, f"{r.count:,}", r.every, f"{r.per_day:,.0f}"] for r in found.refreshes],
        right=["count", "every", "a day"],
    )
    typer.echo("")
    print_table(
        ["bucket", "for", "units a day", "kept for it", "limit"],
        [
            [u.bucket, u.purpose, f"{u.units:,}", f"{u.kept:,}", f"{found.limits[u.bucket]:,}"]
            for u in found.uses
        ],
        right=["units a day", "kept for it", "limit"],
    )
    typer.echo(f"\nPlanned from {_both(found.start)} to {_both(found.end)}.")
    if found.waits_from is not None:
        typer.echo(f"From {_both(found.waits_from)} on, something has to wait for quota.")
    if found.fits:
        typer.echo("The quota suffices.")
    else:
        typer.echo(f"{found.unmet:,} units are missing. {_remedy(found)}")


def _remedy(found: "Plan") -> str:
    from services.youtube.quota import SHARED

    if found.stretch is None and not found.limits[SHARED]:
        return "There is no quota at all."
    if found.stretch is None:
        return (
            "No longer interval would spare them: looking through all uploads once a month alone "
            "takes the quota. Watch fewer channels, or ask YouTube for more."
        )
    if found.stretch == 1:
        return (
            "A whole day's quota would do: part of it is used already, or kept for another "
            "purpose. What waits is read later."
        )
    return (
        f"With all intervals {found.stretch:g} times as long it would fit; "
        "`tubegrader quota plan --show-policy` prints them."
    )


def _both(moment: "datetime") -> str:
    """Return a moment in local time and in UTC."""
    here, utc = moment.astimezone(), f"{moment:%Y-%m-%d %H:%M} UTC"
    return utc if not here.utcoffset() else f"{here:%Y-%m-%d %H:%M %Z} ({utc})"
