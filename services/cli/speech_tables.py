"""How a comparison of speech models looks in a terminal: headline first, a table a question."""

from collections.abc import Mapping, Sequence
from typing import Any

import typer

from services.cli.common import interval
from services.cli.tables import print_table
from services.learning.speech.best import best_of

Models = Mapping[str, Mapping[str, Any]]
"""What was found of each model, by name."""
WORST_PAIRS = 5


def print_comparison(found: Mapping[str, Any]) -> None:
    """Print the sentence, the models side by side, and where the best of them fails."""
    models: Models = found["rungs"]
    best = best_of(models)
    typer.secho(found["sentence"], bold=True)
    _headline(models, found.get("beyond_reference", {}))
    if found.get("seeds", 1) > 1:
        _seeds(models)
    _best(models, best)
    _slices(models, best)
    _pairs(models, best)
    _codecs(models, best)
    _unknown(models)
    _probe(models)
    _by_speaker(models)
    _curve(models, best)
    typer.echo(f"\n{_judged(found)}")
    for name, why in found.get("left_out", {}).items():
        typer.echo(f"{name} is left out: {why}")


def _headline(models: Models, beyond: Mapping[str, Mapping[str, float | None]]) -> None:
    _table(
        "",
        [
            "model",
            "worst source",
            "balanced accuracy",
            f"beyond {_reference(models, beyond)}",
            "EER",
            "ECE",
        ],
        [
            [
                name,
                f"{_share(evaluated['worst_source'])} {evaluated['worst_source']['name']}",
                interval(evaluated["balanced_accuracy"]),
                interval(beyond[name], "+") if name in beyond else "",
                interval(evaluated["equal_error_rate"]),
                f"{evaluated['ece']:.3f}",
            ]
            for name, evaluated in models.items()
        ],
    )


def _reference(models: Models, beyond: Mapping[str, object]) -> str:
    """Name the model that the others are held against: it alone has no difference to it."""
    return next((name for name in models if beyond and name not in beyond), "the reference")


def _seeds(models: Models) -> None:
    _table(
        "Over seeds: mean ± deviation, lowest to highest",
        ["model", "balanced accuracy", "worst source"],
        [
            [name, _spread(over["balanced_accuracy"]), _spread(over["worst_source"])]
            for name, over in (
                (name, evaluated["over_seeds"]) for name, evaluated in models.items()
            )
        ],
    )


def _best(models: Models, best: str) -> None:
    """Print confusion, calibration and sources of the best model."""
    evaluated = models[best]
    (en_en, en_zh), (zh_en, zh_zh) = evaluated["confusion"]
    typer.echo(f"\n{best} in detail (confusion: truth → answer)")
    typer.echo(f"  en → en {en_en}, en → zh {en_zh}; zh → en {zh_en}, zh → zh {zh_zh}")
    _table(
        f"Calibration of {best}: how often it was Chinese where it was predicted",
        ["predicted", "observed", "n"],
        [
            [f"{b['predicted']:.3f}", f"{b['observed']:.3f}", b["n"]]
            for b in evaluated["reliability"]
        ],
        right=["predicted", "observed", "n"],
    )
    if "low" not in evaluated["worst_source"]:
        return  # recorded before slices had intervals
    _table(
        f"Each source as {best} tells it where it was left out",
        ["source", "n", "speakers", "told right", "drawn", "EER", "ECE"],
        [
            [
                part["name"],
                part["n"],
                part["n_speakers"],
                _share(part),
                part["drawn"],
                f"{part['equal_error_rate']:.3f}",
                f"{part['ece']:.3f}",
            ]
            for part in sorted(evaluated["by_source"], key=lambda part: part["accuracy"])
        ],
        right=["n", "speakers", "EER", "ECE"],
    )
    typer.echo(
        "The interval draws speakers anew; where one speaker is all there is, clips, and then it "
        "says nothing of other speakers. One without width says that none was told wrong. EER is "
        "against all clips of the other language."
    )


def _slices(models: Models, best: str) -> None:
    """Print each slice's accuracy, all models side by side, the best one's worst first."""
    for kind, title in (
        ("by_source", "source"),
        ("by_length", "length"),
        ("by_codec", "codec"),
        ("by_snr", "SNR"),
    ):
        if kind == "by_source" and len(models) == 1 and "low" in models[best]["worst_source"]:
            continue  # shown already
        parts = sorted(models[best][kind], key=lambda part: part["accuracy"])
        by_name = {
            name: {part["name"]: part["accuracy"] for part in evaluated[kind]}
            for name, evaluated in models.items()
        }
        _table(
            f"Told right by {title}",
            [title, "n", *models],
            [
                [part["name"], part["n"], *(f"{by_name[r][part['name']]:.3f}" for r in models)]
                for part in parts
            ],
            right=["n", *models],
        )


