"""Pictures without bars, and what is measured on them."""

import time
from importlib.util import find_spec

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ml.errors import LearningError
from ml.images import pictures
from ml.thumbnails.features import edits
from ml.thumbnails.features.catalogue import FEATURES, NAMES, columns, measure, measure_all
from tests.support.pictures import HEIGHT, WIDTH, blotchy, noisy, plain, with_bars, with_text

needs_detectors = pytest.mark.skipif(
    not all(find_spec(name) for name in ("cv2", "rapidocr", "onnxruntime")),
    reason="the extra pictures is not installed",
)


def value(image, name):
    return measure(image).values[NAMES.index(name)]


@pytest.mark.parametrize(("rows", "columns"), [(20, 0), (45, 0), (0, 40), (0, 109), (10, 18)])
def test_bars_are_found_and_cut_off(rows, columns):
    framed = with_bars(np.clip(blotchy(1), 60, 255), rows=rows, columns=columns)
    assert pictures.find_bars(framed) == pictures.Bars(rows, rows, columns, columns)
    cut = pictures.without_bars(framed)
    assert cut.shape == framed.shape
    assert pictures.find_bars(cut) == pictures.Bars()
    assert cut.min() > pictures.BLACK


@pytest.mark.parametrize("image", [plain((0, 0, 0)), plain(), blotchy(3), noisy(2)])
def test_pictures_without_bars_stay_as_they_are(image):
    assert pictures.without_bars(image) is image


def test_a_dark_sky_is_no_bar():
    image = blotchy(4).copy()
    image[:60] = 5
    assert pictures.find_bars(image) == pictures.Bars()


@given(arrays.arrays(np.uint8, st.tuples(st.just(24), st.just(32), st.just(3))))
def test_any_picture_keeps_its_shape_without_bars(image):
    once = pictures.without_bars(image)
    assert once.shape == image.shape
    assert once.dtype == np.uint8


def test_names_and_bounds_are_sound():
    assert len(set(NAMES)) == len(NAMES)
    for feature in FEATURES:
        assert feature.low < feature.high
        assert feature.title
        assert feature.unit
        # A description states, it does not advise.
        assert not {"better", "should", "good", "bad"} & set(feature.description.lower().split())


@needs_detectors
@pytest.mark.parametrize(
    "image",
    [
        plain((0, 0, 0)),
        plain((255, 255, 255)),
        plain((255, 0, 0)),
        noisy(1),
        blotchy(1),
        with_text(blotchy(2)),
        with_bars(noisy(3), rows=30),
    ],
)
def test_measurements_are_finite_bounded_and_repeatable(image):
    values = measure(image).values
    assert np.isfinite(values).all()
    for feature, number in zip(FEATURES, values, strict=True):
        assert feature.low <= number <= feature.high, feature.name
    np.testing.assert_array_equal(values, measure(image.copy()).values)


@needs_detectors
def test_measurements_follow_what_is_done_to_a_picture():
    image = blotchy(5)
    changed = edits.variants(image)
    assert value(changed["brighter"], "brightness") > value(image, "brightness")
    assert value(changed["darker"], "brightness") < value(image, "brightness")
    assert value(changed["moreContrast"], "rms_contrast") > value(image, "rms_contrast")
    assert value(changed["moreSaturated"], "saturation") > value(image, "saturation")
    assert value(changed["moreSaturated"], "colourfulness") > value(image, "colourfulness")
    assert value(changed["warmer"], "warmth") >= value(changed["cooler"], "warmth")
    assert value(noisy(1), "subband_entropy") > value(image, "subband_entropy")
    assert value(noisy(1), "sharpness") > value(image, "sharpness")
    assert value(with_bars(image, rows=45), "bars_share") == pytest.approx(0.5)


@needs_detectors
def test_colours_have_their_hue():
    for colour, hue in (((220, 20, 20), 5), ((20, 220, 20), 120), ((20, 20, 220), 240)):
        assert value(plain(colour), "dominant_hue") == pytest.approx(hue, abs=6)
    # 350 degrees and 10 degrees are neighbours for a model.
    rows = np.tile([feature.low for feature in FEATURES], (2, 1)).astype(float)
    rows[:, NAMES.index("dominant_hue")] = 1, 359
    first, second = columns(rows)
    assert np.abs(first - second).max() < 0.05


