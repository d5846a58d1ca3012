"""Options and arguments that several commands take, each declared once."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Wait = Annotated[bool, typer.Option(help="Wait until it is done.")]
ChannelFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--from",
        help="Plain lines, CSV or OPML; - is stdin. May be given again.",
        metavar="FILE",
    ),
]


class Task(StrEnum):
    """What is learned from."""

    thumbnails = "thumbnails"
    speech = "speech"
