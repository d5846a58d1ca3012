import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.audio import (
    ActivityDetector,
    ActivityPolicy,
    decoded,
    speech_probabilities,
    speech_regions,
)
from tests.support import sound


def samples(*parts):
    return np.concatenate(parts).astype(np.float32)


SPOKEN = samples(
    sound.silence(2), sound.voiced(3), sound.noise(1.5, level=0.01), sound.voiced(4, seed=1),
    sound.silence(1),
)  # fmt: skip


def silero_package():
    # Its import brings torch and warns of its own code.
    return pytest.importorskip("silero_vad")


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("enter", "least_speech", "least_silence"), [(0.5, 250, 100), (0.7, 400, 300), (0.3, 64, 32)]
)
def test_regions_are_those_of_the_package_itself(enter, least_speech, least_silence):
    silero = silero_package()
    torch = pytest.importorskip("torch")
    model = silero.load_silero_vad(onnx=True)
    expected = silero.get_speech_timestamps(
        torch.from_numpy(SPOKEN), model, threshold=enter, speech_pad_ms=0,
        min_speech_duration_ms=least_speech, min_silence_duration_ms=least_silence,
    )  # fmt: skip
    policy = ActivityPolicy(
        enter=enter,
        leave=max(enter - 0.15, 0.01),
        least_speech_s=least_speech / 1_000,
        least_silence_s=least_silence / 1_000,
    )
    found = speech_regions(speech_probabilities([SPOKEN]), policy)
    assert len(found) >= 2
    assert [(r.start * 512, r.end * 512) for r in found] == [
        (said["start"], said["end"]) for said in expected
    ]


@given(st.lists(st.integers(1, 40_000), max_size=12))
@settings(max_examples=20)
def test_how_the_stream_is_cut_into_blocks_does_not_matter(lengths):
    whole = speech_probabilities([SPOKEN])
    parts = np.split(SPOKEN, np.minimum(np.cumsum(lengths, dtype=int), len(SPOKEN)))
    assert np.allclose(speech_probabilities(parts), whole, atol=1e-5)


def test_a_reset_detector_is_a_new_one():
    detector = ActivityDetector()
    first = detector.feed(SPOKEN)
    detector.reset()
    assert np.array_equal(detector.feed(SPOKEN), first)


@given(st.lists(st.floats(0, 1), max_size=300), st.floats(0.2, 0.9), st.floats(0, 1))
def test_regions_are_in_order_apart_and_long_enough(probabilities, enter, least):
    policy = ActivityPolicy(enter=enter, leave=enter / 2, least_speech_s=least)
    regions = speech_regions(np.array(probabilities, dtype=np.float32), policy)
    assert all(0 <= r.start < r.end <= len(probabilities) for r in regions)
    assert all(r.frames * 0.032 > least for r in regions)
    assert all(a.end < b.start for a, b in itertools.pairwise(regions))


@pytest.mark.parametrize(
    "made",
    [sound.silence(20), sound.noise(20), sound.noise(20, level=0.001), sound.chords(20)],
    ids=["silence", "loud noise", "quiet noise", "chords"],
)
def test_what_is_no_speech_is_not_taken_for_it(made):
    assert speech_regions(speech_probabilities([samples(made)])) == []


@pytest.mark.shared_data
def test_real_speech_is_found_in_every_source(shared_data):
    """One clip in ten of each source; words in a syllable list have pauses between them."""
    found = {}
    for path in sorted((shared_data / "speech" / "clips").iterdir())[::10]:
        probabilities = speech_probabilities(decoded(path))
        regions = speech_regions(probabilities)
        source = path.name.split("_")[0]
        share = sum(r.frames for r in regions) / len(probabilities)
        found.setdefault(source, []).append(share)
    means = {source: float(np.mean(shares)) for source, shares in found.items()}
    assert np.mean([share for shares in found.values() for share in shares]) > 0.6, means
    assert min(means.values()) > 0.3, means


def test_neither_torch_nor_a_network_is_imported():
    code = (
        "import sys; from ml.audio import ActivityDetector; ActivityDetector(); "
        "print(sorted({'torch', 'silero_vad', 'aiohttp', 'celery'} & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert said.stdout.strip() == "[]"
