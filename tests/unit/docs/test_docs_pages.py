"""Pages lead where they say: links, anchors, files and the names in them exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.support.deploy import ROOT

PAGES = sorted(
    path
    for path in {*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *ROOT.glob("[a-z]*/README.md")}
    if path.is_file()
)
CODE = ("services", "workers", "db", "ml", "migrations", "tests", "benchmarks")
ROOMS = (*CODE, "deploy", "docs", ".ci")
# What a how-to tells its reader to make begins like this and is not there yet.
OF_THE_READER = re.compile(r"\bmy_|NNNN")


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


@cache
def anchors(page: Path) -> frozenset[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    texts = [re.sub(r"\[([^]]*)]\([^)]*\)", r"\1", heading) for heading in headings]
    return frozenset(re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in texts)


@cache
def names_in(path: Path) -> frozenset[str]:
    """Return the names that a module defines, those in its classes as ``Class.name`` too."""
    found: set[str] = set()

    def collect(nodes: list[ast.stmt], prefix: str = "") -> None:
        for node in nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.add(prefix + node.name)
            if isinstance(node, ast.ClassDef):
                collect(node.body, f"{node.name}.")
            targets = node.targets if isinstance(node, ast.Assign) else []
            targets += [node.target] if isinstance(node, ast.AnnAssign) else []
            found.update(prefix + target.id for target in targets if isinstance(target, ast.Name))

    collect(ast.parse(path.read_text()).body)
    return frozenset(found)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_relative_links_lead_to_a_file_and_a_heading(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", re.sub(r"\n\s*", " ", prose(page))):
        file, _, anchor = target.partition("#")
        linked = (page.parent / file).resolve() if file else page
        assert linked.exists(), f"there is no {target}"
        assert not anchor or anchor in anchors(linked), f"there is no heading {target}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_files_in_backticks_exist(page: Path) -> None:
    for path in re.findall(rf"`((?:{'|'.join(map(re.escape, ROOMS))})/[\w./*-]*)`", prose(page)):
        if not OF_THE_READER.search(path):
            assert list(ROOT.glob(path.rstrip("/"))), f"there is no {path}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_names_beside_a_file_are_defined_in_it(page: Path) -> None:
    """```file.py` `name``` means that name; ``a.b.name`` in backticks likewise."""
    text = re.sub(r"\s+", " ", prose(page))
    beside = re.findall(r"`([\w./-]+\.py)` `([\w.]+)`", text)
    dotted = [
        (f"{module.replace('.', '/')}.py", name)
        for module, name in re.findall(rf"`((?:{'|'.join(CODE)})(?:\.\w+)+)\.(\w+)`", text)
        if (ROOT / f"{module.replace('.', '/')}.py").exists()
    ]
    for file, name in (*beside, *dotted):
        if not OF_THE_READER.search(f"{file} {name}"):
            assert name in names_in(ROOT / file), f"{file} defines no {name}"


def test_comments_name_pages_that_exist() -> None:
    for room in CODE:
        for path in (ROOT / room).rglob("*.py"):
            for target in re.findall(r"\bdocs/[\w/-]+(?:\.(?:md|json|svg|png))?", path.read_text()):
                assert list(ROOT.glob(f"{target}*")), f"{path}: {target}"


def test_a_decision_record_is_one_page_in_one_form() -> None:
    pages = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert [page.name[:4] for page in pages] == [f"{n:04}" for n in range(1, len(pages) + 1)]
    for page in pages:
        text = page.read_text()
        assert text.startswith(f"# {page.name[:4]}: "), page.name
        headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
        assert headings == ["Context", "Decision", "Why", "Consequences"], page.name
        assert len(text.split()) <= 400, page.name


@pytest.mark.parametrize("page", sorted((ROOT / "docs/how-to").glob("*.md")), ids=named)
def test_examples_are_python_and_import_what_exists(page: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    for tree in map(ast.parse, blocks):
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        for module in (node for node in imports if (node.module or "").split(".")[0] in CODE):
            place = ROOT / (module.module or "").replace(".", "/")
            names = {alias.name for alias in module.names}
            names -= {name for name in names if OF_THE_READER.search(name)}
            if place.is_dir():
                names -= {path.stem for path in place.iterdir()}
            source = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
            assert names <= names_in(source), f"{module.module} has not all of {names}"


def test_every_page_is_in_an_index() -> None:
    indexes = [ROOT / "README.md", ROOT / "docs/README.md"]
    linked = {
        (index.parent / target.partition("#")[0]).resolve()
        for index in indexes
        for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", index.read_text())
    }
    folders = {path for path in linked if path.is_dir()}
    lost = [
        named(page)
        for page in PAGES
        if page not in linked and page not in indexes and not folders & set(page.parents)
    ]
    assert lost == []
