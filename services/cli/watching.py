"""``--watch``: what a command shows, drawn again and again in place."""

import io
import shutil
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout

EVERY_S = 2.0
_HOME, _REST_OF_LINE, _BELOW, _ALL = "\x1b[H", "\x1b[K", "\x1b[J", "\x1b[2J"


class _Screen(io.StringIO):
    """Takes what is printed for a terminal."""

    def isatty(self) -> bool:
        return True


def watch(
    draw: Callable[[], bool], *, once: bool = False, pause: Callable[[float], None] = time.sleep
) -> None:
    """Draw until nothing more can change, or Ctrl-C, which is no failure.

    A terminal is drawn over in place. Into a file or a pipe goes what is new: nothing as long as
    nothing changed, so that JSON is one document for each change.

    Args:
        draw: Prints how things stand; returns whether they can change still.
        once: Only draw, as without ``--watch``.
        pause: Waits so many seconds.
    """
    if once:
        draw()
        return
    shown: str | None = None
    goes_on = True
    try:
        while goes_on:
            out = sys.stdout
            screen = _Screen() if out.isatty() else io.StringIO()
            with redirect_stdout(screen):
                goes_on = draw()
            drawn = screen.getvalue()
            if out.isatty():
                out.write((_ALL if shown is None else "") + _in_place(drawn))
            elif drawn != shown:
                out.write(drawn)
            out.flush()
            shown = drawn
            if goes_on:
                pause(EVERY_S)
    except KeyboardInterrupt:
        return


def _in_place(drawn: str) -> str:
    height = shutil.get_terminal_size().lines
    lines = drawn.splitlines()
    if len(lines) >= height:
        lines = [*lines[: height - 2], "… a taller window shows the rest"]
    return _HOME + "".join(f"{line}{_REST_OF_LINE}\n" for line in lines) + _BELOW
