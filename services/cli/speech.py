"""What ``tubegrader compare speech`` prints, and how it compares on a folder."""

from pathlib import Path
from typing import Any

import typer


def compare_folder(
    folder: Path, out: Path, *, pairs: str, seeds: int, rungs: str, codecs: bool, quiet: bool
) -> dict[str, Any]:
    """Compare the rungs on a folder's clips, in this process; keep the figures in ``out``."""
    import json

    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    from services.learning.speech.folder import Request, compare

    request = Request(
        folder=folder,
        out=out,
        pairs=pairs,
        seeds=seeds,
        rungs=tuple(name.strip() for name in rungs.split(",") if name.strip()),
        codecs=codecs,
    )
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as shown:
        bar = shown.add_task("reading", total=None)
        found = compare(
            request,
            progress=lambda done, total, message: shown.update(
                bar, completed=done, total=total, description=message
            ),
        )
    file = out / "comparison.json"
    file.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", "utf-8")
    typer.echo(f"all figures are in {file}", err=True)
    return found


def print_comparison(found: dict[str, Any]) -> None:
    """Print the sentence, the rungs side by side, and where the best of them fails."""
    from services.cli.common import print_table

    typer.secho(found["sentence"], bold=True)
    typer.echo("")
    rungs = found["rungs"]
    with_unknown = any("unknown" in judged for judged in rungs.values())
    spreads = any("over_seeds" in judged for judged in rungs.values())
    columns = ["rung", "worst source", "balanced accuracy", "EER", "ECE"]
    columns += ["unknown"] * with_unknown + ["over seeds"] * spreads
    print_table(
        columns,
        [
            [
                rung,
                f"{judged['worst_source']['accuracy']:.3f} {judged['worst_source']['name']}",
                _interval(judged["balanced_accuracy"]),
                _interval(judged["equal_error_rate"]),
                f"{judged['ece']:.3f}",
                *([f"{judged['unknown']:.0%}"] if with_unknown else []),
                *([_spread(judged["over_seeds"]["balanced_accuracy"])] if spreads else []),
            ]
            for rung, judged in rungs.items()
        ],
    )
    best = max(rungs, key=lambda rung: rungs[rung]["balanced_accuracy"]["value"])
    typer.echo(f"\n{best} in detail (confusion: truth → answer)")
    (en_en, en_zh), (zh_en, zh_zh) = rungs[best]["confusion"]
    typer.echo(f"  en → en {en_en}, en → zh {en_zh}; zh → en {zh_en}, zh → zh {zh_zh}")
    _print_slices(rungs, best)
    typer.echo(_told(found))


def _print_slices(rungs: dict[str, Any], best: str) -> None:
    """Print each slice's accuracy, all rungs side by side, the best one's worst first."""
    from services.cli.common import print_table

    for kind, title in (
        ("by_source", "source"),
        ("by_length", "length"),
        ("by_codec", "codec"),
        ("by_snr", "SNR"),
    ):
        parts = sorted(rungs[best][kind], key=lambda part: part["accuracy"])
        if not parts:
            continue
        by_name = {
            rung: {part["name"]: part["accuracy"] for part in judged[kind]}
            for rung, judged in rungs.items()
        }
        typer.echo("")
        print_table(
            [title, "n", *rungs],
            [
                [part["name"], part["n"], *(f"{by_name[r][part['name']]:.3f}" for r in rungs)]
                for part in parts
            ],
            right=["n", *rungs],
        )
    degraded = {rung: judged.get("by_degradation", {}) for rung, judged in rungs.items()}
    if degraded[best]:
        typer.echo("")
        print_table(
            ["through", *rungs],
            [
                [name.removeprefix("codec-"), *(f"{degraded[r][name]:+.3f}" for r in rungs)]
                for name in degraded[best]
            ],
            right=list(rungs),
        )


def _told(found: dict[str, Any]) -> str:
    """Say what was judged, and how."""
    if "folder" in found:
        return (
            f"\n{found['n_clips']} clips of {found['n_speakers']} speakers from "
            f"{found['n_sources']} sources; {found['n_pairs']} pairs of an English and a Chinese "
            f"source, each left out of training together, {found['seeds']} seeds. "
            "[ ] is the 95 % interval by speaker."
        )
    return (
        f"\n{found['n_segments']} segments of {found['n_speakers']} speakers from "
        f"{found['n_sources']} sources, each judged by a training that heard neither. "
        "[ ] is the 95 % interval by speaker."
    )


def _interval(value: dict[str, float | None] | float) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if value["low"] is None:
        return f"{value['value']:.3f}"
    return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"


def _spread(value: dict[str, float]) -> str:
    return f"{value['mean']:.3f} ± {value['deviation']:.3f}"
