"""``tubegrader schedules``: what is asked for again and again."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli import completing, remote
from services.cli.common import (
    asked,
    confirm,
    emit,
    emit_rows,
    open_context,
    print_json,
    say,
    wait_for,
    wait_there,
)
from services.cli.options import LARGEST_SEED, MOST_VIEWS, AsJson, DryRun, Wait, Yes
from services.cli.tables import print_table
from services.work.kinds import JOB_KINDS

if TYPE_CHECKING:
    from services.schedules import ScheduleView

app = typer.Typer(help="Crawl, train, score and tidy up by the clock.", no_args_is_help=True)

Name = Annotated[
    str,
    typer.Argument(
        help="The schedule's name.", metavar="NAME", autocompletion=completing.schedules
    ),
]
Names = Annotated[
    list[str],
    typer.Argument(
        help="Names of schedules.", metavar="NAME...", autocompletion=completing.schedules
    ),
]


@app.command("add")
def add_schedule(
    name: Name,
    kind: Annotated[
        str,
        typer.Option(
            help=f"What it asks for: {', '.join(JOB_KINDS)}; retrain is a whole night.",
            autocompletion=completing.kinds_of_jobs,
        ),
    ],
    cron: Annotated[
        str | None, typer.Option(help="Five fields, such as “30 3 * * *”.", metavar="CRON")
    ] = None,
    every: Annotated[
        str | None, typer.Option(help="Or so often, such as 6h or 1d.", metavar="LENGTH")
    ] = None,
    zone: Annotated[str, typer.Option(help="Time zone that cron is read in.")] = "UTC",
    channel: Annotated[
        list[str] | None,
        typer.Option(help="Crawl this channel only (id, @handle or URL); again for more."),
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help="Crawl the channels with this tag; again for more.")
    ] = None,
    misfire: Annotated[
        str, typer.Option(help="A slot missed by more than the grace: run-once or skip.")
    ] = "run-once",
    grace: Annotated[str, typer.Option(help="How late is still in time.", metavar="LENGTH")] = "5m",
    threshold: Annotated[
        float | None,
        typer.Option(min=0.001, max=MOST_VIEWS, help="train, retrain: views per day."),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(help="train, retrain: which views: day7, day30, week, lifetime or auto."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, max=LARGEST_SEED, help="train, retrain: decides folds, first weights and order."
        ),
    ] = None,
    backbone: Annotated[
        bool | None,
        typer.Option(
            "--backbone/--no-backbone",
            help="train, retrain: learn from a pretrained network's image features too.",
        ),
    ] = None,
    conflicts: Annotated[
        str | None, typer.Option(help="train, retrain of speech: contradicting labels; drop, keep.")
    ] = None,
    speech: Annotated[
        bool, typer.Option("--speech", help="train, score, compare, retrain: of speech.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Add a schedule. Adding the same one again changes nothing."""
    from services import schedules
    from services.crawl.intake import check_tags
    from services.schedules.names import parse_length
    from services.watched import named_ids

    check_tags(tag or [])
    params: dict[str, Any] = {"tags": sorted(set(tag))} if tag else {}
    params |= _training(
        kind,
        speech=speech,
        views={"threshold": threshold, "label": label, "backbone": backbone},
        labels={"conflicts": conflicts},
        seed=seed,
    )
    there = remote.home()
    if there is not None:
        if params.keys() - {"tags", "task"}:
            remote.refuse("a schedule that says what to learn from")
        added = _add_there(
            there,
            {
                "name": name,
                "kind": kind,
                "cron": cron,
                "interval_s": None if every is None else parse_length(every),
                "time_zone": zone,
                "misfire": misfire,
                "grace_s": parse_length(grace),
                "channels": channel or [],
                "tags": params.get("tags", []),
                "task": params.get("task", "thumbnails"),
            },
        )
        is_new = "added" if added["new"] else "there already"
        say(added, f"{name} is {is_new}; next {added['next_slot']}", as_json=as_json)
        return
    with open_context() as context:
        if channel:
            params["channel_ids"] = named_ids(context, channel)
        plan = schedules.Plan(
            name=name,
            kind=kind,
            cron=cron,
            interval_s=None if every is None else parse_length(every),
            time_zone=zone,
            misfire=misfire,
            grace_s=parse_length(grace),
            params=params,
        )
        new = schedules.add(context, plan)
        [(view, [first])] = schedules.next_fire_times(context, [name], 1)
    if as_json:
        print_json({"name": name, "new": new, "next_slot": first.isoformat()})
        return
    typer.echo(f"{name} is {'added' if new else 'there already'}; next {_both(view, first)}")


