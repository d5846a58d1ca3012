"""``tubegrader backups``: copies of the database and its objects, elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli import completing, remote
from services.cli.common import confirm, emit, emit_rows, open_context
from services.cli.options import AsJson, DryRun, Yes

if TYPE_CHECKING:
    from services.backups.checking import Verified
    from services.backups.creating import Made
    from services.backups.pruning import Pruned
    from services.backups.restoring import Restored

app = typer.Typer(
    help="Copies of the database and its objects, in a folder or bucket.", no_args_is_help=True
)

At = Annotated[
    str | None,
    typer.Option(
        "--at", help="Folder or s3://bucket/prefix (TUBEGRADER_BACKUP_URL).", metavar="TARGET"
    ),
]
Name = Annotated[
    str,
    typer.Argument(help="The beginning of its id, or newest.", autocompletion=completing.backups),
]
Identity = Annotated[
    Path | None,
    typer.Option(help="age's file with the secret key, if it is encrypted.", metavar="FILE"),
]


@app.command()
def create(
    at: At = None,
    recipient: Annotated[
        list[str] | None,
        typer.Option(help="Encrypt for this public key of age; again for more.", metavar="KEY"),
    ] = None,
    recipients: Annotated[
        Path | None,
        typer.Option(help="Or for those of a file (TUBEGRADER_BACKUP_RECIPIENTS).", metavar="FILE"),
    ] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make a backup; what an earlier one there has is not copied again.

    One that was stopped is no backup, and what it had copied is not copied again either.
    """
    from services.backups.creating import create as make
    from services.backups.encryption import Recipients
    from services.backups.standing import recipients_of, target_of

    with open_context() as context, _progress(quiet=as_json) as progress:
        target = target_of(context.settings, at)
        files = () if recipients is None else (recipients,)
        chosen = Recipients(tuple(recipient or ()), files) or recipients_of(context.settings)
        made = make(context, target, chosen, dry_run=dry_run, progress=progress)
    emit(made, _print_made, as_json=as_json)


def _print_made(made: "Made") -> None:
    if made.dry_run:
        typer.echo(
            f"would copy {made.new_objects:,} of {made.objects:,} objects to {made.target}, "
            "and dump the database"
        )
        return
    typer.echo(f"{made.backup_id} at {made.target}")
    typer.echo(f"  database {_size(made.dump_bytes)}{', encrypted' if made.encrypted else ''}")
    typer.echo(
        f"  {made.objects:,} objects of {_size(made.object_bytes)}; {made.new_objects:,} of them "
        f"new ({_size(made.new_bytes)})"
    )
    if made.missing:
        typer.echo(f"  {made.missing:,} objects that rows speak of are not in the store")


@app.command("list")
def list_backups(at: At = None, as_json: AsJson = False) -> None:
    """List the backups, the newest first."""
    from services.backups.standing import listed, target_of
    from services.settings import Settings

    found = listed(target_of(Settings(), at))
    emit_rows(
        found,
        {
            "backup": lambda b: b.backup_id,
            "moment (UTC)": lambda b: f"{b.created_at:%Y-%m-%d %H:%M}",
            "size": lambda b: _size(b.bytes),
            "added": lambda b: _size(b.new_bytes),
            "objects": lambda b: f"{b.objects:,}",
            "schema": lambda b: b.schema or "",
            "installation": lambda b: (b.installation_id or "")[:8],
            "encrypted": lambda b: "yes" if b.encrypted else "no",
            "state": lambda b: b.state,
        },
        as_json=as_json,
        right=["size", "added", "objects"],
        spare=["added", "encrypted", "installation"],
    )


@app.command()
def verify(
    name: Name = "newest",
    at: At = None,
    every: Annotated[bool, typer.Option("--all", help="All backups that are there.")] = False,
    sample: Annotated[
        float, typer.Option(help="Read this share of the packs, such as 0.1.", min=0.0, max=1.0)
    ] = 1.0,
    identity: Identity = None,
    as_json: AsJson = False,
) -> None:
    """Read a backup again and compare every checksum; fails if anything is damaged or lost."""
    from services.backups.checking import verify as check
    from services.backups.standing import target_of
    from services.clock import system_clock
    from services.settings import Settings

    with _progress(quiet=as_json) as progress:
        found = check(
            target_of(Settings(), at),
            [] if every else [name],
            now=system_clock(),
            sample=sample,
            identity=identity,
            progress=progress,
        )
    emit(found, _print_verified, as_json=as_json)
    if not found.clean:
        raise typer.Exit(1)


