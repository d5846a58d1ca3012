import math
import re
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest

from ml.evaluation.bootstrap import Interval
from services.learning.report.contents import Difference, Line, Rows
from services.learning.report.extremes import Extremes
from services.learning.report.page import render
from tests.support.report_contents import (
    NOW,
    UNDEFINED,
    Page,
    picture,
    report_of,
    undefined_rungs,
)

HOSTILE = (
    "<script>document.title='owned'</script><img src=http://127.0.0.1/x onerror=alert(1)>"
    "\" onload='alert(2)' {{ 7*7 }} {% raise %} &lt;b&gt; </style></bdi></li> \u202egnirts"
    " ﷽ 👩‍👩‍👧‍👦 " + "Z\u0341\u0342\u0343" * 40 + "W" * 5_000
)


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render(report_of()))


def test_the_sentence_is_the_heading(page: Page) -> None:
    assert [h.text for h in page.all("h1")] == [report_of().sentence]


def test_the_same_contents_give_the_same_bytes_whatever_a_user_set_in_matplotlib(
    page: Page,
) -> None:
    with mpl.rc_context():
        mpl.rcParams.update({"lines.linewidth": 9, "axes.grid": True, "svg.fonttype": "path"})
        assert render(report_of()) == page.source


def test_the_page_asks_nobody_for_anything(page: Page) -> None:
    policy = next(e for e in page.all("meta") if "http-equiv" in e.attributes)
    assert policy.attributes["content"].startswith("default-src 'none'; img-src data:")
    assert not page.all("script") + page.all("link") + page.all("iframe")
    for element in page.elements:
        for name, value in element.attributes.items():
            if name in {"src", "href", "xlink:href", "action", "srcset", "poster"}:
                assert value.startswith(("data:image/jpeg;base64,", "#")), (element.tag, value)
    assert not re.search(r"https?:|@import|url\((?!#)", page.source)


def test_every_reference_inside_the_page_has_one_target(page: Page) -> None:
    ids = {e.attributes["id"] for e in page.elements if "id" in e.attributes}
    assert page.repeated_ids == []
    wanted = {e.attributes["href"][1:] for e in page.elements if "href" in e.attributes}
    wanted |= set(re.findall(r"url\(#([^)]+)\)", page.source))
    for element in page.elements:
        for name in ("aria-labelledby", "aria-describedby"):
            wanted |= set(element.attributes.get(name, "").split())
    assert wanted <= ids


def test_those_who_cannot_see_the_figures_are_told_what_they_show(page: Page) -> None:
    figures = page.all("svg")
    assert len(figures) == 1 + 3 + 2 + 4 + 3
    assert all(f.attributes["role"] == "img" for f in figures)
    texts = {e.attributes["id"]: e.text for e in page.elements if e.tag in {"title", "desc"}
             and "id" in e.attributes}  # fmt: skip
    for figure in figures:
        assert texts[figure.attributes["aria-labelledby"]]
        assert texts[figure.attributes["aria-describedby"]]
    assert "subscribers 0.500 [0.400, 0.600]" in texts["ladder-auc-desc"]
    assert all(image.attributes["alt"] for image in page.all("img"))


def test_the_figures_colours_are_the_pages_own_so_that_both_themes_can_be_read(page: Page) -> None:
    drawn = "".join(re.findall(r"<svg.*?</svg>", page.source, re.DOTALL))
    assert set(re.findall(r"(?:fill|stroke): (#\w+)", drawn)) <= {"#000000"}
    style = page.all("style")[0].text
    for name in re.findall(r"var\((--\w+)\)", drawn):
        assert style.count(f"{name}:") == 2, "one for light, one for dark"


@pytest.mark.parametrize("field", ["title", "channel"])
def test_titles_are_shown_and_never_obeyed(page: Page, field: str) -> None:
    plain = len(page.source)
    page = Page(render(report_of(**{field: HOSTILE})))
    assert not page.all("script")
    assert [t.text for t in page.all("title") if "id" not in t.attributes] == [
        "TubeGrader: what a thumbnail is worth"
    ]
    assert all(not name.startswith("on") for e in page.elements for name in e.attributes)
    assert "<script>document.title='owned'</script>" in page.text
    assert "49" not in page.all("bdi")[0].text
    assert "\u202e" not in page.source
    assert len(page.source) < plain + 10_000


