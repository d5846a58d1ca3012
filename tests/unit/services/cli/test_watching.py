"""``--watch``: drawn again until nothing more can change, or Ctrl-C."""

import io
import sys

import pytest

from services.cli.watching import watch


class Terminal(io.StringIO):
    def isatty(self):
        return True


def drawing(*frames):
    """A drawing of one frame after the other, and how often it was asked to wait."""
    left = list(frames)
    waited = []

    def draw():
        print(left.pop(0))
        return bool(left)

    return draw, waited


def test_a_pipe_gets_what_is_new_until_the_end(capsys):
    draw, waited = drawing("1 of 2", "1 of 2", "2 of 2")
    watch(draw, pause=waited.append)
    assert capsys.readouterr().out == "1 of 2\n2 of 2\n"
    assert len(waited) == 2


def test_without_watching_it_is_drawn_once(capsys):
    draw, waited = drawing("1 of 2", "2 of 2")
    watch(draw, once=True, pause=waited.append)
    assert capsys.readouterr().out == "1 of 2\n"
    assert waited == []


def test_a_terminal_is_drawn_over_in_place_and_lines_that_are_gone_are_wiped(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal())
    draw, waited = drawing("two\nlines", "one")
    watch(draw, pause=waited.append)
    first, second = sys.stdout.getvalue().split("\x1b[H")[1:]
    assert first == "two\x1b[K\nlines\x1b[K\n\x1b[J"
    assert second == "one\x1b[K\n\x1b[J"


def test_more_than_a_window_holds_is_cut_and_that_is_said(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("LINES", "5")
    monkeypatch.setenv("COLUMNS", "80")
    watch(drawing("\n".join(map(str, range(20))))[0])
    assert sys.stdout.getvalue().count("\n") == 4
    assert "a taller window" in sys.stdout.getvalue()


def test_ctrl_c_is_no_failure(capsys):
    def interrupted(_):
        raise KeyboardInterrupt

    draw, _ = drawing("once", "never")
    watch(draw, pause=interrupted)
    assert capsys.readouterr().out == "once\n"


@pytest.mark.parametrize(("setting", "colours"), [({}, True), ({"NO_COLOR": "1"}, False),
                                                  ({"TERM": "dumb"}, False)])  # fmt: skip
def test_colours_are_for_terminals_and_for_those_who_want_them(setting, colours):
    shown = on_terminal("quota", "plan", "--channels", "5", env=setting)
    assert "error: --channels and --videos go together" in shown
    assert ("\x1b[31m" in shown) == colours


def on_terminal(*words, env):
    """What a command writes onto a terminal that it has for all of its streams."""
    import os
    import pty
    import subprocess

    ours, theirs = pty.openpty()
    outside = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    argv = [sys.executable, "-m", "services.cli.main", *words]
    with subprocess.Popen(
        argv, env={**outside, "TERM": "xterm", **env}, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                read = os.read(ours, 4096)
            except OSError:  # the other end was closed
                break
            if not read:
                break
            shown += read
        os.close(ours)
        process.wait()
    return shown.decode().replace("\r\n", "\n")
