"""How soon `tubegrader thumbnails grade` answers with the pretrained network, and before it did.

Each release learns from the same channels in a home of its own: models are refused where pictures
are measured otherwise than they were for them. Every answer is a process's first; the servers are
up, as in a home that is in use.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.before import SCORING, run_python, source_of
from benchmarks.measure import Measurement, Median, interleaved
from tests.support import grading

CHANNELS, EACH = 30, 3
ROUNDS = 5
PICTURE = "candidate.png"
LEARN = f"""
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from ml.thumbnails.backbones.weights import load_backbone
from services import embedded
from services.context import Context
from services.settings import Settings
from tests.support import grading, report
settings = Settings(home=Path(sys.argv[1]))
with (
    embedded.stack(settings, durable=False) as endpoints,
    closing(Context(endpoints.applied_to(settings), lambda: grading.NOW)) as context,
):
    grading.store_channels(context, effect=0.8, count={CHANNELS}, each={EACH})
    pretrained = replace(grading.SMALL, backbone=True, weights=load_backbone().sha256)
    report.learn(context, config=pretrained)
"""
COMMAND = "from services.cli.main import main; main()"
UP = """
import sys
from pathlib import Path
from services import embedded
from services.settings import Settings
with embedded.stack(Settings(home=Path(sys.argv[1])), durable=False):
    print("up", flush=True)
    sys.stdin.read()
"""


def measure(*, full: bool) -> list[Measurement]:
    """Have both releases grade a picture in turn, each time in a new process."""
    del full
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        place = Path(folder)
        pixels = grading.picture(light=0.4, seed=77, size=(1280, 720))
        (place / PICTURE).write_bytes(grading.encoded(pixels, "PNG"))
        old = stack.enter_context(source_of(SCORING))
        before = _Release(old, place / "before", place, ["grade"])
        now = _Release(Path(__file__).parents[1], place / "now", place, ["thumbnails", "grade"])
        for release in (before, now):
            stack.enter_context(release.up())
        interleaved([before.answer, now.answer], rounds=ROUNDS)
    return _measurements(before, now)


@dataclass
class _Release:
    """A release with its home, and what its answers took, the first of all included.

    Attributes:
        source: Its program.
        home: Its home, which is made.
        place: Where the picture lies.
        command: What grades.
        firsts: Seconds until a picture's grade was read.
        wholes: Seconds until the process had ended.
        processors: Seconds of processors that the process had; the servers' are not counted.
    """

    source: Path
    home: Path
    place: Path
    command: Sequence[str]
    firsts: list[float] = field(default_factory=list)
    wholes: list[float] = field(default_factory=list)
    processors: list[float] = field(default_factory=list)

    @contextmanager
    def up(self) -> Iterator[None]:
        """Have it learn, and its servers up while the block runs."""
        run_python(self.source, ["-c", LEARN, str(self.home)])
        with subprocess.Popen(
            [sys.executable, "-c", UP, str(self.home)],
            cwd=self.source,
            env=self._environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as servers:
            assert servers.stdout is not None
            assert servers.stdout.readline() == b"up\n"
            yield
            servers.communicate()

    def answer(self) -> float:
        """Grade in a new process; return how long it took to the first answer."""
        options = ["--subscribers", str(grading.SUBSCRIBERS)]
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *self.command, PICTURE, *options],
            cwd=self.place,
            env=self._environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        with process.stdout as lines:
            first = next(
                time.perf_counter() - started for line in lines if line.startswith(PICTURE)
            )
            lines.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        self.firsts.append(first)
        self.wholes.append(time.perf_counter() - started)
        self.processors.append(used.ru_utime + used.ru_stime)
        return first

    def _environment(self) -> Mapping[str, str]:
        here = {"PYTHONPATH": str(self.source), "TUBEGRADER_HOME": str(self.home)}
        return {**os.environ, **here}


def _measurements(before: _Release, now: _Release) -> list[Measurement]:
    """Hold all answers but the first of either against each other, and these two."""
    firsts, wholes, processors = (
        tuple(Median(each[1:]) for each in pair)
        for pair in (
            (before.firsts, now.firsts),
            (before.wholes, now.wholes),
            (before.processors, now.processors),
        )
    )
    return [
        _measured("a grade's first answer, in a new process", *firsts, at_most=1 / 3),
        _measured("all that a grade says, in a new process", *wholes),
        _measured("all that a grade says, processor", *processors, unit="CPU s"),
        _measured("the first answer that a home ever gives", before.firsts[0], now.firsts[0]),
    ]


def _measured(
    what: str, before: float, now: float, *, unit: str = "s", at_most: float | None = None
) -> Measurement:
    return Measurement(
        what,
        f"{now:.1f} {unit}",
        f"the release before, {before:.1f} {unit}",
        now / before,
        at_most=at_most,
    )
