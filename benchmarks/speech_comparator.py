"""Clips a second, decoded and told apart, against a Whisper that the user brings.

Whisper needs ``ctranslate2``, which our own models do not: ``WHISPER_PYTHON`` names an interpreter
that has it beside numpy, and ``TUBEGRADER_SPEECH_WEIGHTS`` the folder of the converted weights.
Both sides decode the same files with the same code and use one thread.
"""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import place
from benchmarks.measure import Measurement, interleaved, timed

CLIPS, SECONDS, ROUNDS = 8, 5.0, 3
BEST = "tdnn"
"""Its speed does not depend on what it learned, so it learns next to nothing here."""
WHISPER_PYTHON = os.environ.get("WHISPER_PYTHON", sys.executable)
WHISPER_WEIGHTS = os.environ.get("TUBEGRADER_SPEECH_WEIGHTS")


def measure(*, full: bool) -> list[Measurement]:
    """Tell the languages of the same clips with our best model and with Whisper, in turn."""
    rounds = 2 * ROUNDS if full else ROUNDS
    reason = _missing()
    if reason is not None:
        print(f"  skipped: {reason}", file=sys.stderr)
        return []
    with place.folder() as folder:
        paths = _written_clips(folder)
        ours = _own_model(folder, paths)
        with _whisper(paths) as theirs:
            mine, whisper = (
                CLIPS / seconds
                for seconds in interleaved(
                    [lambda: timed(ours), lambda: timed(theirs)], rounds=rounds
                )
            )
    return [
        Measurement(
            f"speech told apart, {SECONDS:.0f} s clips, decoding included",
            f"{mine:,.1f} clips/s",
            f"Whisper ({Path(WHISPER_WEIGHTS or '').name}), {whisper:,.2f} clips/s",
            mine / whisper,
        )
    ]


def _missing() -> str | None:
    """Why there is nothing to compare with, or None."""
    if not WHISPER_WEIGHTS:
        return "TUBEGRADER_SPEECH_WEIGHTS names no folder of Whisper weights"
    if not (Path(WHISPER_WEIGHTS) / "model.bin").is_file():
        return f"{WHISPER_WEIGHTS} has no model.bin"
    try:
        run = subprocess.run(
            [WHISPER_PYTHON, "-c", "import ctranslate2"], check=False, capture_output=True
        )
    except OSError as error:
        return f"WHISPER_PYTHON={WHISPER_PYTHON} does not start: {error}"
    return None if run.returncode == 0 else f"{WHISPER_PYTHON} has no ctranslate2"


def _written_clips(folder: Path) -> list[Path]:
    from ml.audio import flac, pcm
    from ml.speech.augmentation.nonspeech import KINDS, synthesised

    generator = np.random.default_rng(7)
    paths = []
    for number in range(CLIPS):
        # What the sounds are makes no difference to the work.
        sound = synthesised(KINDS[number % len(KINDS)], generator, SECONDS)
        paths.append(folder / f"clip-{number}.flac")
        paths[-1].write_bytes(flac(pcm(sound)))
    return paths


def _own_model(folder: Path, paths: Sequence[Path]) -> Callable[[], object]:
    import torch

    from ml.speech.data.manifest import Clip, Manifest
    from ml.speech.frontend.cache import FeatureCache, decoded_file
    from ml.speech.models.registry import speech_model_class

    torch.set_num_threads(1)
    clips = tuple(
        Clip(path.name, str(path), ("en", "zh")[number % 2], path.name, path.name, path.name,
             "flac", SECONDS)
        for number, path in enumerate(paths)
    )  # fmt: skip
    kind: Any = speech_model_class(BEST)
    config = replace(kind.default, epochs=1, calibrated=False)
    cache = FeatureCache(folder / "features")
    model = kind.fit_with(config, Manifest(clips), cache, seed=0)
    return lambda: model.predict([decoded_file(clip) for clip in clips])


@contextmanager
def _whisper(paths: Sequence[Path]) -> Iterator[Callable[[], object]]:
    """Run Whisper in a process of its own, its weights loaded once."""
    here = Path(__file__).resolve().parents[1]
    # It borrows our packages for decoding; so it must be the same Python.
    path = os.pathsep.join([str(here), sysconfig.get_paths()["purelib"]])
    process = subprocess.Popen(
        [WHISPER_PYTHON, "-c", _SERVE, WHISPER_WEIGHTS or "", *map(str, paths)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        ask, answers = process.stdin, process.stdout

        def detect() -> None:
            ask.write("\n")
            ask.flush()
            if answers.readline() != "done\n":
                raise RuntimeError("Whisper's process ended; its reason is above")

        try:
            yield detect
        finally:
            ask.close()


_SERVE = """
import sys
import sysconfig
from pathlib import Path
from typing import Any
import numpy as np
from ml.audio.decoding import decoded
from ml.speech.pretrained.whisper import WhisperDetector
detector = WhisperDetector(Path(sys.argv[1]))
for _ in sys.stdin:
    detector.detect([np.concatenate([*decoded(Path(name))]) for name in sys.argv[2:]])
    print("done", flush=True)
"""
