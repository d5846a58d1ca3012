"""The signal-to-noise ratio of recorded clips: estimated once, kept, and never guessed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml.errors import LearningCancelledError
from ml.speech.data.lines import append_line
from ml.speech.data.manifest import Clip, Manifest
from ml.speech.frontend.noise import with_noise
from tests.support.sound import noise, voiced, write_wav


def manifest_of(folder: Path, sounds: dict[str, np.ndarray]) -> Manifest:
    clips = []
    for name, sound in sounds.items():
        path = folder / f"{name}.wav"
        write_wav(path, sound)
        clips.append(Clip(name, str(path), "en", name, name, name, "wav", 4.0))
    return Manifest(tuple(clips))


def spoken_over(decibels: float) -> np.ndarray:
    """Return a pause, speech and a pause, all with noise of a level below the speech's."""
    speech = voiced(3.0, seed=1)
    level = float(np.sqrt((speech**2).mean())) * 10 ** (-decibels / 20)
    sound = np.concatenate([np.zeros(16_000), speech, np.zeros(16_000)])
    return sound + noise(len(sound) / 16_000, level=level)


def test_louder_noise_is_found_and_silence_has_no_ratio(tmp_path: Path):
    manifest = manifest_of(
        tmp_path, {"quiet": spoken_over(30), "loud": spoken_over(15), "nobody": noise(3.0)}
    )
    found = {clip.clip_id: clip.snr for clip in with_noise(manifest, tmp_path / "kept.jsonl")}
    assert found["quiet"] == pytest.approx(30, abs=4)
    assert found["loud"] == pytest.approx(15, abs=4)
    assert np.isnan(found["nobody"])


def test_what_is_known_is_not_estimated_again(tmp_path: Path):
    kept = tmp_path / "kept.jsonl"
    clips = manifest_of(tmp_path, {"a": noise(0.5), "b": noise(0.5), "c": noise(0.5)}).clips
    manifest = Manifest((clips[0], clips[1], replace(clips[2], snr=12.0)))
    for clip in clips:
        Path(clip.path).unlink()
    append_line(kept, {"clip": "a", "snr_db": 33.0})
    append_line(kept, {"clip": "b", "snr_db": None})
    found = with_noise(manifest, kept)
    assert [clip.snr for clip in found] == [33.0, pytest.approx(float("nan"), nan_ok=True), 12.0]
    assert found.sha256 == manifest.sha256


def test_a_cancelled_estimate_goes_on_where_it_stopped(tmp_path: Path):
    kept = tmp_path / "kept.jsonl"
    manifest = manifest_of(tmp_path, {"a": noise(0.5), "b": noise(0.5)})
    told: list[tuple[int, int, str]] = []
    with pytest.raises(LearningCancelledError):
        with_noise(
            manifest, kept, progress=lambda *step: told.append(step), cancelled=lambda: bool(told)
        )
    with_noise(manifest, kept, progress=lambda *step: told.append(step))
    assert [(done, total) for done, total, _ in told] == [(1, 2), (1, 1)]
