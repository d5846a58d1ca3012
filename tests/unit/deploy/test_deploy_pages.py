"""The operator's pages say what the code does."""

import re

from services.settings import Settings
from tests.support.deploy import INSTALL, PYPROJECT, ROOT, SERVICES, WORKERS


def table_keys(page: str, heading: str) -> list[str]:
    """Return the names in backticks that begin the rows below a heading."""
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    assert section, f"there is no heading {heading}"
    return re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)


def test_the_configuration_page_has_each_setting_with_its_default() -> None:
    page = (ROOT / "docs/operations/configuration.md").read_text()
    documented = table_keys(page, "TubeGrader's own")
    assert sorted(documented) == sorted(f"TUBEGRADER_{f.upper()}" for f in Settings.model_fields)
    for name, field in Settings.model_fields.items():
        if field.default_factory is None and field.default is not None:
            row = re.search(rf"^\| `TUBEGRADER_{name.upper()}` \| (.+?) \|", page, re.MULTILINE)
            assert row is not None
            is_switch = isinstance(field.default, bool)
            shown = str(field.default).lower() if is_switch else field.default
            assert row[1] == f"`{shown}`", name


def test_the_dependencies_page_has_each_dependency_and_no_other() -> None:
    page = (ROOT / "docs/dependencies.md").read_text()
    project = PYPROJECT["project"]
    groups = {"Always": project["dependencies"]} | {
        f"`{extra}`": needs for extra, needs in project["optional-dependencies"].items()
    }
    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert headings == list(groups)
    for heading, needs in groups.items():
        names = {re.split(r"[\[<>=!~; ]", need, maxsplit=1)[0] for need in needs}
        # An extra that only gathers others is described by them.
        assert set(table_keys(page, heading)) == names - (
            {"tubegrader"} if heading != "`all`" else set()
        )


def test_pages_name_only_services_that_exist() -> None:
    named = set(re.findall(r"\bworker-\w+\b", INSTALL))
    assert named == set(WORKERS.values())
    documented = re.findall(
        r"`([\w-]+)`", "".join(re.findall(r"^\| (`[\w-]+`.*?) \|", INSTALL, re.MULTILINE))
    )
    assert set(documented) == SERVICES.keys()
