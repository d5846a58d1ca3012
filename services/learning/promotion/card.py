"""Model cards: what a model is for, what it learned from, how good it is and where not.

After Mitchell et al. 2019, "Model Cards for Model Reporting". A card is written from the database
and the artefact whenever it is asked for, so it tells of the decisions made since.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from db.models.learning import SPEECH, THUMBNAILS
from services.learning.promotion.facts import is_interval

PURPOSE = {
    THUMBNAILS: (
        (
            "Tells of a YouTube video how likely it reaches a number of views per day, and how "
            "many views per day to expect, from what was known before its views: so that the part "
            "that the thumbnail plays can be measured, and pictures compared before they are used."
        ),
        (
            (
                "Deciding what to pay anybody, or whom to promote: it says what goes together with "
                "views, not what causes them."
            ),
            "Single videos taken alone: the interval of one video spans a factor of several.",
            "Live or coming streams, and videos unlike those it learned from.",
        ),
    ),
    SPEECH: (
        "Tells whether a stretch of speech is English or Chinese, or neither.",
        (
            "Any third language: it was taught only what the two sound like.",
            "Telling who speaks, where somebody is from, or what is said.",
            "Deciding about people: accents and microphones that it never heard are told worse.",
        ),
    ),
}
LIMITS = {
    THUMBNAILS: (
        (
            "All figures are of channels that the models asked never saw; they say nothing about "
            "channels of another kind than those collected."
        ),
        "Subscribers are rounded down by YouTube, hidden ones are unknown.",
        (
            "What a view is has changed over the years; no label spans such a change, but labels "
            "of different years differ."
        ),
    ),
    SPEECH: (
        (
            "All figures are of sources that the training asked never heard; the worst source is "
            "the one to go by."
        ),
        "Labels come from metadata where nobody decided by hand.",
    ),
}
UNITS = {THUMBNAILS: ("videos", "channels"), SPEECH: ("segments", "speakers")}


def render(facts: Mapping[str, Any]) -> str:
    """Return a model card in Markdown, from :func:`services.learning.promotion.facts.facts_of`."""
    purpose, against = PURPOSE[facts["task"]]
    aliases = ", ".join(facts["aliases"]) or ("in use" if facts["in_use"] else "not in use")
    return "\n".join(
        [
            f"# {facts['name']}",
            "",
            f"A model of the task {facts['task']}; {aliases}. Trained {_moment(facts)}.",
            "",
            "## What it is for",
            "",
            purpose,
            "",
            "Not for:",
            "",
            *_items(against),
            "## What it learned from",
            "",
            *_data(facts),
            "## How good it is",
            "",
            *_evaluation(facts),
            "## What was decided about it",
            "",
            *_decisions(facts["decisions"]),
            "## How it was made",
            "",
            *_making(facts),
            "## Limits",
            "",
            *_items(LIMITS[facts["task"]]),
        ]
    )


def _moment(facts: Mapping[str, Any]) -> str:
    return f"{facts['trained_at'][:16].replace('T', ' ')} UTC"


def _data(facts: Mapping[str, Any]) -> list[str]:
    data = facts["dataset"]
    speech = facts["task"] == SPEECH
    rows, clusters = UNITS[facts["task"]]
    lines = [
        (
            f"Dataset `{data['dataset_id']}`: {data['rows']} {rows} of {data['clusters']} "
            f"{clusters}, as known on {data['as_of'][:16].replace('T', ' ')} UTC."
        ),
        "",
    ]
    more = data.get("more", {})
    if "unreadable" in data:
        lines += [f"Its files cannot be read: {data['unreadable']}.", ""]
    elif speech:
        spoken = ", ".join(f"{n} {name}" for name, n in more["segments_by_language"].items())
        lines += [f"{spoken}; {more['sources']} sources, {more['seconds'] / 3600:.2f} hours.", ""]
    else:
        kinds = ", ".join(more["label_kinds"])
        lines += [
            (
                f"Published from {more['published_from'][:10]} to {more['published_to'][:10]}. "
                f"{data['base_rate']:.1%} reach {data['threshold']:g} views a day (label: {kinds})."
            ),
            "",
        ]
    if sampled := data["excluded"].get("sampledOut"):
        share = data["rows"] / (data["rows"] + sampled)
        lines += [
            (
                f"A sample of whole channels, drawn by a hash of their id: {share:.0%} of what "
                "could have been learned from."
            ),
            "",
        ]
    excluded = ", ".join(f"{n} {reason}" for reason, n in sorted(data["excluded"].items()))
    return [*lines, f"Left out: {excluded or 'nothing'}.", ""]


def _evaluation(facts: Mapping[str, Any]) -> list[str]:
    found = facts["evaluation"]
    if found is None:
        return ["It was not compared yet.", ""]
    rows, clusters = UNITS[facts["task"]]
    own = found["rung"]
    figures = [(name, value) for name, value in own.items() if is_interval(value)]
    lines = [
        (
            f"Evaluated on {found['rows']} {rows} of {found['clusters']} {clusters} that the "
            f"evaluated models never saw; 95 % intervals by {clusters[:-1]}."
        ),
        "",
        *_table(["measure", "value", "interval"], [_figure(*figure) for figure in figures]),
        f"> {found['sentence']}",
        "",
    ]
    if found["slices"]:
        lines += _table(
            ["by", "part", "videos", "channels", "AUC", "R²", "Spearman"],
            [
                [
                    part["by"],
                    part["name"],
                    part["n_videos"],
                    part["n_channels"],
                    *(_number(part[name]) for name in ("auc", "r2", "spearman")),
                ]
                for part in found["slices"]
            ],
        )
    if own.get("by_source"):
        lines += _table(
            ["source", "segments", "told right"],
            [[p["name"], p["n"], _number(p["accuracy"])] for p in own["by_source"]],
        )
    return lines


def _decisions(made: Sequence[Mapping[str, Any]]) -> list[str]:
    if not made:
        return ["Nothing: it never challenged a champion and was never promoted.", ""]
    return _items(
        f"{one['decided_at'][:16].replace('T', ' ')} UTC, {one['decision']} ({one['ground']}): "
        f"{one['reason']}"
        for one in made
    )


def _making(facts: Mapping[str, Any]) -> list[str]:
    artefact = facts["artefact"]
    lines = [
        (
            f"TubeGrader {facts['code_version']}, seed {facts['seed']}. Trained together with "
            f"{', '.join(facts['ladder'])}."
        ),
        "",
    ]
    if "unreadable" in artefact:
        lines += [f"**The artefact cannot be read: {artefact['unreadable']}.**", ""]
    else:
        lines += [f"{artefact['folds']} folds; device: {artefact['device']}.", ""]
        settings = {"config": artefact["config"], "preprocessing": artefact["preprocessing"]}
        lines += _items(
            f"{kind}: {name} = `{value}`"
            for kind, values in settings.items()
            for name, value in sorted(values.items())
        )
    return [
        *lines,
        *_table(["file", "SHA-256"], [[name, f"`{sha}`"] for name, sha in facts["files"].items()]),
    ]


def _figure(name: str, value: Mapping[str, float | None]) -> list[str]:
    low, high = _number(value["low"]), _number(value["high"])
    return [name, _number(value["value"]), f"[{low}, {high}]"]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _items(lines: Iterable[str]) -> list[str]:
    return [*(f"- {line}" for line in lines), ""]


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    if not rows:
        return []

    def line(cells: Iterable[object]) -> str:
        return f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |"

    return [line(columns), line("---" for _ in columns), *(line(row) for row in rows), ""]
