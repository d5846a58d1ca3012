"""``tubegrader models``: which models are in use, what decided it, and changing it by hand."""

from typing import Annotated, Any

import typer

from services.cli import completing, remote
from services.cli.common import asked, emit, minute, print_json
from services.cli.learning_tables import describe_decision
from services.cli.options import AsJson, DryRun, Task
from services.cli.tables import print_table

app = typer.Typer(help="Champions, challengers and all other models.", no_args_is_help=True)


Model = Annotated[
    str,
    typer.Argument(
        help="RUNG (its newest version), RUNG@VERSION, RUNG@champion, champion or challenger.",
        metavar="MODEL",
        autocompletion=completing.models,
    ),
]
OfTask = Annotated[Task, typer.Option("--task", help="Whose champion or challenger.")]


@app.command("list")
def list_models(
    task: Annotated[Task | None, typer.Option(help="Only models of this task.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All versions there are.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the models in use and the newest ones, with the last decision of each task."""
    from services.learning.promotion.facts import listed

    of_task = None if task is None else task.value
    found = asked(
        lambda context: listed(context, task=of_task, every=every),
        lambda there: there.get("/models", task=of_task, all="true" if every else None),
    )
    emit(found, _print_models, as_json=as_json)


def _print_models(found: dict[str, Any]) -> None:
    if not found["models"]:
        typer.echo("no model was trained yet; `tubegrader models train` makes some")
        return
    print_table(
        ["task", "model", "is", "trained (UTC)", "dataset", "metrics, out of fold"],
        [
            [
                model["task"],
                model["name"],
                ", ".join(model["aliases"]) or ("in use" if model["in_use"] else ""),
                minute(model["trained_at"]),
                model["dataset_id"][:12],
                _metrics(model["metrics"]),
            ]
            for model in found["models"]
        ],
        spare=["dataset", "trained (UTC)"],
    )
    for name, decision in found["decisions"].items():
        at = minute(decision["decided_at"])
        typer.echo(f"\n{name}, {at} UTC: {describe_decision(decision)}")


@app.command("show")
def show_model(
    model: Model,
    task: OfTask = Task.thumbnails,
    card: Annotated[bool, typer.Option("--card", help="Print the model card (Markdown).")] = False,
    as_json: AsJson = False,
) -> None:
    """Show one model: data, metrics, decisions about it, files; or its card."""
    from services.learning.promotion.card import render
    from services.learning.promotion.facts import facts_of
    from services.learning.promotion.naming import find

    facts = asked(
        lambda context: facts_of(context, find(context, model, task=task.value)),
        lambda there: there.get(f"/models/{remote.segment(model)}", task=task.value),
    )
    if as_json:
        print_json(facts | {"card": render(facts)} if card else facts)
    elif card:
        typer.echo(render(facts))
    else:
        _print_facts(facts)


@app.command("promote")
def promote_model(
    model: Model,
    why: Annotated[str, typer.Option(help="Kept with the decision.", metavar="TEXT")],
    task: OfTask = Task.thumbnails,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make a model the champion by hand, with all that was trained together with it."""
    from services.learning.promotion.by_hand import promote
    from services.learning.promotion.naming import find

    body = {"why": why, "dry_run": dry_run}
    decision = asked(
        lambda context: promote(
            context, find(context, model, task=task.value), why=why, dry_run=dry_run
        ).as_json(),
        lambda there: there.post(f"/models/{remote.segment(model)}/promote", body, task=task.value),
    )
    _print_decision(decision, dry_run=dry_run, as_json=as_json)


@app.command("rollback")
def roll_back(
    task: OfTask = Task.thumbnails,
    why: Annotated[str, typer.Option(help="Kept with the decision.", metavar="TEXT")] = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Make the champion before the champion again."""
    from services.learning.promotion.by_hand import rollback

    body = {"why": why, "dry_run": dry_run}
    decision = asked(
        lambda context: rollback(context, task.value, why=why, dry_run=dry_run).as_json(),
        lambda there: there.post(f"/champions/{task.value}/rollback", body),
    )
    _print_decision(decision, dry_run=dry_run, as_json=as_json)


def _print_decision(decided: dict[str, Any], *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        print_json(decided | {"dry_run": dry_run})
        return
    instead = f" instead of {decided['champion']}" if decided["champion"] else ""
    verb = "would be" if dry_run else "is"
    typer.echo(f"{decided['challenger']} {verb} champion{instead}")
    if not dry_run:
        typer.echo("`tubegrader models score` scores what it has not scored yet", err=True)


def _print_facts(facts: dict[str, Any]) -> None:
    data, evaluation = facts["dataset"], facts["evaluation"]
    rows = [
        ("model", facts["name"]),
        ("task", facts["task"]),
        ("is", ", ".join(facts["aliases"]) or ("in use" if facts["in_use"] else "not in use")),
        ("trained", f"{minute(facts['trained_at'])} UTC"),
        ("by", f"TubeGrader {facts['code_version']}, seed {facts['seed']}"),
        ("dataset", f"{data['dataset_id'][:12]}: {_learned(facts)}"),
        ("with", ", ".join(facts["ladder"])),
        ("files", f"{len(facts['files'])} in the object store"),
    ]
    if evaluation is not None:
        metrics = {n: v for n, v in evaluation["rung"].items() if isinstance(v, dict)}
        rows.append(("metrics", _metrics(metrics)))
    for title, value in rows:
        typer.echo(f"{title:<10}{value}")
    for decision in facts["decisions"]:
        at = minute(decision["decided_at"])
        typer.echo(f"\n{at} UTC: {describe_decision(decision)}")


def _learned(facts: dict[str, Any]) -> str:
    from services.learning.promotion.card import UNITS

    rows, clusters = UNITS[facts["task"]]
    return f"{facts['dataset']['rows']} {rows} of {facts['dataset']['clusters']} {clusters}"


def _metrics(metrics: dict[str, Any]) -> str:
    shown = ("auc", "r2", "log_loss", "balanced_accuracy", "equal_error_rate")
    return ", ".join(
        f"{name} {metrics[name]['value']:.3f}"
        for name in shown
        if name in metrics and metrics[name].get("value") is not None
    )
