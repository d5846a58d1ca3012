"""How a comparison of speech models looks in a terminal: headline first, a table a question."""

from collections.abc import Mapping, Sequence
from typing import Any

import typer

from services.cli.common import interval
from services.learning.speech.best import best_of

Rungs = Mapping[str, Mapping[str, Any]]
"""What was found of each model, by name."""
WORST_PAIRS = 5
REFERENCE = "spectrogram_cnn"


def print_comparison(found: Mapping[str, Any]) -> None:
    """Print the sentence, the rungs side by side, and where the best of them fails."""
    rungs: Rungs = found["rungs"]
    best = best_of(rungs)
    typer.secho(found["sentence"], bold=True)
    _headline(rungs, found.get("beyond_reference", {}))
    if found.get("seeds", 1) > 1:
        _seeds(rungs)
    _best(rungs, best)
    _slices(rungs, best)
    _pairs(rungs, best)
    _codecs(rungs, best)
    _unknown(rungs)
    _probe(rungs)
    _by_speaker(rungs)
    _curve(rungs, best)
    typer.echo(f"\n{_judged(found)}")
    for name, why in found.get("left_out", {}).items():
        typer.echo(f"{name} is left out: {why}")


def _headline(rungs: Rungs, beyond: Mapping[str, Mapping[str, float | None]]) -> None:
    _table(
        "",
        ["rung", "worst source", "balanced accuracy", f"beyond {REFERENCE}", "EER", "ECE"],
        [
            [
                rung,
                f"{_share(judged['worst_source'])} {judged['worst_source']['name']}",
                interval(judged["balanced_accuracy"]),
                interval(beyond[rung], "+") if rung in beyond else "",
                interval(judged["equal_error_rate"]),
                f"{judged['ece']:.3f}",
            ]
            for rung, judged in rungs.items()
        ],
    )


def _seeds(rungs: Rungs) -> None:
    _table(
        "Over seeds: mean ± deviation, lowest to highest",
        ["rung", "balanced accuracy", "worst source"],
        [
            [rung, _spread(over["balanced_accuracy"]), _spread(over["worst_source"])]
            for rung, over in ((rung, judged["over_seeds"]) for rung, judged in rungs.items())
        ],
    )


def _best(rungs: Rungs, best: str) -> None:
    """Print confusion, calibration and sources of the best model."""
    judged = rungs[best]
    (en_en, en_zh), (zh_en, zh_zh) = judged["confusion"]
    typer.echo(f"\n{best} in detail (confusion: truth → answer)")
    typer.echo(f"  en → en {en_en}, en → zh {en_zh}; zh → en {zh_en}, zh → zh {zh_zh}")
    _table(
        f"Calibration of {best}: how often it was Chinese where it said so",
        ["predicted", "observed", "n"],
        [[f"{b['predicted']:.3f}", f"{b['observed']:.3f}", b["n"]] for b in judged["reliability"]],
        right=["predicted", "observed", "n"],
    )
    if "low" not in judged["worst_source"]:
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
            for part in sorted(judged["by_source"], key=lambda part: part["accuracy"])
        ],
        right=["n", "speakers", "EER", "ECE"],
    )
    typer.echo(
        "The interval draws speakers anew; where one speaker is all there is, clips, and then it "
        "says nothing of other speakers. One without width says that none was told wrong. EER is "
        "against all clips of the other language."
    )


def _slices(rungs: Rungs, best: str) -> None:
    """Print each slice's accuracy, all rungs side by side, the best one's worst first."""
    for kind, title in (
        ("by_source", "source"),
        ("by_length", "length"),
        ("by_codec", "codec"),
        ("by_snr", "SNR"),
    ):
        if kind == "by_source" and len(rungs) == 1 and "low" in rungs[best]["worst_source"]:
            continue  # shown already
        parts = sorted(rungs[best][kind], key=lambda part: part["accuracy"])
        by_name = {
            rung: {part["name"]: part["accuracy"] for part in judged[kind]}
            for rung, judged in rungs.items()
        }
        _table(
            f"Told right by {title}",
            [title, "n", *rungs],
            [
                [part["name"], part["n"], *(f"{by_name[r][part['name']]:.3f}" for r in rungs)]
                for part in parts
            ],
            right=["n", *rungs],
        )


