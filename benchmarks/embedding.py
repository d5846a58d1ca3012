"""What a new picture costs until all is known of it: decoded, embedded and measured."""

import hashlib
import io
import pickle
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.before import SCORING, run_python, source_of
from benchmarks.measure import Measurement, interleaved, processor_seconds
from ml.images.decoding import decode_thumbnails
from ml.images.pictures import decode_pictures
from ml.runtime.pools import cores
from ml.thumbnails.backbones.embeddings import PictureNetwork, embed
from ml.thumbnails.backbones.weights import load_backbone
from ml.thumbnails.features.extractor import FeatureExtractor
from tests.support.memory import peak_megabytes

PICTURES, FULL = 32, 256
FEW, MANY = 100, 1_000
FULL_FEW, FULL_MANY = 2_000, 20_000
BEFORE = """
import pickle, sys, tempfile, time
from pathlib import Path
from ml.images.decoding import decode_thumbnails
from ml.thumbnails.features.extractor import FeatureExtractor

contents = pickle.load(sys.stdin.buffer)
first, *names = contents
with tempfile.TemporaryDirectory() as folder:
    extractor = FeatureExtractor(Path(folder))
    extractor.extract([first], contents.__getitem__)
    started = time.process_time()
    decode_thumbnails(names, contents.__getitem__)
    extractor.extract(names, contents.__getitem__)
    print((time.process_time() - started) * len(contents) / len(names))
"""
EMBEDS = """
import sys
from benchmarks.embedding import embed_copies
embed_copies(int(sys.argv[1]))
"""


def measure(*, full: bool) -> list[Measurement]:
    """Hold the recipe of today against the one operation by operation, and against its limit."""
    contents = drawn(FULL if full else PICTURES)
    names = list(contents)
    backbone = load_backbone()
    network = PictureNetwork(backbone.sha256, lambda: backbone)
    ready = decode_pictures(names, contents.__getitem__)
    network.embed(ready[:2])

    def eager() -> None:
        decode_thumbnails(names, contents.__getitem__)
        embed(decode_pictures(names, contents.__getitem__), backbone.network, network.device)

    def together(*, measures: bool) -> None:
        with tempfile.TemporaryDirectory() as folder:
            extractor = FeatureExtractor(Path(folder), compiled=graphs, measures=measures)
            extractor.extract_with_thumbnails(names, contents.__getitem__)

    def forward() -> None:
        network.embed(ready)

    with tempfile.TemporaryDirectory() as kept, source_of(SCORING) as source:
        graphs = Path(kept)
        sides = [eager, partial(together, measures=False), forward]
        sides += [partial(together, measures=True)]
        content = pickle.dumps(contents)
        spent = interleaved(
            [
                *(partial(processor_seconds, side) for side in sides),
                lambda: float(run_python(source, ["-c", BEFORE], content=content)),
            ],
            rounds=2,
        )
    eager_cpu, now, alone, now_all, before = (1000 * s / len(names) for s in spent)
    few, many = (FULL_FEW, FULL_MANY) if full else (FEW, MANY)
    small, large = (peak_megabytes(EMBEDS, str(number)) for number in (few, many))
    return [
        Measurement(
            "a new picture decoded and embedded",
            f"{now:.1f} CPU ms",
            f"torch operation by operation, {eager_cpu:.1f} CPU ms",
            eager_cpu / now,
            at_least=3,
        ),
        Measurement(
            "the same, and measured",
            f"{now_all:.1f} CPU ms",
            f"the release before, {before:.1f} CPU ms",
            before / now_all,
            at_least=3,
        ),
        Measurement(
            "decoded, embedded and kept",
            f"{now:.1f} CPU ms",
            f"the network alone on ready arrays, {alone:.1f} CPU ms",
            alone / now,
            at_least=0.85,
        ),
        Measurement(
            f"memory of embedding {many:,} pictures",
            f"{large:.0f} MB",
            f"{few:,} pictures, {small:.0f} MB, on {cores()} cores",
            large / small,
            at_most=1.1,
        ),
    ]


def drawn(number: int) -> dict[str, bytes]:
    """Draw pictures as YouTube serves most, JPEGs of 480 by 360 with bars; by their SHA-256."""
    random = np.random.default_rng(0)
    made = {}
    for seed in range(number):
        pixels = random.integers(0, 256, (9, 16, 3), dtype=np.uint8)
        whole = Image.new("RGB", (480, 360))
        whole.paste(Image.fromarray(pixels).resize((480, 270), Image.Resampling.BICUBIC), (0, 45))
        ImageDraw.Draw(whole).text((60, 120), f"PICTURE {seed}", "white", font_size=50)
        buffer = io.BytesIO()
        whole.save(buffer, "JPEG", quality=85)
        made[hashlib.sha256(buffer.getvalue()).hexdigest()] = buffer.getvalue()
    return made


def embed_copies(number: int) -> None:
    """Decode and embed as many pictures, in chunks as scoring does; keep nothing."""
    contents = list(drawn(64).values())
    backbone = load_backbone()
    network = PictureNetwork(backbone.sha256, lambda: backbone)
    for start in range(0, number, len(contents)):
        names = [str(place) for place in range(min(len(contents), number - start))]
        decode_thumbnails(names, lambda name: contents[int(name)])
        network.embed(decode_pictures(names, lambda name: contents[int(name)]))
