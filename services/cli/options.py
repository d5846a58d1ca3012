"""Options and arguments that several commands take, each declared once."""

from enum import StrEnum
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Wait = Annotated[bool, typer.Option(help="Wait until it is done.")]


class Task(StrEnum):
    """What is learned from."""

    thumbnails = "thumbnails"
    speech = "speech"
