from pathlib import Path
from typing import Any

import pytest

from services.learning.report.page import render
from tests.browser.test_report_page import CONTRAST, SMALLEST_LETTER
from tests.support.chromium import Tab, chromium, visit
from tests.support.report_contents import report_of
from tests.support.report_sections import FORWARD, SLICES, growth_of, swaps_of

pytestmark = pytest.mark.skipif(
    chromium() is None, reason="no Chromium on this machine (apt-get install chromium)"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    report = report_of(slices=SLICES, forward=FORWARD)
    path.write_text(render(report, swaps=swaps_of(), growth=growth_of()), encoding="utf-8")
    return path


@pytest.mark.parametrize(("width", "dark"), [(360, False), (700, True), (1200, False)])
def test_the_sections_fit_the_window_and_can_be_read(
    page: Path, tmp_path: Path, width: int, *, dark: bool
) -> None:
    async def ask(tab: Tab) -> tuple[Any, Any, Any, Any]:
        needed = await tab.evaluate("document.documentElement.scrollWidth")
        tables = await tab.evaluate(
            "[...document.querySelectorAll('.whole')]"
            ".map(table => table.scrollWidth - table.parentElement.clientWidth)"
        )
        smallest, ratios = await tab.evaluate(SMALLEST_LETTER), await tab.evaluate(CONTRAST)
        return needed, tables, smallest, ratios

    needed, tables, smallest, ratios = visit(page, ask, tmp_path, width=width, dark=dark)
    assert needed <= width
    assert len(tables) == 4
    # Not even on a phone need a table be pushed sideways.
    assert max(tables) <= 0
    assert smallest >= 9.0
    assert min(ratios.values()) >= 4.5, ratios
