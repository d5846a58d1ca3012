"""``tubegrader channels completeness``: expected against collected, and why there are gaps."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli import completing, remote
from services.cli.common import asked, emit
from services.cli.options import AsJson
from services.cli.tables import print_table

if TYPE_CHECKING:
    from services.crawl.completeness import Completeness


def completeness(
    channel: Annotated[
        str | None,
        typer.Option(
            help="Only this one: its id (UC…), @handle or URL.", autocompletion=completing.channels
        ),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(help="From this UTC day or moment on; a week ago by default."),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Also the days on which nothing is missing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Hold what was collected against what fell due, by channel and day."""
    from datetime import UTC

    from services.crawl.completeness import report

    moment = None if since is None else since.replace(tzinfo=since.tzinfo or UTC)
    found = asked(
        lambda context: report(context, channel=channel, since=moment),
        lambda home: _of_there(home, channel, moment),
    )
    emit(found, lambda report: _print(report, every=every), as_json=as_json)


def _of_there(home: remote.Remote, channel: str | None, since: datetime | None) -> "Completeness":
    """Return what the API tells, which is of whole days."""
    from datetime import UTC, time

    from services.crawl.completeness import Completeness

    moment = None if since is None else since.astimezone(UTC)
    if moment is not None and moment.time() != time():
        remote.refuse("a beginning within a day")
    asked_for: dict[str, Any] = {"channel": channel, "since": moment and moment.date()}
    total = home.get("/completeness/total", dict[str, Any], **asked_for)
    return Completeness(
        since=datetime.combine(datetime.fromisoformat(total["since"]), time(), UTC),
        days=home.items("/completeness", dict[str, Any], **asked_for),
        expected=total["expected"],
        collected=total["collected"],
        late=total["late"],
        reasons=total["reasons"],
        not_listed=total["channels_not_listed"],
        overdue_at=total["overdue_at"] and datetime.fromisoformat(total["overdue_at"]),
        asked_at=datetime.fromisoformat(total["asked_at"]),
    )


def _print(found: "Completeness", *, every: bool) -> None:
    shown = [day for day in found.days if every or day["missing"]]
    if shown:
        print_table(
            ["day", "channel", "what", "expected", "collected", "late", "missing", "why"],
            [
                [
                    day["day"],
                    day["handle"] or day["channel_title"] or day["channel_id"],
                    day["kind"],
                    f"{day['expected']:,}",
                    f"{day['collected']:,}",
                    f"{day['late']:,}",
                    f"{day['missing']:,}",
                    ", ".join(f"{n} {reason}" for reason, n in day["reasons"].items()),
                ]
                for day in shown
            ],
            right=["expected", "collected", "late", "missing"],
            spare=["expected", "late"],
        )
    share = "nothing fell due" if found.share is None else f"{found.share:.2%}"
    typer.echo(
        f"since {found.since:%Y-%m-%d %H:%M} UTC: {found.collected:,} of {found.expected:,} "
        f"snapshots ({share}), {found.late:,} of them late"
    )
    for reason, n in found.reasons.items():
        typer.echo(f"  {n:,} missing: {reason}")
    for reason, n in found.not_listed.items():
        typer.echo(f"  uploads of {n:,} channels are overdue to be read: {reason}")
    if found.is_counted_before:
        at = "not yet" if found.overdue_at is None else f"{found.overdue_at:%Y-%m-%d %H:%M} UTC"
        typer.echo(f"very much is overdue: a dispatcher counts it now and then, last: {at}")