@needs_detectors
def test_colourfulness_is_that_of_its_authors_formula():
    # Grey has none; a plain red of 255 has 0.3 times the length of its mean opponents.
    assert value(plain((128, 128, 128)), "colourfulness") == pytest.approx(0, abs=1e-9)
    expected = 0.3 * np.hypot(255, 127.5)
    assert value(plain((255, 0, 0)), "colourfulness") == pytest.approx(expected)


@needs_detectors
def test_text_is_found_where_it_is_drawn():
    for image in (blotchy(6), plain(), blotchy(7)):
        assert measure(image).text.share < 0.02
        text = measure(with_text(image)).text
        assert text.share > 0.1
        left, top, right, bottom = 30, 60, 250, 110
        inside = text.mask[top:bottom, left:right].sum() / text.mask.sum()
        assert inside > 0.6


@needs_detectors
def test_small_or_faint_text_is_not_legible_on_a_phone():
    ground = plain((90, 90, 90))
    large = measure(with_text(ground, size=40)).text
    small = measure(with_text(ground, "some small words here", size=11)).text
    assert large.legible_share == 1
    assert len(small.lines) > 0
    assert small.legible_share < 0.5
    assert measure(ground).text.legible_share == 1


@needs_detectors
def test_text_under_the_badge_is_seen():
    covered = with_text(blotchy(8), "12:34 END", size=24, at=(190, 150))
    assert value(covered, "badge_covers") > 0.5
    assert value(with_text(blotchy(8), size=24, at=(10, 10)), "badge_covers") == 0


@needs_detectors
def test_attention_goes_to_what_stands_out():
    image = plain((60, 60, 60)).copy()
    image[20:50, 250:290] = (250, 240, 40)
    assert value(image, "focus_x") > 0.6
    assert value(image, "focus_y") < 0.4


@needs_detectors
@pytest.mark.shared_data
def test_faces_are_found_in_real_thumbnails(shared_data):
    files = sorted((shared_data / "youtube/thumbnails").iterdir())[:60]
    frames = pictures.decode_pictures(
        [file.name for file in files],
        {file.name: file.read_bytes() for file in files}.__getitem__,
    )
    values = measure_all(frames)
    assert np.isfinite(values).all()
    # Side by side, none sees another's picture.
    np.testing.assert_array_equal(values, [measure(frame).values for frame in frames])
    faces = values[:, NAMES.index("face_count")]
    assert 0.1 < (faces > 0).mean() < 0.8
    texts = values[:, NAMES.index("text_share")]
    assert 0.2 < (texts > 0.01).mean() < 0.95


@needs_detectors
@pytest.mark.slow
def test_measuring_keeps_up_with_a_crawl_on_one_core():
    images = [with_text(blotchy(seed)) for seed in range(40)]
    measure(images[0])
    started = time.thread_time()
    measure_all(images)
    # 29 to 35 a second on a busy machine; the two detectors take two thirds of it.
    assert len(images) / (time.thread_time() - started) >= 20


def test_other_sizes_are_refused():
    with pytest.raises(LearningError, match=r"take pictures of \(180, 320, 3\)"):
        measure(np.zeros((90, 160, 3), dtype=np.uint8))


@needs_detectors
@pytest.mark.parametrize("name", edits.edit_names())
def test_edits_keep_shape_and_original(name):
    for image in (with_text(blotchy(9)), plain((0, 0, 0)), blotchy(1)[:90, :160]):
        before = image.copy()
        changed = edits.edit(name).apply(image)
        assert changed.shape == image.shape
        assert changed.dtype == np.uint8
        np.testing.assert_array_equal(image, before)
        np.testing.assert_array_equal(changed, edits.edit(name).apply(image))


@needs_detectors
def test_edits_that_change_nothing_are_left_out():
    bare = blotchy(2)
    assert not {"textDimmed", "barsRemoved"} & edits.variants(bare).keys()
    assert "barsRemoved" in edits.variants(with_bars(bare, rows=30))
    assert "textDimmed" in edits.variants(with_text(bare))


@needs_detectors
def test_dimmed_text_takes_contrast_from_the_text_alone():
    image = with_text(blotchy(3))
    dimmed = edits.edit("textDimmed").apply(image)
    mask = measure(image).text.mask
    assert dimmed[mask].std() < 0.7 * image[mask].std()
    np.testing.assert_array_equal(dimmed[~mask], image[~mask])


def test_an_unknown_edit_names_those_there_are():
    with pytest.raises(LearningError, match="brighter, darker"):
        edits.edit("nicer")


def test_the_frame_measured_is_that_of_youtube():
    assert (pictures.WIDTH, pictures.HEIGHT) == (WIDTH, HEIGHT)
