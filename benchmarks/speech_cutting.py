"""Speech out of files: how fast it is decoded and cut, and what a long file takes of memory."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks import place
from benchmarks.measure import Figure, interleaved, timed
from ml.audio import AudioFacts, CutPolicy, cut, decoded, examine, probe
from tests.support import sound

SHORT_S, ROUNDS = 180, 3
TIMES_LONGER = 60
"""Three hours instead of three minutes."""
PEAK_OF = {
    "decoding": "for block in decoded(path): pass",
    "cutting": "for one in cut(path, CutPolicy(examined_s=None if full else 1_200)): pass",
}


def measure(*, full: bool) -> list[Figure]:
    """Decode and cut one file in turn; then measure processes that do so with a long one."""
    with place.folder() as folder:
        speech = sound.voiced(SHORT_S, rate=48_000)
        opus = sound.encode(folder / "x.webm", speech, "libopus", rate=48_000)
        short = sound.encode(
            folder / "x.mp3", speech, "libmp3lame", rate=48_000,
            options={"write_xing": "0", "id3v2_version": "0"},
        )  # fmt: skip
        long = _repeated(short)
        assert _duration_s(probe(long)) > 0.99 * SHORT_S * TIMES_LONGER
        return [_speed(opus), *(_memory(work, short, long, full=full) for work in PEAK_OF)]


def _speed(path: Path) -> Figure:
    policy = CutPolicy(seconds_wanted=None)
    sides = (
        lambda: timed(lambda: list(decoded(path))),
        lambda: timed(lambda: examine(path, policy)),
        lambda: timed(lambda: list(cut(path, policy))),
    )
    decoding, examining, cutting = (SHORT_S / s for s in interleaved(sides, rounds=ROUNDS))
    return Figure(
        "opus → decode → speech activity → segments",
        f"{cutting:,.0f} × realtime (activity found: {examining:,.0f} ×)",
        f"decode alone, {decoding:,.0f} × realtime",
        cutting / decoding,
    )


def _memory(work: str, short: Path, long: Path, *, full: bool) -> Figure:
    few, many = (_peak_megabytes(work, path, full=full) for path in (short, long))
    return Figure(
        f"peak memory of {work} 3 hours",
        f"{many:.0f} MB",
        f"the same of 3 minutes, {few:.0f} MB",
        many / few,
        at_most=1.15,
    )


def _peak_megabytes(work: str, path: Path, *, full: bool) -> float:
    """Return the largest resident set of a process that does the work and nothing else.

    The kernel's mark for the program itself: `ru_maxrss` begins with the size of who started it.
    """
    code = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from ml.audio import CutPolicy, cut, decoded\n"
        "path, full = Path(sys.argv[1]), json.loads(sys.argv[2])\n"
        f"{PEAK_OF[work]}\n"
        "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])\n"
    )
    argv = [sys.executable, "-c", code, str(path), json.dumps(full)]
    said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    return int(said) / 1024


def _repeated(path: Path) -> Path:
    """Return the file many times over: MP3 frames need no header before them."""
    long = path.with_name(f"long{path.suffix}")
    data = path.read_bytes()
    with long.open("wb") as file:
        for _ in range(TIMES_LONGER):
            file.write(data)
    return long


def _duration_s(facts: AudioFacts) -> float:
    assert facts.duration_s is not None
    return facts.duration_s
