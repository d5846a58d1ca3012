"""``tubegrader audio classify``: which language is spoken in files."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli import remote
from services.cli.common import open_context, print_json
from services.cli.options import AsJson

if TYPE_CHECKING:
    from rich.text import Text

    from services.learning.speech.classifier import ChosenModel
    from services.learning.speech.detection import ClassifiedFile, UnreadableFile

BAR = 30
"""Cells of a timeline."""
SHOWN = {"en": ("█", "blue"), "zh": ("▒", "red"), "unknown": ("░", "yellow")}
"""Letters as well as colours: who sees no colour, or reads a log, sees the same."""
QUIET = "·"
MANY_FILES = "-"
ANY_NAME = {"ignore_unknown_options": True}
"""What begins with a dash may be a file; the command looks."""


def language(
    files: Annotated[
        list[str], typer.Argument(help="Audio or video files; - reads a list from stdin.")
    ],
    kind: Annotated[
        str | None,
        typer.Option(help="Which kind of model; the champion if left out, or the best one."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="A folder with a saved model, or a version in the registry, such as 3."),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="A folder with a Whisper of your own, converted for CTranslate2."),
    ] = None,
    rung: Annotated[str | None, typer.Option(hidden=True)] = None,
    segments: Annotated[
        bool, typer.Option("--segments", help="Print each stretch of speech, too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tell English from Chinese speech in audio and video files.

    A file that cannot be used is named with the reason, and the others go on; the exit code is
    then 1.
    """
    paths = _paths(files)
    there = remote.home()
    if there is not None:
        from services.cli import language_there

        if (kind or rung or model or weights) is not None or segments:
            remote.refuse("choosing a model, or listing segments,")
        if language_there.classify(there, paths, as_json=as_json):
            raise typer.Exit(1)
        return
    with _needed_packages():
        import torchaudio  # noqa: F401 - what computes features; named here if it is missing

        from services.learning.speech.detection import (
            ClassifiedFile,
            UnreadableFile,
            detect_language,
        )

    chosen = _model(kind or rung, model, weights)
    with _progress(len(paths), quiet=as_json) as begin:
        found = [detect_language(path, chosen.classifier, progress=begin(path)) for path in paths]
    failed = sum(isinstance(one, UnreadableFile) for one in found)
    if as_json:
        described = {"rung": chosen.name, "version": chosen.version}
        print_json({"model": described, "failed": failed, "files": [f.as_json() for f in found]})
    else:
        classified = [one for one in found if isinstance(one, ClassifiedFile)]
        _print_files(found)
        _print_notes(classified)
        if segments:
            _print_segments(classified)
        _print_legend(chosen, failed, len(found))
    if failed:
        raise typer.Exit(1)


def _paths(files: list[str]) -> list[Path]:
    """Return the requested files, those on stdin in the place of ``-``."""
    import os
    import sys

    from services.errors import UsageError

    found: list[str] = []
    for name in files:
        if name == MANY_FILES:
            # Bytes, because a name may be any; find -print0 separates them by zeros.
            found += map(os.fsdecode, _listed(sys.stdin.buffer.read()))
        elif name.startswith("-") and "--" not in sys.argv and not os.path.lexists(name):
            raise UsageError(
                f"there is no option {name}, and no file of that name",
                hint="--help lists the options; names of files that begin with a dash go after --",
            )
        else:
            found.append(name)
    if not found:
        raise UsageError("no file was named", hint="ls *.mp3 | tubegrader audio classify -")
    return [Path(name) for name in found]


def _listed(content: bytes) -> list[bytes]:
    """Return the names of a list, each exactly: between zeros, or one a line."""
    if b"\0" in content:
        return [name for name in content.split(b"\0") if name]
    lines = [line for line in content.split(b"\n") if line.strip()]
    is_of_windows = all(line.endswith(b"\r") for line in lines)
    return [line.removesuffix(b"\r") if is_of_windows else line for line in lines]


@contextmanager
def _needed_packages() -> Iterator[None]:
    from services.errors import UsageError

    try:
        yield
    except ImportError as error:
        raise UsageError(
            f"telling the language needs a package that is not there: {error.name or error}",
            hint="pip install 'tubegrader[speech,learning]'",
            reason="packageMissing",
        ) from error


def _model(kind: str | None, model: str | None, weights: Path | None) -> "ChosenModel":
    from services.errors import UsageError
    from services.learning.speech.classifier import (
        WHISPER,
        from_folder,
        from_registry,
        from_weights,
    )
    from services.settings import Settings

    if weights is not None or kind == WHISPER:
        if model is not None or kind not in (None, WHISPER):
            raise UsageError(f"--weights is a {WHISPER} and goes with no other model")
        return from_weights(weights or Settings().speech_weights)
    version = None
    if model is not None:
        number = model.removeprefix("v")
        # A folder may be called 3; ./3 names it.
        if not (number.isascii() and number.isdecimal()):
            return from_folder(Path(model), kind=kind)
        version = int(number)
        if not 0 < version < 2**31:
            raise UsageError(f"there is no version {model}")
    with open_context() as context:
        return from_registry(context, kind=kind, version=version)