def _add_there(there: remote.Remote, body: dict[str, Any]) -> dict[str, Any]:
    added = there.post("/schedules", body)
    return {"name": added["name"], "new": added["new"], "next_slot": added["next"][0]}


def _training(
    kind: str, *, speech: bool, views: dict[str, Any], labels: dict[str, Any], seed: int | None
) -> dict[str, Any]:
    """Return what the job of a schedule is to learn from, and how; only what was chosen.

    Raises:
        UsageError: It is for another kind of job, or of learning.
    """
    from services.errors import UsageError

    def chosen(values: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if value is not None}

    params = chosen(views | labels | {"seed": seed})
    if params and kind not in ("train", "retrain"):
        raise UsageError(f"--{next(iter(params))} is for train and retrain")
    if speech and (kind not in ("train", "score", "compare", "retrain") or chosen(views)):
        raise UsageError(
            "--speech is for train, score, compare and retrain, without a threshold, label or"
            " backbone"
        )
    if chosen(labels) and not speech:
        raise UsageError("--conflicts is for --speech")
    if views["label"] is not None:
        from services.learning.thumbnails.selection import Request

        Request(label=views["label"])  # refuses one that is none
    if labels["conflicts"] is not None:
        from services.learning.speech.datasets import Request as SpeechRequest

        SpeechRequest(conflicts=labels["conflicts"])
    return params | ({"task": "speech"} if speech else {})


@app.command("list")
def list_schedules(as_json: AsJson = False) -> None:
    """List the schedules with their next slot and what came of the last."""
    from services import schedules

    found = asked(schedules.listed, lambda there: there.items("/schedules", schedules.ScheduleView))
    emit_rows(
        found,
        {
            "name": lambda s: s.name,
            "kind": lambda s: s.kind,
            "when": _trigger,
            "zone": lambda s: s.time_zone,
            "state": lambda s: s.state,
            "next (UTC)": lambda s: f"{s.next_slot:%Y-%m-%d %H:%M}" if s.next_slot else "",
            "last (UTC)": lambda s: f"{s.last_slot:%Y-%m-%d %H:%M}" if s.last_slot else "",
            "outcome": _outcome,
        },
        as_json=as_json,
        spare=["last (UTC)", "zone", "kind"],
    )


