"""Every example of every ``--help``, and the shape of every ``--json``, on invented data."""

import os
import re
import shlex
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
import typer

from services import tokens
from services.cli.examples import EXAMPLES
from services.cli.main import app
from services.cli.words import renamed
from services.work import jobs, pauses
from tests.support.cli import Ran
from tests.support.demo_home import DemoHome, demo_home, shape
from tests.support.deploy import ROOT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    # The stack outlives whoever started it: processes are left running on purpose.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

ELSEWHERE = {
    "demo": "tests/integration/cli/test_demo.py",
    "up": "tests/faults/test_embedded_crashes.py",
    "emulator": "tests/integration/emulator",
    "audio classify": "tests/learning/speech/test_language_files.py",
    "backups restore": "tests/integration/backups/test_backups_in_use.py",
}
"""Commands that run for long, or want a trained speech model or a home that was never up, and where
they are run."""
TRAINS = ("models train", "models retrain")
"""Examples that would train for minutes: they are submitted, and that is all."""
ONCE = ("approvals revoke", "schedules run")
"""Commands that do nothing, or refuse, when they are asked again at once."""
PAGE = ROOT / "docs" / "operations" / "json.md"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoHome]:
    with demo_home(tmp_path_factory.mktemp("demo")) as made:
        for queue in ("learning", "scoring"):  # what is only submitted waits
            pauses.pause(made.context, queue)
        yield made


def commands() -> dict[str, object]:
    found = {}

    def walk(command, words):
        for name, each in getattr(command, "commands", {}).items():
            walk(each, [*words, name])
        if not hasattr(command, "commands"):
            found[" ".join(words)] = command

    walk(typer.main.get_command(app), [])
    return found


def documented() -> dict[str, tuple[str, set[str], set[str]]]:
    """What the page says of each command: list or object, keys, and keys that may be missing."""
    row = re.compile(r"^\| `([a-z -]+)` \| (list|object)[^|]* \| (.*) \|$", re.MULTILINE)
    rows = row.findall(PAGE.read_text("utf-8"))
    split = {command: re.findall(r"`(\w+)`(\?)?", keys) for command, _, keys in rows}
    return {
        command: (
            {"list": "list", "object": "dict"}[kind],
            {key for key, _ in split[command]},
            {key for key, may_lack in split[command] if may_lack},
        )
        for command, kind, _ in rows
    }


def test_every_command_has_an_example_and_every_json_is_documented():
    assert set(EXAMPLES) == set(commands())
    with_json = {
        name
        for name, command in commands().items()
        if any("--json" in each.opts for each in command.params)
    }
    assert set(commands()) - with_json == {"demo"}
    free = {"sql", "audio classify"}  # as the query has it; as docs/operations/language.md says
    assert set(documented()) == with_json - free


def test_every_example_runs_and_its_json_is_as_documented(home: DemoHome):
    problems = [
        problem
        for command, examples in EXAMPLES.items()
        if command not in ELSEWHERE
        for problem in problems_of(home, command, examples)
    ]
    assert problems == []


def test_the_notebook_runs_on_an_export_and_the_views(home: DemoHome, monkeypatch):
    for package in ("duckdb", "polars", "nbformat", "nbclient", "ipykernel"):
        pytest.importorskip(package, reason="pip install 'tubegrader[notebooks]'")
    import nbformat
    from nbclient import NotebookClient

    folder = home.folder / f"export{uuid.uuid4().hex}"
    assert home.run("data", "export", str(folder)).code == 0
    for name, value in {**home.environment, "TUBEGRADER_EXPORT": str(folder)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    notebook = nbformat.read(ROOT / "docs" / "querying" / "notebook.ipynb", as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()


def problems_of(home: DemoHome, command: str, examples: tuple[str, ...]) -> list[str]:
    found = []
    if command in documented():
        kind, keys, may_lack = documented()[command]
        printed = examples[0].split(" > ")[0]
        first = printed if "--json" in printed else f"{printed} --json"
        ran = run(home, command, first)
        if ran.code:
            return [f"{first}: {ran.code}, {ran.err}"]
        is_kind, is_keys = shape(ran.out)
        if is_kind != kind or (is_keys and not keys - may_lack <= is_keys <= keys):
            found.append(f"{first}: {is_kind} of {sorted(is_keys)}, not {kind} of {sorted(keys)}")
    for example in () if command in ONCE else examples:
        if "--watch" not in example:
            ran = run(home, command, example)
            if ran.code:
                found.append(f"{example}: {ran.code}, {ran.err}")
    return found


def run(home: DemoHome, command: str, example: str) -> Ran:
    """Run an example as a shell does, with what this home calls the things in it."""
    ran = Ran(0, "", "")
    if command.startswith("jobs "):
        submit(home, "7be01d22", "9c41aa07")
    elif command == "tokens revoke":
        tokens.create(home.context, shlex.split(example)[3])
    for each in example.split(" | "):
        program, *words = shlex.split(each.split(" > ")[0])
        assert program == "tubegrader"
        assert " ".join(renamed(words)).startswith(command.split(maxsplit=1)[0])
        if command in TRAINS and "--no-wait" not in words:
            words.append("--no-wait")
        if command == "data export":
            words[2] += uuid.uuid4().hex  # a folder that does not exist yet
        elif command == "tokens create":
            words[2] += uuid.uuid4().hex  # a name that no token has yet
        with at_work(home) if command == "models score" else nullcontext():
            home_of = home.folder / "nobody" if command == "down" else None
            ran = home.run(*words, home=home_of, stdin=ran.out)
    return ran


def submit(home: DemoHome, *names: str) -> None:
    """Have jobs of these names that wait, so that they can be paused and cancelled."""
    for name in names:
        if name not in home.names:
            home.names[name] = str(jobs.submit(home.context, "score", {}))[:8]


@contextmanager
def at_work(home: DemoHome) -> Iterator[None]:
    pauses.resume(home.context, "scoring")
    yield
    pauses.pause(home.context, "scoring")