def _print_verified(found: "Verified") -> None:
    typer.echo(
        f"{len(found.backups):,} backups, {found.packs_read:,} of {found.packs:,} packs read, "
        f"{found.objects_read:,} objects compared"
    )
    for each in found.damaged:
        typer.echo(f"  damaged: {each}")
    if found.lost_objects:
        typer.echo(
            f"  {found.lost_objects:,} objects are lost; those that the store still has come back "
            "with `tubegrader backups create`"
        )
    if found.clean:
        typer.echo("  all whole")


@app.command()
def prune(
    at: At = None,
    keep: Annotated[int, typer.Option(help="The newest so many stay.", min=1)] = 1,
    daily: Annotated[
        int | None,
        typer.Option(help="And the newest of so many days (TUBEGRADER_BACKUP_KEEP_DAILY).", min=0),
    ] = None,
    weekly: Annotated[
        int | None,
        typer.Option(help="And of so many weeks (TUBEGRADER_BACKUP_KEEP_WEEKLY).", min=0),
    ] = None,
    installation: Annotated[
        str | None,
        typer.Option(help="Of another installation, by its whole id.", metavar="ID"),
    ] = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Let go of this installation's old backups, and of what no other one needs."""
    from services.backups.pruning import Keep
    from services.backups.pruning import prune as let_go
    from services.backups.standing import target_of

    with open_context() as context:
        target, settings = target_of(context.settings, at), context.settings
        chosen = Keep(
            keep,
            settings.backup_keep_daily if daily is None else daily,
            settings.backup_keep_weekly if weekly is None else weekly,
        )
        found = let_go(context, target, chosen, dry_run=True, installation=installation)
        if not dry_run and not as_json:
            confirm(f"Let go of {len(found.removed)} backups?", yes=yes)
        if not dry_run:
            found = let_go(context, target, chosen, dry_run=False, installation=installation)
    emit(found, _print_pruned, as_json=as_json)


def _print_pruned(found: "Pruned") -> None:
    verb = "would go" if found.dry_run else "gone"
    typer.echo(f"{len(found.removed):,} backups {verb}, {len(found.kept):,} stay")
    typer.echo(f"{found.files:,} files that no backup needs {verb}")


@app.command()
def restore(
    name: Name = "newest",
    at: At = None,
    identity: Identity = None,
    same_installation: Annotated[
        bool,
        typer.Option(
            "--same-installation",
            help="Keep the installation's id: what was backed up is gone for good.",
        ),
    ] = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Make an empty database and an empty object store what they were.

    Without --same-installation it becomes an installation of its own, at which nothing begins
    before `tubegrader work resume`.
    """
    from services.backups.restoring import restore as make
    from services.backups.standing import target_of
    from services.clock import system_clock
    from services.embedded import lifecycle
    from services.embedded.home import Home
    from services.settings import Settings

    remote.refuse("`backups restore`")
    settings = Settings()
    home = Home(settings.home)
    target = target_of(settings, at)
    with lifecycle.used(home, "restore"):
        with home.lock():
            database = lifecycle.start_database(home, settings)
        if not dry_run:
            confirm(f"Restore {target.find(name).backup_id} here?", yes=yes)
        with _progress(quiet=as_json) as progress:
            done = make(
                target,
                name,
                owner_url=database.schema_url,
                storage_url=lifecycle.storage_url(home, settings),
                now=system_clock(),
                identity=identity,
                same_installation=same_installation,
                dry_run=dry_run,
                progress=progress,
            )
        if not dry_run:
            with home.lock():
                lifecycle.after_restore(home, settings, database)
    emit(done, _print_restored, as_json=as_json)


def _print_restored(done: "Restored") -> None:
    if done.dry_run:
        typer.echo(f"would restore {done.backup_id}: {done.objects:,} objects")
        return
    typer.echo(f"restored {done.backup_id}: the database and {done.objects:,} objects")
    typer.echo(f"  installation {done.installation_id}")
    if done.missing:
        typer.echo(f"  {done.missing:,} objects were not there when it was made")


def _size(n_bytes: int) -> str:
    from services.policy.sizes import described

    return described(n_bytes)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int, int, str], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True, soft_wrap=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    hidden = quiet or not console.is_terminal
    with Progress(*columns, console=console, disable=hidden) as bar:
        task = bar.add_task("", total=None)

        def show(done: int, total: int, what: str) -> None:
            bar.update(task, description=what, completed=done, total=total or None)

        yield show
