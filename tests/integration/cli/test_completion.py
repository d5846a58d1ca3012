"""Tab in bash, zsh and fish: words, and ids and names of a home that is up."""

import pytest

from db.queries.catalog import channels
from services.cli import completing
from services.context import Context
from services.crawl import watchlist
from services.work import jobs
from tests.support.cli import in_process, settings_of

CHANNEL = "UC" + "a" * 22


@pytest.fixture
def tab(context: Context):
    """Press tab after some words; the lines that the shell reads."""

    def pressed(typed: str, shell: str = "bash", **env: str) -> str:
        words = f"tubegrader {typed}"
        asked = {
            "_TUBEGRADER_COMPLETE": f"complete_{shell}",
            "_TYPER_COMPLETE_ARGS": words,
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        }
        return in_process(env=settings_of(context) | asked | env).out

    return pressed


@pytest.fixture
def job_id(context: Context) -> str:
    with context.transaction() as session:
        channels.add(session, [CHANNEL], now=context.clock())
        facts = {"channel_id": CHANNEL, "handle": "@somebody", "title": "Some Body"}
        channels.refresh(session, facts, now=context.clock())
    watchlist.tag(context, [CHANNEL], ["mine"], remove=False)
    return str(jobs.submit(context, "train", {}))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_words_ids_and_names_are_offered_in_each_shell(tab, job_id, shell):
    assert "schedules" in tab("sche", shell)
    assert job_id[:8] in tab("jobs show ", shell)
    assert "nightly-retraining" in tab("schedules pause night", shell)
    assert "@somebody" in tab("channels show ", shell)


def test_nothing_of_this_home_is_offered_for_commands_on_another(tab, job_id):
    away = {"TUBEGRADER_API_URL": "http://127.0.0.1:9"}
    assert tab("schedules pause night", **away).strip() == ""
    assert tab("channels show ", **away).strip() == ""
    assert "champion" in tab("models show ch", **away)
    assert "schedules" in tab("sche", **away)


def test_what_is_offered_begins_as_what_was_typed(tab, job_id):
    assert tab("channels show UC").split() == [CHANNEL]
    assert tab("channels list --tag m").split() == ["mine"]
    assert tab("jobs show zz").strip() == ""
    assert "data-api" in tab("breakers reset da")
    assert "+thumbnail" in tab("models show +")
    assert "newest" in tab("datasets show ")


def test_words_of_before_are_completed_but_not_offered(tab, job_id):
    assert "grade" not in tab("gr")
    assert "nightly-speech" in tab("schedule run-now nightly-s")


def test_a_home_that_is_down_offers_nothing_and_starts_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("TUBEGRADER_HOME", str(tmp_path))
    assert completing.jobs("") == []
    assert list(tmp_path.iterdir()) == []
