"""``tubegrader models train``, ``score``, ``compare``, ``retrain`` and ``report``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli import remote
from services.cli.common import emit, open_context, run_job, say, wait_for, wait_there
from services.cli.learning_tables import (
    describe_night,
    describe_plan,
    describe_scoring,
    describe_training,
    print_comparison,
)
from services.cli.options import LARGEST_SEED, MOST_VIEWS, AsJson, Task, Wait

What = Annotated[Task, typer.Argument(help="What to learn from.", show_default=True)]
Backbone = Annotated[
    bool | None,
    typer.Option(
        "--backbone/--no-backbone",
        help="Learn from a pretrained network's image features too; by default where it is"
        " installed.",
    ),
]
Threshold = Annotated[
    float,
    typer.Option(min=0.001, max=MOST_VIEWS, help="Views per day that split over from under."),
]
Label = Annotated[
    str,
    typer.Option(
        help="Which views: day7, day30, week, lifetime; auto takes what enough videos have."
    ),
]
Seed = Annotated[
    int, typer.Option(min=0, max=LARGEST_SEED, help="Decides folds, first weights and order.")
]
FineTune = Annotated[
    bool,
    typer.Option("--fine-tune", help="Train that network's last stages on as well; far slower."),
]
Conflicts = Annotated[
    str,
    typer.Option(
        help="Speech whose labels contradict each other: drop it, or keep the label in force."
    ),
]


def train(
    what: What = Task.thumbnails,
    threshold: Threshold = 100.0,
    label: Label = "auto",
    seed: Seed = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Train although nothing new was collected.")
    ] = False,
    backbone: Backbone = None,
    fine_tune: FineTune = False,
    conflicts: Conflicts = "drop",
    folder: Annotated[
        Path | None,
        typer.Option(help="speech: train one model on this folder's clips.csv; no database."),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="With --folder: where the model and what it took are kept.")
    ] = Path("speech-comparison"),
    model: Annotated[
        str | None,
        typer.Option(help="With --folder: which kind; the pretrained one where it is installed."),
    ] = None,
    rung: Annotated[str | None, typer.Option(hidden=True)] = None,
    wait: Wait = True,
    as_json: AsJson = False,
) -> None:
    """Freeze a dataset of what was collected and train every rung of the ladder on it.

    Threshold, label, backbone and fine-tuning are for thumbnails, conflicts for speech.
    """
    from services.cli import speech
    from services.work import jobs

    if folder is not None:
        if what is not Task.speech:
            raise typer.BadParameter("--folder is for `train speech`")
        trained = speech.train_folder(folder, out, model=model or rung, seed=seed, quiet=as_json)
        emit(trained, lambda found: typer.echo(speech.describe_trained(found)), as_json=as_json)
        return
    params = _training_params(what, seed, threshold, label, backbone, fine_tune, conflicts)
    request = _request("train", params | ({"force": True} if force else {}))
    params["force"] = force
    run_job(
        lambda context: jobs.submit(context, "train", params),
        "training",
        describe_training,
        wait=wait,
        as_json=as_json,
        request=request,
    )


def score(
    what: What = Task.thumbnails,
    plan: Annotated[
        bool, typer.Option("--plan", help="Start nothing; say what there is to do, and how long.")
    ] = False,
    wait: Wait = True,
    as_json: AsJson = False,
) -> None:
    """Score every video, or clip of speech, that lacks a score of the models in use, or newest."""
    from services.work import jobs

    if plan:
        from services.learning import tasks

        with open_context() as context:
            found = tasks.TASKS[what.value].estimate(context)
        emit(found, lambda planned: typer.echo(describe_plan(planned)), as_json=as_json)
        return
    run_job(
        lambda context: jobs.submit(context, "score", {"task": what.value}),
        "scoring",
        describe_scoring,
        wait=wait,
        as_json=as_json,
        request={"kind": "score", "task": what.value},
    )


def compare(
    what: What = Task.thumbnails,
    folder: Annotated[
        Path | None,
        typer.Option(help="speech: compare on this folder's clips.csv instead; no database."),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="With --folder: where to keep what is finished.")
    ] = Path("speech-comparison"),
    pairs: Annotated[
        str,
        typer.Option(help="With --folder: quick leaves each source out once; all, every pair."),
    ] = "quick",
    seeds: Annotated[int, typer.Option(min=1, help="With --folder: trainings of each kind.")] = 1,
    models: Annotated[
        str, typer.Option(help="With --folder: names, with commas; all by default.")
    ] = "",
    rungs: Annotated[str, typer.Option(hidden=True)] = "",
    codecs: Annotated[
        bool, typer.Option("--codecs", help="With --folder: also through every codec.")
    ] = False,
    curve: Annotated[
        bool, typer.Option("--curve", help="With --folder: also with less to learn from.")
    ] = False,
    finished: Annotated[
        bool,
        typer.Option("--finished", help="With --folder: train nothing, evaluate what is done."),
    ] = False,
    on: Annotated[
        str | None,
        typer.Option(
            metavar="channels:FILE|tag:TAG|since:DATE",
            help="thumbnails: judge the models in use by videos that none of them was trained on.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say how well the newest models do, with intervals; of thumbnails, beyond subscribers.

    Compares the newest models if that was not done yet. With --on the models in use are judged by
    other videos than those they learned from, as they are.
    """
    from services.cli import judging, speech

    if on is not None:
        if what is not Task.thumbnails or folder is not None:
            raise typer.BadParameter("--on is for `models compare` of thumbnails, without --folder")
        judging.judge_on(on, as_json=as_json)
        return

    if folder is not None:
        if what is not Task.speech:
            raise typer.BadParameter("--folder is for `compare speech`")
        comparison = speech.compare_folder(
            folder,
            out,
            pairs=pairs,
            seeds=seeds,
            models=models or rungs,
            codecs=codecs,
            curve=curve,
            finished=finished,
            quiet=as_json,
        )
    else:
        comparison = _newest_comparison(what, quiet=as_json)
    show = speech.print_comparison if what is Task.speech else print_comparison
    emit(comparison, show, as_json=as_json)