def test_a_video_without_title_channel_or_picture_is_still_shown() -> None:
    page = Page(render(report_of(title=None, channel=None, tiles=1)))
    assert page.text.count("untitled") == 2
    assert page.text.count("unnamed channel") == 2
    assert page.text.count("picture not stored") == 2


def test_numbers_stand_in_tables_too(page: Page) -> None:
    assert "0.500 [0.400, 0.600]" in " ".join(page.all("table", "ladder")[0].text.split())
    calibration = page.all("table")[1]
    assert calibration.text.count("subscribers+thumbnail") == 10


def test_undefined_figures_are_dashes_and_draw_no_dot() -> None:
    report = report_of(rungs=undefined_rungs(), delta_r2=UNDEFINED, delta_auc=UNDEFINED)
    page = Page(render(report))
    assert "nan" not in page.text.lower()
    assert "–" in page.all("table", "ladder")[0].text


def test_a_value_without_an_interval_is_shown_alone() -> None:
    page = Page(render(report_of(delta_r2=Interval(0.01, math.nan, math.nan))))
    assert "+0.010" in page.all("table", "ladder")[0].text


@pytest.mark.parametrize(("hidden", "told"), [(0.0, False), (0.05, True), (1.0, True)])
def test_hidden_subscribers_stand_apart(hidden: float, *, told: bool) -> None:
    page = Page(render(report_of(hidden=hidden)))
    assert (
        "channels that hide their subscribers" in page.all("figcaption", "legend")[0].text
    ) is told
    assert ("hidden" in page.all("svg")[4].text.split()) is told


def test_extreme_views_and_a_single_video_can_be_drawn() -> None:
    def rows(*views: float) -> Rows:
        logs = np.log10(np.array(views) + 1)
        predicted = dict.fromkeys(("subscribers", "thumbnail", "subscribers+thumbnail"), logs)
        return Rows(np.full(len(views), 0.0), np.array(views), logs > 2, predicted)

    for drawn in (rows(0.0), rows(0.0, 3e9)):
        Page(render(report_of(rows=drawn, line=Line(0.0, 0.0), n_videos=len(drawn))))


def test_no_video_off_on_one_side_leaves_no_empty_heading() -> None:
    both = report_of().extremes
    page = Page(render(report_of(extremes=Extremes([], both.underestimated))))
    assert "Most over-estimated" not in page.text
    assert "Most under-estimated" in page.text


def test_what_was_left_out_or_is_gone_is_said() -> None:
    report = report_of(excluded={"tooYoung": 12, "somethingNew": 1})
    page = Page(render(replace(report, n_videos=report.n_videos + 3)))
    assert "1 somethingNew, 12 younger than a day" in page.text
    assert "3 of the evaluated videos have been deleted" in page.text


def test_1500_videos_make_a_page_below_3_mb() -> None:
    report = report_of(1_500, tiles=12)
    assert len(render(report).encode()) < 3_000_000


def test_a_crowd_is_thinned_and_the_page_says_so() -> None:
    source = render(report_of(20_000, tiles=12))
    assert len(source.encode()) < 3_000_000
    assert "3,000 of 20,000 videos drawn" in Page(source).text


def test_versions_and_moments_are_in_the_page(page: Page) -> None:
    assert "constant v1, subscribers v2, thumbnail v3, subscribers+thumbnail v4" in page.text
    assert "5e" * 32 in page.text
    assert f"1 Mar {NOW.year}" in page.text.replace("\N{NO-BREAK SPACE}", " ")


def test_pictures_are_part_of_the_page(page: Page) -> None:
    assert {i.attributes["src"] for i in page.all("img")} == {picture(i) for i in (1, 2, 3)}


def test_each_rung_stands_beside_its_neighbour_and_notes_follow() -> None:
    report = report_of(
        headline=("subscribers+thumbnail", "subscribers"),
        differences=[
            Difference(
                "subscribers+thumbnail",
                "subscribers",
                UNDEFINED,
                Interval(0.012, 0.004, 0.021),
            )
        ],
        notes=["With thumbnails dealt out anew the thumbnail adds nothing & less."],
    )
    page = Page(render(report))
    assert "Compared with" in page.text
    assert "+0.012 [+0.004, +0.021]" in " ".join(page.text.split())
    assert "adds nothing & less." in page.text
    assert "subscribers+thumbnail minus subscribers" in page.text
