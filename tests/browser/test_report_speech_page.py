from pathlib import Path
from typing import Any

import pytest

from services.learning.report.page import render
from tests.browser.test_report_page import CONTRAST, SMALLEST_LETTER
from tests.support.chromium import Tab, chromium, visit
from tests.support.report_contents import report_of
from tests.support.speech_report import speech_report_of

pytestmark = pytest.mark.skipif(
    chromium() is None, reason="no Chromium on this machine (apt-get install chromium)"
)

SOURCE = "<script>document.title='owned'</script> " + "W" * 300


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    speech = speech_report_of(source=SOURCE, sources=12)
    path.write_text(render(report_of(tiles=0), speech), encoding="utf-8")
    return path


@pytest.mark.parametrize(("width", "dark"), [(360, True), (390, False), (1200, True)])
def test_the_section_fits_the_window_and_can_be_read_in_both_themes(
    page: Path, tmp_path: Path, width: int, *, dark: bool
) -> None:
    async def ask(tab: Tab) -> dict[str, Any]:
        return {
            "width": await tab.evaluate("document.documentElement.scrollWidth"),
            "letter": await tab.evaluate(SMALLEST_LETTER),
            "contrast": await tab.evaluate(CONTRAST),
            "pictures": await tab.evaluate(
                "[...document.querySelectorAll('.spectrograms img')].map(i => i.naturalWidth)"
            ),
            "title": await tab.evaluate("document.title"),
            "asked": tab.requested_addresses(),
            "complaints": tab.complaints(),
        }

    found = visit(page, ask, tmp_path, width=width, dark=dark)
    assert found["width"] <= width
    assert found["letter"] >= 9.0
    assert min(found["contrast"].values()) >= 4.5
    assert found["pictures"] == [320] * 8
    assert found["title"].startswith("TubeGrader")
    assert (found["asked"], found["complaints"]) == ([page.as_uri()], [])