@contextmanager
def _progress(files: int, *, quiet: bool) -> "Iterator[Callable[[Path], Callable[..., None]]]":
    """Show which file is worked on and how far; only where somebody watches."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from services.learning.speech.detection import readable

    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=BAR),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    hidden = quiet or not console.is_terminal
    with Progress(*columns, console=console, disable=hidden, transient=True) as progress:
        task = progress.add_task("", total=None)
        turn = 0

        def begin(path: Path) -> Callable[[float, float], None]:
            nonlocal turn
            turn += 1
            what = escape(readable(Path(path.name)))
            progress.reset(task, total=None, description=f"{turn} of {files}: {what}")

            def advance(done_s: float, all_s: float) -> None:
                progress.update(task, completed=done_s, total=all_s)

            return advance

        yield begin


def _print_files(files: "list[ClassifiedFile | UnreadableFile]") -> None:
    from rich.text import Text

    from services.learning.speech.detection import UnreadableFile, readable

    rows: list[list[Any]] = []
    for one in files:
        name = Text(readable(one.path))
        if isinstance(one, UnreadableFile):
            rows.append([name, Text("–"), "", "", "", Text(f"{one.problem} ({one.reason})", "red")])
        else:
            rows.append(
                [
                    name,
                    Text(
                        one.prediction.language, style=f"bold {SHOWN[one.prediction.language][1]}"
                    ),
                    _sure(one),
                    f"{one.speech_share:.0%}",
                    _clock(one.seconds),
                    _timeline(one),
                ]
            )
    _print(["file", "language", "probability", "speech", "length", "timeline"], rows)


def _print_notes(files: "list[ClassifiedFile]") -> None:
    from services.learning.speech.detection import readable

    for one in files:
        for note in one.notes:
            typer.echo(f"{readable(one.path)}: {note}")


def _print_segments(files: "list[ClassifiedFile]") -> None:
    from rich.text import Text

    from services.learning.speech.detection import readable

    rows: list[list[Any]] = [
        [
            Text(readable(one.path)),
            f"{_clock(segment.start_s, tenths=True)}–{_clock(segment.end_s, tenths=True)}",
            Text(segment.prediction.language, style=SHOWN[segment.prediction.language][1]),
            f"{segment.prediction.p_en:.0%}",
            f"{segment.prediction.p_zh:.0%}",
        ]
        for one in files
        for segment in one.segments
    ]
    if rows:
        typer.echo()
        _print(["file", "from–to", "language", "English", "Chinese"], rows)


def _print_legend(chosen: "ChosenModel", failed: int, files: int) -> None:
    from services.formatting import counted

    typer.echo(
        f"\nTimeline: {SHOWN['en'][0]} English  {SHOWN['zh'][0]} Chinese  "
        f"{SHOWN['unknown'][0]} speech of which neither is sure  {QUIET} no speech.  "
        f"Model: {chosen}."
    )
    if failed:
        typer.secho(f"{failed} of {counted(files, 'file')} could not be used", fg="red", err=True)


def _sure(file: "ClassifiedFile") -> str:
    prediction = file.prediction
    if prediction.probability is not None:
        return f"{prediction.probability:.0%}"
    if not file.segments:
        return "no speech"
    likely, name = max((prediction.p_en, "en"), (prediction.p_zh, "zh"))
    return f"{name} only {likely:.0%}"


def _timeline(file: "ClassifiedFile") -> "Text":
    """Return one cell for each equal part of the file, by the language that fills most of it."""
    from rich.text import Text

    width = file.seconds / BAR
    seconds: list[dict[str, float]] = [{} for _ in range(BAR)]
    for segment in file.segments:
        last = min(BAR - 1, int(segment.end_s / width))
        for cell in range(int(segment.start_s / width), last + 1):
            within = min(segment.end_s, (cell + 1) * width) - max(segment.start_s, cell * width)
            name = segment.prediction.language
            seconds[cell][name] = seconds[cell].get(name, 0.0) + max(0.0, within)
    bar = Text()
    for spoken in seconds:
        name = max(spoken, key=lambda language: spoken[language], default="")
        if name and spoken[name] > 0:
            bar.append(*SHOWN[name])
        else:
            bar.append(QUIET, "dim")
    return bar


def _clock(seconds: float, *, tenths: bool = False) -> str:
    """Return 0:07, 12:05 or 1:02:05."""
    whole, fraction = divmod(round(seconds * 10), 10)
    if not tenths:
        whole, fraction = round(seconds), 0
    minutes, left = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"
    return f"{text}.{fraction}" if tenths else text


def _print(columns: list[str], rows: list[list[Any]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column == "timeline")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    console = Console()
    if not console.is_terminal:
        console.width = 10_000  # in a file or a pipe nothing is folded
    console.print(table)
