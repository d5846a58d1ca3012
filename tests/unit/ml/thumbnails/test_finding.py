"""What the sentence says where interval and permutation agree, and where they seem not to."""

import pytest

from ml.evaluation.bootstrap import Interval
from ml.thumbnails.evaluation.evaluate import finding

SHOWN, NOT_SHOWN = Interval(0.02, 0.01, 0.03), Interval(0.01, -0.005, 0.025)


@pytest.mark.parametrize(
    ("delta", "p_value", "said"),
    [
        (SHOWN, 0.001, "The thumbnail adds ΔR² 0.020 [0.010, 0.030] beyond age."),
        (
            NOT_SHOWN,
            0.4,
            "No effect of the thumbnail beyond age can be shown: ΔR² 0.010 [-0.005, 0.025].",
        ),
    ],
)
def test_where_they_agree_one_sentence_is_enough(delta, p_value, said):
    assert finding(delta, p_value, "age") == said


def test_a_gain_that_is_not_certain_of_pictures_that_matter_is_reconciled():
    said = finding(NOT_SHOWN, 0.001, "age")
    assert said.startswith(finding(NOT_SHOWN, 0.4, "age"))
    assert "p = 0.001" in said
    assert "whether models of other channels would gain" in said


def test_a_gain_that_any_picture_of_the_channel_gives_is_said_to_be_the_channels():
    said = finding(SHOWN, 0.3, "age")
    assert said.startswith(finding(SHOWN, 0.001, "age"))
    assert "the channel's usual look" in said


def test_where_models_are_certain_to_lose_by_it_nobody_is_said_to_be_in_doubt():
    said = finding(Interval(-0.02, -0.03, -0.01), 0.001, "age")
    assert "whether" not in said
    assert said.endswith("models of other channels do worse with it than without.")


@pytest.mark.parametrize(("delta", "p_value"), [(SHOWN, 0.3), (NOT_SHOWN, 0.001)])
def test_channels_of_one_video_have_no_other_picture_to_speak_of(delta, p_value):
    said = finding(delta, p_value, "age", is_within_channels=False)
    assert "of the channel's" not in said
    assert "usual look" not in said
    assert "another channel's" in said