def retrain(
    what: What = Task.thumbnails,
    threshold: Threshold = 100.0,
    label: Label = "auto",
    seed: Seed = 0,
    backbone: Backbone = None,
    fine_tune: FineTune = False,
    conflicts: Conflicts = "drop",
    wait: Wait = True,
    as_json: AsJson = False,
) -> None:
    """Do a night's work now: train, score, compare, and evaluate the best against the champion.

    One job, which goes on where it stopped. Only one of a task works at a time; another one waits.
    Threshold, label, backbone and fine-tuning are for thumbnails, conflicts for speech.
    """
    from services.work import jobs

    params = _training_params(what, seed, threshold, label, backbone, fine_tune, conflicts)
    run_job(
        lambda context: jobs.submit(context, "retrain", params),
        "retraining",
        describe_night,
        wait=wait,
        as_json=as_json,
        request=_request("retrain", params),
    )


def _newest_comparison(what: Task, *, quiet: bool) -> dict[str, Any]:
    from services.learning.results import needs_comparison, newest_comparison
    from services.work import jobs

    there = remote.home()
    if there is not None:
        path = f"/comparisons/{what.value}"
        if there.get(path)["needed"]:
            job_id = there.post("/jobs", {"kind": "compare", "task": what.value})["job_id"]
            wait_there(there, job_id, "comparing", quiet=quiet)
        found: dict[str, Any] = there.get(f"{path}/newest")
        return found
    with open_context() as context:
        if needs_comparison(context, what.value):
            with open_context(workers=True):
                job_id = jobs.submit(context, "compare", {"task": what.value})
                wait_for(context, job_id, "comparing", quiet=quiet)
        return newest_comparison(context, what.value)


def report(
    output: Annotated[Path, typer.Option("-o", "--output", help="The page to write.")] = Path(
        "tubegrader-report.html"
    ),
    as_json: AsJson = False,
) -> None:
    """Write one self-contained HTML page with pictures of the newest comparison."""
    from services.learning.report import write_report

    with open_context() as context:
        page = str(write_report(context, output.absolute()))
    say({"file": page}, page, as_json=as_json)


def _request(kind: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the HTTP API is asked for; it trains as a night does, and knows no options."""
    task = Task(params["task"])
    if params != _training_params(task, 0, 100.0, "auto", None, fine_tune=False, conflicts="drop"):
        remote.refuse("a training with options of its own")
    return {"kind": kind, "task": task.value}


def _training_params(
    what: Task,
    seed: int,
    threshold: float,
    label: str,
    backbone: bool | None,
    fine_tune: bool,
    conflicts: str,
) -> dict[str, Any]:
    """Return a job's parameters; those of the other task are left out, and what was not chosen."""
    params: dict[str, Any] = {"task": what.value, "seed": seed}
    if what is Task.speech:
        return params | {"conflicts": conflicts}
    params |= {"threshold": threshold, "label": label}
    if backbone is not None:
        params["backbone"] = backbone
    if fine_tune:
        params["fine_tune"] = True
    return params
