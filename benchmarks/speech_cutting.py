"""Speech out of files: how fast it is decoded and cut, and what a long file takes of memory."""

from pathlib import Path

from benchmarks import place
from benchmarks.measure import Measurement, interleaved, timed
from ml.audio import AudioFacts, CutPolicy, cut, decoded, examine, probe
from tests.support import sound
from tests.support.language import trained_model
from tests.support.memory import peak_megabytes

SHORT_S, ROUNDS = 180, 3
TIMES_LONGER = 60
"""Three hours instead of three minutes."""
PEAK_OF = {
    "decoding": """
from ml.audio import decoded
for block in decoded(Path(sys.argv[1])):
    pass
""",
    "cutting": """
from ml.audio import CutPolicy, cut
for segment in cut(Path(sys.argv[1]), CutPolicy(examined_s=None)):
    pass
""",
    "telling the language of": """
from services.learning.speech.detection import detect_language
from services.learning.speech.classifier import from_folder
found = detect_language(Path(sys.argv[1]), from_folder(Path(sys.argv[2])).classifier)
assert len(found.segments) > found.seconds / 60
""",
}


def measure(*, full: bool) -> list[Measurement]:
    """Decode and cut one file in turn; then measure processes that do so with a long one."""
    del full
    with place.folder() as folder:
        speech = sound.voiced(SHORT_S, rate=48_000)
        opus = sound.encode(folder / "x.webm", speech, "libopus", rate=48_000)
        short = sound.encode(
            folder / "x.mp3", speech, "libmp3lame", rate=48_000,
            options={"write_xing": "0", "id3v2_version": "0"},
        )  # fmt: skip
        long = _repeated(short)
        assert _duration_s(probe(long)) > 0.99 * SHORT_S * TIMES_LONGER
        model = folder / "model"
        trained_model(folder).save(model)
        return [_speed(opus), *(_memory(work, short, long, model) for work in PEAK_OF)]


def _speed(path: Path) -> Measurement:
    policy = CutPolicy(seconds_wanted=None)
    sides = (
        lambda: timed(lambda: list(decoded(path))),
        lambda: timed(lambda: examine(path, policy)),
        lambda: timed(lambda: list(cut(path, policy))),
    )
    decoding, examining, cutting = (SHORT_S / s for s in interleaved(sides, rounds=ROUNDS))
    return Measurement(
        "opus → decode → speech activity → segments",
        f"{cutting:,.0f} × realtime (activity found: {examining:,.0f} ×)",
        f"decode alone, {decoding:,.0f} × realtime",
        cutting / decoding,
    )


def _memory(work: str, short: Path, long: Path, model: Path) -> Measurement:
    few, many = (peak_megabytes(PEAK_OF[work], path, model) for path in (short, long))
    return Measurement(
        f"peak memory of {work} 3 hours",
        f"{many:.0f} MB",
        f"the same of 3 minutes, {few:.0f} MB",
        many / few,
        at_most=1.15,
    )


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