def _pairs(models: Models, best: str) -> None:
    pairs = models[best].get("by_pair", [])
    by_pair = {
        name: {pair["pair"]: pair["accuracy"] for pair in evaluated.get("by_pair", [])}
        for name, evaluated in models.items()
    }
    _table(
        f"The pairs of sources that {best} tells worst, {min(WORST_PAIRS, len(pairs))} of "
        f"{len(pairs)}",
        ["left out together", *models],
        [
            [pair["pair"], *(f"{by_pair[name][pair['pair']]:.3f}" for name in models)]
            for pair in pairs[:WORST_PAIRS]
        ],
        right=list(models),
    )


def _codecs(models: Models, best: str) -> None:
    degraded = {name: evaluated.get("by_degradation", {}) for name, evaluated in models.items()}
    _table(
        "Balanced accuracy through a codec, less that of the clips as they come",
        ["through", *models, f"interval of {best}"],
        [
            [
                codec,
                *(f"{degraded[name][codec]['value']:+.3f}" for name in models),
                interval(degraded[best][codec], "+").partition(" ")[2],
            ]
            for codec in degraded[best]
        ],
        right=list(models),
    )


def _unknown(models: Models) -> None:
    """Print how much of what is and what is no speech is called unknown."""
    kinds = {name: evaluated.get("nonspeech_unknown", {}) for name, evaluated in models.items()}
    drawn = dict.fromkeys(kind for found in kinds.values() for kind in found)
    rows: list[list[object]] = [
        [f"{kind}, drawn", *(_percent(kinds[name].get(kind)) for name in models)] for kind in drawn
    ]
    for title, key in (("speech", "unknown"), ("speech, by the detector alone", "speech_heard")):
        values = [evaluated.get(key) for evaluated in models.values()]
        if key == "speech_heard":
            values = [None if value is None else 1 - value for value in values]
        if any(value is not None for value in values):
            rows.append([title, *map(_percent, values)])
    _table("Called unknown", ["sound", *models], rows, right=list(models))


def _probe(models: Models) -> None:
    _table(
        "Whether the embedding knows the source: share of clips whose source a probe names",
        ["model", "en", "chance", "zh", "chance"],
        [
            [name, *(cell for language in ("en", "zh") for cell in _probed(evaluated, language))]
            for name, evaluated in models.items()
            if evaluated.get("source_probe")
        ],
    )


def _probed(evaluated: Mapping[str, Any], language: str) -> tuple[str, str]:
    found = evaluated["source_probe"].get(language)
    return ("", "") if found is None else (f"{found['accuracy']:.3f}", f"{found['chance']:.3f}")


def _by_speaker(models: Models) -> None:
    _table(
        "Sources whose speakers speak both languages, by speaker",
        ["model", "balanced accuracy", "EER", "ECE"],
        [
            [
                name,
                interval(evaluated["by_speaker"]["balanced_accuracy"]),
                interval(evaluated["by_speaker"]["equal_error_rate"]),
                f"{evaluated['by_speaker']['ece']:.3f}",
            ]
            for name, evaluated in models.items()
            if "by_speaker" in evaluated
        ],
    )


def _curve(models: Models, best: str) -> None:
    curves = {name: evaluated.get("curve", []) for name, evaluated in models.items()}
    _table(
        "With less to learn from",
        ["learned from", "clips", *models],
        [
            [
                point["name"],
                f"{point['training_clips']:.0f}",
                *(interval(curves[name][place]["balanced_accuracy"]) for name in models),
            ]
            for place, point in enumerate(curves[best])
        ],
        right=["clips"],
    )


def _judged(found: Mapping[str, Any]) -> str:
    """Say what was evaluated, and how."""
    if "folder" in found:
        planned = found["n_pairs_planned"]
        of = "" if found["n_pairs"] == planned else f" of {planned}"
        seeds = "1 seed" if found["seeds"] == 1 else f"{found['seeds']} seeds"
        return (
            f"{found['n_clips']} clips of {found['n_speakers']} speakers from "
            f"{found['n_sources']} sources; {found['n_pairs']}{of} pairs of an English and a "
            f"Chinese source, each left out of training together, {seeds}. "
            "[ ] is the 95 % interval by speaker."
        )
    return (
        f"{found['n_segments']} segments of {found['n_speakers']} speakers from "
        f"{found['n_sources']} sources, each scored by a training that has seen neither. "
        "[ ] is the 95 % interval by speaker."
    )


def _table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[str] = ()
) -> None:
    """Print a table under its title; nothing where there are no rows."""
    if rows:
        typer.echo(f"\n{title}" if title else "")
        print_table(columns, rows, right=right)


def _share(part: Mapping[str, Any]) -> str:
    """Return a slice's accuracy with its interval, if it has one."""
    if part.get("low") is None:
        return f"{part['accuracy']:.3f}"
    return f"{part['accuracy']:.3f} [{part['low']:.3f}, {part['high']:.3f}]"


def _spread(value: Mapping[str, float]) -> str:
    return (
        f"{value['mean']:.3f} ± {value['deviation']:.3f}, "
        f"{value['lowest']:.3f} to {value['highest']:.3f}"
    )


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"
