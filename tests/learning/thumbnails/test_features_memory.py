"""Looking at many pictures takes no more memory than looking at a few."""

from importlib.util import find_spec
from itertools import pairwise

import pytest

from tests.support.memory import sizes_megabytes

WORK = """
import hashlib, io, tempfile
import numpy as np
import torch
from PIL import Image
from ml.thumbnails.backbones.efficientnet_lite import EfficientNetLite0
from ml.thumbnails.backbones.weights import TENSORFLOW
from ml.thumbnails.features.extractor import FeatureExtractor

def encoded(seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 16, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((480, 360)).save(buffer, "JPEG")
    return buffer.getvalue()

with tempfile.TemporaryDirectory() as folder:
    torch.manual_seed(0)
    torch.save(EfficientNetLite0(TENSORFLOW).state_dict(), folder + "/weights.pth")
    extractor = FeatureExtractor(
        Path(folder),
        weights=Path(folder, "weights.pth"),
        timm_name="tf_efficientnet_lite0",
        measures=False,
    )
    for start in range(0, int(sys.argv[1]), 128):
        if start % 384 == 256:
            say_size()
        drawn = [encoded(seed) for seed in range(start, start + 128)]
        contents = {hashlib.sha256(each).hexdigest(): each for each in drawn}
        extractor.extract_with_thumbnails(list(contents), contents.__getitem__)
"""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("onnxruntime") is None, reason="no onnxruntime here")
def test_memory_stays_flat_while_pictures_are_looked_at():
    sizes = sizes_megabytes(WORK, "1536")
    # The first pictures warm up. Later on it may take a step, when more threads than before happen
    # to be at their largest at once; what grows with pictures grows in every stretch of them.
    growth = [after / before for before, after in pairwise(sizes)]
    assert len(growth) == 3
    assert min(growth) < 1.02, sizes
