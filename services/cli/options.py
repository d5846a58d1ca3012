"""Options and arguments that several commands take, each declared once."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing; say what would be.")]
Watch = Annotated[
    bool, typer.Option("--watch", help="Draw it again every two seconds; Ctrl-C ends that.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Wait = Annotated[bool, typer.Option(help="Wait until it is done.")]
ChannelFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--from",
        help="Plain lines, CSV, OPML, HTML or JSON; - is stdin. May be given again.",
        metavar="FILE",
    ),
]

MOST_VIEWS = 1e12
"""A day; more than anything ever gets, and a number."""
LARGEST_SEED = 2**32 - 1
"""The largest that every generator of random numbers takes."""


class Task(StrEnum):
    """What is learned from."""

    thumbnails = "thumbnails"
    speech = "speech"


class VideosCommand(TyperCommand):
    """A command that takes videos, whose ids may begin with a dash as options do."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse arguments; what has a video id's form and is no option is one."""
        from services.youtube.identifiers import is_video_id

        takes_value = {
            name: not getattr(option, "is_flag", True)
            for option in self.params
            for name in option.opts
        }
        meant: list[str] = []
        for at, arg in enumerate(args):
            if arg == "--":
                return super().parse_args(ctx, meant + args[at:])
            is_value = at > 0 and takes_value.get(args[at - 1], False)
            is_video = arg.startswith("-") and is_video_id(arg) and arg not in takes_value
            meant.append(f"https://youtu.be/{arg}" if is_video and not is_value else arg)
        return super().parse_args(ctx, meant)
