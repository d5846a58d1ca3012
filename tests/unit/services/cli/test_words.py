"""The grammar of the command line, and the words of before."""

import re

import pytest

from services.cli.main import app
from services.cli.words import RENAMED, renamed
from tests.support.cli import in_process
from tests.support.deploy import ROOT

# As they were typed before there was a grammar. Scripts hold them; the list only grows.
OF_BEFORE = (
    *("crawl", "channels", "completeness", "plan", "quota", "import", "export", "purge"),
    *("approvals", "audio", "label", "train", "score", "compare", "retrain", "drift", "report"),
    *("grade", "growth", "swaps", "language", "datasets", "models", "sql", "up", "open", "down"),
    *("status", "doctor", "migrate", "jobs", "schedule", "pause", "resume", "blockers"),
    *("holdups", "breakers", "notify", "demo", "emulator"),
    *("channels list", "channels add", "channels show", "channels tag add", "channels tag remove"),
    *("channels pause", "channels resume", "channels forget", "approvals add", "approvals list"),
    *("approvals revoke", "audio add", "audio list", "audio remove", "audio refetch"),
    *("audio status", "datasets list", "datasets show", "datasets diff", "datasets verify"),
    *("datasets features", "models list", "models show", "models promote", "models rollback"),
    *("jobs list", "jobs show", "jobs watch", "jobs cancel", "jobs pause", "jobs resume"),
    *("jobs retry", "jobs items", "schedule add", "schedule list", "schedule next"),
    *("schedule pause", "schedule resume", "schedule remove", "schedule run-now"),
    *("breakers reset", "notify test", "notify list"),
)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SOURCES = [
    file
    for room in ("db", "ml", "services", "workers")
    for suffix in ("py", "html")
    for file in sorted((ROOT / room).rglob(f"*.{suffix}"))
    if file.name != "words.py"
]
STARTS = "|".join(sorted({words.split()[0] for words in (*OF_BEFORE, *RENAMED.values())}))
TYPED = re.compile(rf"tubegrader(?: --home \S+)? ((?:{STARTS})(?![\w-])(?: [a-z][a-z-]*)*)")


@pytest.mark.parametrize("words", OF_BEFORE)
def test_words_of_before_lead_to_a_command(words):
    ran = in_process(*words.split(), "--help")
    assert ran.code == 0, ran.err
    assert f"Usage: tubegrader {' '.join(renamed(words.split()))} " in ran.out


@pytest.mark.parametrize("before", RENAMED)
def test_words_of_before_do_the_same_as_those_of_now(before):
    for rest in (("--help",), ("--no-such-option",)):
        old, new = (in_process(*w.split(), *rest) for w in (before, RENAMED[before]))
        assert old == new
        assert old.code == (0 if rest == ("--help",) else 2)


@pytest.mark.parametrize("before", [word for word in RENAMED if " " not in word])
def test_words_of_before_are_not_listed(before):
    listed = re.findall(r"^  ([a-z-]+) ", in_process("--help").out, re.MULTILINE)
    assert before not in listed
    assert RENAMED[before].split()[0] in listed


def test_a_noun_alone_is_what_it_was():
    for noun, verb in (("channels", "list"), ("quota", "show"), ("breakers", "list")):
        alone, spelled = (in_process(*w, "--odd") for w in ((noun,), (noun, verb)))
        assert alone == spelled
        assert "No such option" in alone.err


def test_a_mistyped_word_is_guessed():
    ran = in_process("chanels", "list")
    assert ran.code == 2
    assert "Did you mean 'channels'" in ran.err
    assert "--help" in ran.err


def test_what_a_command_does_is_cut_where_a_clause_ends(monkeypatch):
    from typer.testing import CliRunner

    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(app, ["--help"]).output
    assert "Show each part, what is held back, and how large it is.\n" in shown
    assert "Open psql on the database, or run a query on it.\n" in shown
    assert "..." not in shown.partition("Collect:")[2]
    assert max(map(len, shown.splitlines())) <= 80


def test_pages_and_messages_use_the_words_of_now_and_no_others():
    import typer

    root = typer.main.get_command(app)
    for page in (*PAGES, *SOURCES):
        text = re.sub(r'"\n\s*f?"', "", page.read_text("utf-8"))  # of a string in several lines
        for match in TYPED.finditer(text):
            typed = match[1].split()
            assert renamed(typed) == typed, f"{page.name}: {match[0]} is {renamed(typed)} now"
            command = root
            while typed and hasattr(command, "commands"):
                of_the_reader = "how-to" in page.parts
                assert typed[0] in command.commands or of_the_reader, f"{page.name}: {match[0]}"
                if typed[0] not in command.commands:
                    break
                command = command.commands[typed.pop(0)]
