"""How the code is laid out: which modules name each other, and how long a file may be."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("services", "workers", "db", "ml")
CODE = (*PACKAGES, "migrations", "tests", "benchmarks", "deploy")
MOST_LINES = 400
LONGER = {
    "migrations/versions/0001_first_schema.py": "the first schema as it was released; never edited",
    "migrations/versions/0006_speech.py": "one schema change as it was released; never edited",
    "tests/integration/learning/test_promotion.py": "one week of nights that all its tests read",
}
"""Files that may be longer, each with its reason."""


def files(*folders: str) -> list[Path]:
    return sorted(p for folder in folders for p in (ROOT / folder).rglob("*.py"))


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """The modules and names that are imported anywhere in a file: functions and types count too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            yield from ((str(node.module), alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)


def graph() -> dict[str, set[str]]:
    known = {module(path): path for path in files(*PACKAGES)}
    return {
        name: {
            found
            for source, part in imported(ast.parse(path.read_bytes()))
            for found in [f"{source}.{part}" if f"{source}.{part}" in known else source]
            if found in known
        }
        - {name}
        for name, path in known.items()
    }


def cycle_of(needs: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_modules_name_each_other_round_in_a_circle():
    """An import inside a function hides a circle from Python, but not from whoever reads it."""
    assert cycle_of(graph()) == []


def test_a_circle_would_be_found():
    assert set(cycle_of({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})) == {"a", "b", "c"}
    assert graph()["services.cli.main"] >= {"services.cli.demo", "services.errors"}


def test_no_file_is_longer_than_one_can_read_in_a_sitting():
    lines = {str(p.relative_to(ROOT)): len(p.read_bytes().splitlines()) for p in files(*CODE)}
    long = {name for name, count in lines.items() if count > MOST_LINES}
    assert sorted(long - LONGER.keys()) == [], f"split it (over {MOST_LINES} lines)"
    assert sorted(LONGER.keys() - long) == [], "no reason is needed any more"
