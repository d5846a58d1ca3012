from pathlib import Path
from typing import Any

import pytest

from services.learning.report.page import render
from tests.support.chromium import Tab, chromium, visit
from tests.support.report_contents import report_of

pytestmark = pytest.mark.skipif(
    chromium() is None, reason="no Chromium on this machine (apt-get install chromium)"
)

TITLE = "<script>document.title='owned'</script><img src=http://127.0.0.1:9/x> " + "W" * 400
CONTRAST = """
(() => {
  const light = colour => {
    const parts = colour.match(/[0-9.]+/g).slice(0, 3).map(part => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const paper = light(getComputedStyle(document.body).backgroundColor);
  const ratios = {};
  const shown = element => element.getClientRects().length > 0;
  for (const element of document.querySelectorAll("h1, p, dt, dd, td, small, figcaption, text")) {
    if (!shown(element) || element.closest(".missing")) continue;
    const style = getComputedStyle(element);
    const ink = light(element.tagName === "text" ? style.fill : style.color);
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    ratios[element.tagName] = Math.min(ratio, ratios[element.tagName] ?? Infinity);
  }
  return ratios;
})()
"""
SMALLEST_LETTER = """
Math.min(...[...document.querySelectorAll("svg text")]
  .filter(text => text.getClientRects().length > 0)
  .map(text => {
    const svg = text.ownerSVGElement;
    const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
    return scale * parseFloat(getComputedStyle(text).fontSize);
  }))
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render(report_of(title=TITLE, channel=TITLE)), encoding="utf-8")
    return path


def test_the_browser_asks_for_the_file_alone_and_has_nothing_to_complain_about(
    page: Path, tmp_path: Path
) -> None:
    async def ask(tab: Tab) -> tuple[Any, Any, Any]:
        title = await tab.evaluate("document.title")
        pictures = await tab.evaluate(
            "[...document.images].map(image => [image.complete, image.naturalWidth])"
        )
        return title, pictures, (tab.requested_addresses(), tab.complaints())

    title, pictures, (requested_addresses, complaints) = visit(page, ask, tmp_path, width=1200)
    assert title == "TubeGrader: what a thumbnail is worth"
    assert pictures == [[True, 320]] * 6
    assert requested_addresses == [page.as_uri()]
    assert complaints == []


@pytest.mark.parametrize("width", [360, 700, 1200])
def test_nothing_is_wider_than_the_window_and_every_letter_can_be_read(
    page: Path, tmp_path: Path, width: int
) -> None:
    async def ask(tab: Tab) -> tuple[Any, Any, Any]:
        needed = await tab.evaluate("document.documentElement.scrollWidth")
        smallest = await tab.evaluate(SMALLEST_LETTER)
        scatters = await tab.evaluate(
            "[...document.querySelectorAll('.wide, .narrow')]"
            ".filter(figure => figure.getClientRects().length > 0).length"
        )
        return needed, smallest, scatters

    needed, smallest, scatters = visit(page, ask, tmp_path, width=width)
    assert needed <= width
    assert smallest >= 9.0
    assert scatters == 1


@pytest.mark.parametrize("dark", [False, True])
def test_letters_stand_out_in_both_themes(page: Path, tmp_path: Path, *, dark: bool) -> None:
    async def ask(tab: Tab) -> tuple[Any, Any]:
        background = await tab.evaluate("getComputedStyle(document.body).backgroundColor")
        return background, await tab.evaluate(CONTRAST)

    background, ratios = visit(page, ask, tmp_path, width=1200, dark=dark)
    assert (background == "rgb(22, 24, 28)") is dark
    # 4.5 is what WCAG 2.2 asks for text of this size.
    assert set(ratios) >= {"H1", "P", "TD", "text"}
    assert min(ratios.values()) >= 4.5, ratios