@app.command("next")
def show_next(
    name: Annotated[
        list[str] | None,
        typer.Argument(help="Names; none: all that are on.", autocompletion=completing.schedules),
    ] = None,
    count: Annotated[int, typer.Option("-n", min=1, max=1000, help="How many of each.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Show the next fire times, in the schedule's zone and in UTC."""
    from services import schedules

    with open_context() as context:
        found = schedules.next_fire_times(context, name or [], count)
    if as_json:
        print_json(
            [
                {
                    "name": view.name,
                    "time_zone": view.time_zone,
                    "moments": [
                        {"local": _local(view, m).isoformat(), "utc": m.isoformat()} for m in times
                    ],
                }
                for view, times in found
            ]
        )
        return
    print_table(
        ["name", "in its zone", "UTC"],
        [
            [view.name, f"{_local(view, m):%a %Y-%m-%d %H:%M %Z}", f"{m:%Y-%m-%d %H:%M}"]
            for view, times in found
            for m in times
        ],
    )


@app.command("pause")
def pause_schedules(
    names: Names,
    reason: Annotated[str | None, typer.Option(help="Shown in the list.")] = None,
    as_json: AsJson = False,
) -> None:
    """Let no slot fire until resumed; a job that runs goes on."""
    from services import schedules

    changed = asked(
        lambda context: schedules.pause(context, names, reason=reason),
        lambda there: _each(there, names, "pause"),
    )
    _say(names, changed, "paused", as_json=as_json)


@app.command("resume")
def resume_schedules(names: Names, as_json: AsJson = False) -> None:
    """Let slots fire again; those that passed meanwhile are not made up for."""
    from services import schedules

    changed = asked(
        lambda context: schedules.resume(context, names),
        lambda there: _each(there, names, "resume"),
    )
    _say(names, changed, "on", as_json=as_json)


@app.command("remove")
def remove_schedules(
    names: Names, yes: Yes = False, dry_run: DryRun = False, as_json: AsJson = False
) -> None:
    """Remove schedules, also those installed by default: they do not come back."""
    from services import schedules

    there = remote.home()
    if there is not None and not dry_run:
        confirm(f"Remove {', '.join(names)}?", yes=yes)
        changed = [
            name
            for each in names
            for name in there.delete(f"/schedules/{remote.segment(each)}")["changed"]
        ]
        _say(names, changed, "removed", as_json=as_json)
        return
    with open_context() as context:
        if dry_run:
            going = [view.name for view, _ in schedules.next_fire_times(context, names, 1)]
            would = "\n".join(f"{name} would be removed" for name in going)
            say({"changed": going, "dry_run": True}, would, as_json=as_json)
            return
        confirm(f"Remove {', '.join(names)}?", yes=yes)
        changed = schedules.remove(context, names)
    _say(names, changed, "removed", as_json=as_json)


@app.command("run")
def run_schedule_now(
    name: Name,
    wait: Wait = False,
    as_json: AsJson = False,
) -> None:
    """Fire a schedule out of turn, unless its last job still runs."""
    import uuid

    from services import schedules

    there = remote.home()
    if there is not None:
        job_id = str(there.post(f"/schedules/{remote.segment(name)}/run-now")["job_id"])
        if not (wait and as_json):
            say({"job_id": job_id}, job_id, as_json=as_json)
        if wait:
            ended = wait_there(there, job_id, name, quiet=as_json)
            emit(ended, lambda _: None, as_json=as_json)
        return
    with open_context(workers=wait) as context:
        job_id = schedules.run_now(context, name)
        if not (wait and as_json):
            say({"job_id": job_id}, job_id, as_json=as_json)
        if wait:
            job = wait_for(context, uuid.UUID(job_id), name, quiet=as_json)
            emit(job, lambda _: None, as_json=as_json)


def _each(there: remote.Remote, names: list[str], action: str) -> list[str]:
    return [
        name
        for each in names
        for name in there.post(f"/schedules/{remote.segment(each)}/{action}")["changed"]
    ]


def _say(names: list[str], changed: list[str], state: str, *, as_json: bool) -> None:
    lines = [
        f"{name} is {state}" if name in changed else f"{name} was {state} already"
        for name in dict.fromkeys(names)
    ]
    say({"changed": changed}, "\n".join(lines), as_json=as_json)


def _trigger(view: "ScheduleView") -> str:
    from services.schedules.names import length_text

    return view.cron if view.cron is not None else f"every {length_text(view.interval_s or 0)}"


def _outcome(view: "ScheduleView") -> str:
    parts = (view.last_outcome, view.last_reason, view.last_job_state)
    outcome = ", ".join(part for part in parts if part)
    return f"{outcome} (paused: {view.paused_reason})" if view.paused_reason else outcome


def _local(view: "ScheduleView", moment: datetime) -> datetime:
    from services.schedules.triggers import checked_zone

    return moment.astimezone(checked_zone(view.time_zone))


def _both(view: "ScheduleView", moment: datetime) -> str:
    return f"{_local(view, moment):%a %Y-%m-%d %H:%M %Z} ({moment:%Y-%m-%d %H:%M} UTC)"
