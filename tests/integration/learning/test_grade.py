"""Grading pictures with models learned from worlds where light matters, or nothing does."""

import json
import multiprocessing
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from services.api.grader import WarmGrader
from services.api.grading_process import Graded, plain_name
from services.api.problems import Problem
from services.cli.grade import print_grades, print_rest
from services.context import Context
from services.embedded import Endpoints
from services.errors import PermanentError, UsageError
from services.learning.grading import Grades, Grading, formatting, grade
from services.learning.grading.output import render, write_heatmap
from tests.support.cli import settings_of, tubegrader
from tests.support.databases import context_on, own_database
from tests.support.grading import (
    HIDDEN,
    NOW,
    SUBSCRIBERS,
    channel_id,
    encoded,
    learn,
    picture,
    store_channels,
)


@contextmanager
def world(
    endpoints: Endpoints, folders: pytest.TempPathFactory, name: str, *, effect: float
) -> Iterator[Context]:
    """A database of its own with channels, trained on and compared."""
    folder = folders.mktemp(name)
    with (
        own_database(endpoints.database_url, f"test_grade_{name}") as url,
        closing(context_on(url, endpoints, folder, clock=lambda: NOW)) as context,
    ):
        store_channels(context, effect=effect)
        learn(context)
        yield context


@pytest.fixture(scope="module")
def light_matters(
    endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Context]:
    with world(endpoints, tmp_path_factory, "light", effect=0.8) as context:
        yield context


@pytest.fixture(scope="module")
def nothing_matters(
    endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Context]:
    with world(endpoints, tmp_path_factory, "nothing", effect=0.0) as context:
        yield context


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A dark, a middling and a bright picture of the same things."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = []
    for name, light in (("dark", -0.6), ("middling", 0.0), ("bright", 0.6)):
        paths.append(folder / f"{name}.png")
        pixels = picture(light=light, seed=77, size=(1280, 720))
        paths[-1].write_bytes(encoded(pixels, "PNG"))
    return paths


@pytest.fixture(scope="module")
def graded(light_matters: Context, pictures: list[Path]) -> Grading:
    return grade(light_matters, pictures, channel=channel_id(0))


def test_brighter_pictures_get_better_grades_where_light_was_planted(graded: Grading):
    assert graded.evidence.state == "shown"
    for kind in ("own", "likeSized"):
        dark, _, bright = [each.percentiles[kind] for each in graded.graded]
        assert dark is not None
        assert bright is not None
        assert dark.value + 30 < bright.value
        assert 0 <= bright.low <= bright.value <= bright.high <= 100


def test_the_edit_brighter_is_shown_with_an_interval_above_zero(graded: Grading):
    shown = {tried.name: tried.change for tried in formatting.shown_edits(graded.graded[0].edits)}
    assert shown["brighter"].low > 1
    assert shown["darker"].high < 1
    assert "mirrored" not in shown


def test_candidates_are_compared_in_pairs(graded: Grading):
    first = graded.pairs[1]  # dark against bright
    assert first.shown
    assert first.ratio.high < 1
    assert formatting.pair_verdict(first).startswith(first.second)


def test_how_pictures_do_is_told_before_what_takes_longer(
    light_matters: Context, pictures: list[Path], graded: Grading
):
    said: list[str | Grades] = []
    found = grade(
        light_matters,
        pictures,
        channel=channel_id(0),
        progress=lambda _done, _total, what: said.append(what),
        first=said.append,
    )
    [grades] = [each for each in said if isinstance(each, Grades)]
    assert said.index(grades) < said.index("hiding parts and trying edits")
    for known, whole, before in zip(grades.graded, found.graded, graded.graded, strict=True):
        assert known.percentiles == whole.percentiles == before.percentiles
        assert known.over_median == whole.over_median
    assert grades.pairs == found.pairs
    assert formatting.headline(grades) == formatting.headline(graded)


def test_brightness_is_associated_with_views_and_placed_among_comparable_thumbnails(
    graded: Grading,
):
    bright = {m.feature.name: m for m in graded.graded[2].measured}["brightness"]
    assert bright.percentile is not None
    assert bright.percentile > 60
    assert bright.association is not None
    assert bright.association.low > 0


def test_where_nothing_was_planted_no_edit_and_no_difference_is_shown(
    nothing_matters: Context, pictures: list[Path]
):
    found = grade(nothing_matters, pictures[::2], subscribers=SUBSCRIBERS)
    assert found.evidence.state == "notShown"
    assert [e for each in found.graded for e in formatting.shown_edits(each.edits)] == []
    assert not any(pair.shown for pair in found.pairs)
    assert formatting.headline(found) == (
        "No effect of thumbnails could be shown: the grade says little."
    )


def test_the_page_needs_nothing_else_and_ends_with_testing(graded: Grading):
    page = render(graded)
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page
    assert "Test it." in page
    assert "brighter" in page


def test_a_heat_map_is_a_picture(graded: Grading, tmp_path: Path):
    write_heatmap(graded.graded[0], tmp_path / "heat.png")
    assert (tmp_path / "heat.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "notAnImage"),
        (b"<html>", "notAnImage"),
        (encoded(picture(light=0, seed=1))[:2000], "brokenImage"),
        (encoded(picture(light=0, seed=1, size=(1, 1)), "PNG"), "imageTooSmall"),
        (encoded(picture(light=0, seed=1, size=(120, 90))), "imageTooSmall"),
        (encoded(picture(light=0, seed=1, size=(5000, 4000)), "PNG"), "imageTooLarge"),
        (b"\xff\xd8" + bytes(20_000_001), "fileTooLarge"),
    ],
    ids=["empty", "page", "truncated", "onePixel", "placeholderSize", "huge", "heavy"],
)
def test_what_is_no_picture_is_refused_with_the_reason(
    context: Context, tmp_path: Path, content: bytes, reason: str
):
    path = tmp_path / "given.jpg"
    path.write_bytes(content)
    with pytest.raises(UsageError) as error:
        grade(context, [path])
    assert error.value.reason == reason
    assert str(path) in str(error.value)