def _pairs(rungs: Rungs, best: str) -> None:
    pairs = rungs[best].get("by_pair", [])
    by_pair = {
        rung: {pair["pair"]: pair["accuracy"] for pair in judged.get("by_pair", [])}
        for rung, judged in rungs.items()
    }
    _table(
        f"The pairs of sources that {best} tells worst, {min(WORST_PAIRS, len(pairs))} of "
        f"{len(pairs)}",
        ["left out together", *rungs],
        [
            [pair["pair"], *(f"{by_pair[rung][pair['pair']]:.3f}" for rung in rungs)]
            for pair in pairs[:WORST_PAIRS]
        ],
        right=list(rungs),
    )


def _codecs(rungs: Rungs, best: str) -> None:
    degraded = {rung: judged.get("by_degradation", {}) for rung, judged in rungs.items()}
    _table(
        "Balanced accuracy through a codec, less that of the clips as they come",
        ["through", *rungs, f"interval of {best}"],
        [
            [
                codec,
                *(f"{degraded[rung][codec]['value']:+.3f}" for rung in rungs),
                interval(degraded[best][codec], "+").partition(" ")[2],
            ]
            for codec in degraded[best]
        ],
        right=list(rungs),
    )


def _unknown(rungs: Rungs) -> None:
    """Print how much of what is and what is no speech is called unknown."""
    kinds = {rung: judged.get("nonspeech_unknown", {}) for rung, judged in rungs.items()}
    drawn = dict.fromkeys(kind for found in kinds.values() for kind in found)
    rows: list[list[object]] = [
        [f"{kind}, drawn", *(_percent(kinds[rung].get(kind)) for rung in rungs)] for kind in drawn
    ]
    for title, key in (("speech", "unknown"), ("speech, by the gate alone", "speech_heard")):
        values = [judged.get(key) for judged in rungs.values()]
        if key == "speech_heard":
            values = [None if value is None else 1 - value for value in values]
        if any(value is not None for value in values):
            rows.append([title, *map(_percent, values)])
    _table("Called unknown", ["sound", *rungs], rows, right=list(rungs))


def _probe(rungs: Rungs) -> None:
    _table(
        "Whether the embedding knows the source: share of clips whose source a probe names",
        ["rung", "en", "chance", "zh", "chance"],
        [
            [rung, *(cell for language in ("en", "zh") for cell in _probed(judged, language))]
            for rung, judged in rungs.items()
            if judged.get("source_probe")
        ],
    )


def _probed(judged: Mapping[str, Any], language: str) -> tuple[str, str]:
    found = judged["source_probe"].get(language)
    return ("", "") if found is None else (f"{found['accuracy']:.3f}", f"{found['chance']:.3f}")


def _by_speaker(rungs: Rungs) -> None:
    _table(
        "Sources whose speakers speak both languages, by speaker",
        ["rung", "balanced accuracy", "EER", "ECE"],
        [
            [
                rung,
                interval(judged["by_speaker"]["balanced_accuracy"]),
                interval(judged["by_speaker"]["equal_error_rate"]),
                f"{judged['by_speaker']['ece']:.3f}",
            ]
            for rung, judged in rungs.items()
            if "by_speaker" in judged
        ],
    )


def _curve(rungs: Rungs, best: str) -> None:
    curves = {rung: judged.get("curve", []) for rung, judged in rungs.items()}
    _table(
        "With less to learn from",
        ["learned from", "clips", *rungs],
        [
            [
                point["name"],
                f"{point['training_clips']:.0f}",
                *(interval(curves[rung][place]["balanced_accuracy"]) for rung in rungs),
            ]
            for place, point in enumerate(curves[best])
        ],
        right=["clips"],
    )


def _judged(found: Mapping[str, Any]) -> str:
    """Say what was judged, and how."""
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
        f"{found['n_sources']} sources, each judged by a training that heard neither. "
        "[ ] is the 95 % interval by speaker."
    )


def _table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[str] = ()
) -> None:
    """Print a table under its title; nothing where there are no rows."""
    from services.cli.common import print_table

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
