"""``tubegrader models compare --on``: the models in use, on videos that none was trained on."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from services.cli.common import emit, interval, open_context
from services.cli.learning_tables import print_added
from services.cli.tables import print_table

if TYPE_CHECKING:
    from services.context import Context
    from services.learning.thumbnails.held_out import Asked

FORMS = "channels:FILE, tag:TAG or since:DATE"


def judge_on(on: str, *, as_json: bool) -> None:
    """Judge the models in use and print what is found.

    Raises:
        UsageError: It names no videos in a form that is known.
    """
    from services.learning.thumbnails.held_out import judge

    with open_context() as context:
        found = judge(context, _asked(context, on))
    emit(found, _print, as_json=as_json)


def _asked(context: "Context", on: str) -> "Asked":
    from services.crawl import sources, watchlist
    from services.errors import UsageError
    from services.learning.thumbnails.held_out import Asked
    from services.watched import named_ids

    how, _, what = on.partition(":")
    if how not in ("channels", "tag", "since") or not what:
        raise UsageError(f"“{on}” names no videos", hint=f"--on takes {FORMS}")
    if how == "since":
        try:
            moment = datetime.fromisoformat(what)
        except ValueError:
            raise UsageError(
                f"“{what}” is no date", hint="a date is 2026-11-30 or 2026-11-30T12:00"
            ) from None
        return Asked(since=moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    if how == "tag":
        channels = {row["channel_id"] for row in watchlist.overview(context, tag=what)}
        if not channels:
            raise UsageError(
                f"no channel has the tag “{what}”", hint="`tubegrader channels list` shows tags"
            )
        return Asked(channel_ids=channels)
    try:
        content = Path(what).read_bytes()
    except OSError as error:
        raise UsageError(f"{what} cannot be read: {error.strerror}") from error
    named = [line.text for line in sources.read_channels(content, what)]
    return Asked(channel_ids=set(named_ids(context, named)))


def _print(found: dict[str, Any]) -> None:
    typer.secho(f"{found['sentence']}\n", bold=True)
    print_table(
        ["rung", "AUC", "R²", "Spearman"],
        [
            [f"{rung} v{found['models'][rung]}"]
            + [interval(values[name]) for name in ("auc", "r2", "spearman")]
            for rung, values in found["rungs"].items()
        ],
    )
    left_out = ", ".join(f"{n} {reason}" for reason, n in sorted(found["excluded"].items()))
    typer.echo(
        f"{found['n_videos']} videos of {found['n_channels']} channels that none of these models"
        f" was trained on{f' (left out: {left_out})' if left_out else ''};"
        f" {found['base_rate']:.0%} reach {found['threshold']:g} views a day."
        " [ ] is the 95 % interval by channel, of these models."
    )
    if found["differences"]:
        print_added(found["differences"])