def test_bad_pictures_are_named_and_the_others_graded(
    light_matters: Context, pictures: list[Path], tmp_path: Path
):
    small, none = tmp_path / "small.jpg", tmp_path / "none.png"
    small.write_bytes(encoded(picture(light=0, seed=1, size=(120, 90))))
    named = [str(path) for path in (small, pictures[0], none, pictures[1])]
    ran = tubegrader("grade", *named, "--json", env=settings_of(light_matters))
    assert ran.code == 1
    found = json.loads(ran.out)
    assert [each["file"] for each in found["pictures"]] == named[1::2]
    assert len(found["pairs"]) == 1
    assert [(each["file"], each["error"]["reason"]) for each in found["unusable"]] == [
        (str(small), "imageTooSmall"),
        (str(none), "fileMissing"),
    ]
    assert f"{small} cannot be graded: 120 by 90 pixels are too small." in ran.err
    assert f"there is no file {none}" in ran.err


def test_no_picture_at_all_is_refused_with_every_name(context: Context, tmp_path: Path):
    paths = [tmp_path / "one.png", tmp_path / "two.png"]
    with pytest.raises(UsageError) as error:
        grade(context, paths)
    assert all(str(path) in str(error.value) for path in paths)


def test_missing_files_and_folders_are_refused(context: Context, tmp_path: Path):
    for path, reason in ((tmp_path / "none.png", "fileMissing"), (tmp_path, "notAFile")):
        with pytest.raises(UsageError) as error:
            grade(context, [path])
        assert error.value.reason == reason


def test_without_a_model_the_commands_are_said(context: Context, pictures: list[Path]):
    with pytest.raises(PermanentError) as error:
        grade(context, pictures)
    assert error.value.reason == "noModel"
    assert "tubegrader models train" in (error.value.hint or "")


def test_an_unknown_channel_is_to_be_crawled_first(light_matters: Context, pictures: list[Path]):
    with pytest.raises(UsageError) as error:
        grade(light_matters, pictures, channel="@nobody")
    assert error.value.reason == "channelUnknown"
    assert "tubegrader channels crawl @nobody" in (error.value.hint or "")


def test_hidden_subscribers_can_be_given(light_matters: Context, pictures: list[Path]):
    with pytest.raises(UsageError) as error:
        grade(light_matters, pictures, channel=HIDDEN)
    assert error.value.reason == "subscribersHidden"
    found = grade(light_matters, pictures[:1], channel=HIDDEN, subscribers=SUBSCRIBERS)
    assert found.graded[0].percentiles["likeSized"] is not None
    assert found.references[0].problem == "tooFewVideos"


def test_the_command_in_another_process_says_the_same_as_json_and_on_the_page(
    light_matters: Context, pictures: list[Path], tmp_path: Path, graded: Grading
):
    page = tmp_path / "grade.html"
    named = [str(path) for path in pictures]
    ran = tubegrader(
        "grade", *named, "--channel", "@made0", "--html", str(page), "--json",
        env=settings_of(light_matters),
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert json.loads(ran.out) == json.loads(json.dumps(graded.as_json()))
    assert page.read_text(encoding="utf-8") == render(graded)


def test_what_is_printed_ends_with_testing(graded: Grading, capsys: pytest.CaptureFixture[str]):
    print_grades(graded)
    print_rest(graded)
    printed = capsys.readouterr().out
    assert printed.rstrip().endswith(formatting.TEST_IT)
    assert "brighter: +" in printed
    assert "is ahead" in printed


def test_the_pages_grader_says_the_same_from_a_process_that_may_die(
    light_matters: Context, pictures: list[Path], graded: Grading
):
    sent = [(path.name, path.read_bytes()) for path in pictures]
    with closing(WarmGrader(light_matters.settings)) as grader:
        found = grader.grade(
            [*sent, ("../../<b>.png", b"no picture")], channel=channel_id(0), subscribers=None
        )
        assert isinstance(found, Graded)
        shown = json.loads(json.dumps(graded.as_json()))
        for name in ("percentiles", "over_median"):
            there = [each[name] for each in found.values["pictures"]]
            assert there == [each[name] for each in shown["pictures"]]
        [unusable] = found.values["unusable"]
        assert unusable["error"]["message"].startswith("<b>.png cannot be graded")
        assert "&lt;b&gt;.png" in found.shown
        assert "<b>.png" not in found.shown
        assert "data:image/png;base64," in found.shown
        for process in multiprocessing.active_children():
            process.kill()
        died = grader.grade(sent, channel=None, subscribers=10)
        assert isinstance(died, Problem)
        assert (died.status, died.reason) == (503, "graderDied")


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a.png", "a.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\pictures\\x.jpg", "x.jpg"),
        ("", "picture 2"),
        ("..", "picture 2"),
        ("a\0\n.png", "a.png"),
        ("x" * 300 + ".png", "x" * 76 + ".png"),
    ],
)
def test_what_a_browser_calls_a_picture_names_a_file_and_nothing_else(name: str, kept: str):
    assert plain_name(name, 1) == kept
