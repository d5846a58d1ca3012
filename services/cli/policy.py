"""``tubegrader approvals`` and ``data purge``: what may be kept, and what goes."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli import completing
from services.cli.common import confirm, emit, emit_rows, open_context, say
from services.cli.options import AsJson, Yes
from services.cli.tables import print_table

if TYPE_CHECKING:
    from services.policy.purged import PurgeReport

approvals = typer.Typer(
    help="Permissions to go beyond YouTube's terms, each with its reference.",
    no_args_is_help=True,
)

Day = Annotated[
    datetime | None, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="UTC.")
]


@approvals.command("add")
def add_approval(
    reference: Annotated[str, typer.Argument(help="Of the letter, ticket or contract.")],
    scope: Annotated[str, typer.Option(help="statistics, thumbnails or audio.")],
    channel: Annotated[
        str | None, typer.Option(help="Only for this channel: id, @handle or URL. None: for all.")
    ] = None,
    granted: Day = None,
    expires: Day = None,
    note: Annotated[str | None, typer.Option(help="Anything worth remembering.")] = None,
    as_json: AsJson = False,
) -> None:
    """Record an approval."""
    from datetime import UTC

    from services.policy import approvals as ledger
    from services.watched import named_ids

    with open_context() as context:
        is_new = ledger.add(
            context,
            reference,
            scope=scope,
            channel_id=None if channel is None else named_ids(context, [channel])[0],
            granted_at=granted and granted.replace(tzinfo=UTC),
            expires_at=expires and expires.replace(tzinfo=UTC),
            note=note,
        )
    line = "recorded" if is_new else "known already"
    say({"reference": reference, "new": is_new}, line, as_json=as_json)


@approvals.command("list")
def list_approvals(as_json: AsJson = False) -> None:
    """List all approvals, also those that ended."""
    from services.policy import approvals as ledger

    with open_context() as context:
        found = ledger.ledger(context)
    emit_rows(
        found,
        {
            "reference": lambda a: a.reference,
            "scope": lambda a: a.scope,
            "channel": lambda a: a.channel_id or "all",
            "granted": lambda a: f"{a.granted_at:%Y-%m-%d}",
            "expires": lambda a: f"{a.expires_at:%Y-%m-%d}" if a.expires_at else "",
            "state": lambda a: a.state,
            "note": lambda a: a.note,
        },
        as_json=as_json,
        none="There is no approval; `tubegrader approvals add REFERENCE` records one.",
    )


@approvals.command("revoke")
def revoke_approval(
    reference: Annotated[
        str, typer.Argument(help="As it was recorded.", autocompletion=completing.approvals)
    ],
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """End an approval: what only it allowed goes with the next purge."""
    from services.policy import approvals as ledger

    confirm(f"End {reference}? What only it allowed goes with the next purge.", yes=yes)
    with open_context() as context:
        ended = ledger.revoke(context, reference)
    say({"revoked": ended}, f"revoked {ended}", as_json=as_json)


def purge(
    yes: Annotated[
        bool, typer.Option("--yes/--dry-run", help="Do it; without, only say what would go.")
    ] = False,
    kind: Annotated[
        list[str] | None, typer.Option(help="Only this kind of data; can be repeated.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also where much of the store is left behind.")
    ] = False,
    claim_store: Annotated[
        bool,
        typer.Option(
            "--claim-store", help="Write into the object store that it is this database's, first."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what may not be kept any longer, and what was learned long ago."""
    from services.policy import ownership, retention

    with open_context() as context:
        if claim_store:
            ownership.claim(context)
        report = retention.purge(
            context, dry_run=not yes, kinds=kind or retention.PURGED, force=force
        )
    emit(report, lambda purged: _print_purged(purged, done=yes), as_json=as_json)
    refused = [found.refused for found in report.kinds if found.refused is not None]
    for hint in dict.fromkeys(each.hint for each in refused if each.hint):
        typer.echo(f"  {hint}", err=True)
    if refused:
        raise typer.Exit(1)


def _print_purged(report: "PurgeReport", *, done: bool) -> None:
    print_table(
        [
            "data",
            "kept (days)",
            "removed" if done else "would go",
            "whole partitions",
            "stays",
            "note",
        ],
        [
            [
                found.kind,
                found.kept_days,
                f"{found.rows:,}",
                len(found.partitions) or "",
                "; ".join(f"{count:,} {reason}" for reason, count in found.held.items()),
                found.note if found.refused is None else f"refused: {found.refused.message}",
            ]
            for found in report.kinds
        ],
        right=["kept (days)", "removed", "would go", "whole partitions"],
    )
    typer.echo(f"{report.stale_videos:,} videos are read again in full")
    if not done:
        typer.echo("nothing was changed; --yes does it")
