"""Whoever takes a channel reads it as `channels add` does, in whatever dress it comes."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import text

from services.context import Context
from services.embedded import Endpoints, workers
from services.errors import UsageError
from services.learning.grading.comparables import whose
from tests.support.cli import in_process, settings_of
from tests.support.crawl import rows
from tests.support.databases import context_on, own_database

CHANNEL, HANDLE = "UC" + "a" * 22, "@somename"
NAMES = (
    "\uff20\uff53\uff4f\uff4d\uff45\uff4e\uff41\uff4d\uff45",  # in full-width letters
    "\u200b@SomeName,",
    '"@somename"',
    "m.youtube.com/%40somename/videos",
    f"https://www.youtube.com/feeds/videos.xml?channel_id={CHANNEL}",
    "\uff35\uff23" + "a" * 22,
)
"""All of the one channel."""


@pytest.fixture(scope="module")
def context(endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    with (
        own_database(endpoints.database_url, "test_named_channels") as url,
        closing(context_on(url, endpoints, tmp_path_factory.mktemp("named"))) as made,
    ):
        with made.engine.begin() as connection:
            connection.execute(
                text("INSERT INTO channels (channel_id, handle, added_at, watched) "
                     "VALUES (:c, :h, now(), true)"),
                {"c": CHANNEL, "h": HANDLE},
            )  # fmt: skip
        yield made


@pytest.mark.parametrize("name", NAMES)
def test_a_grading_knows_the_channel(context: Context, name: str):
    with pytest.raises(UsageError) as error:
        whose(context, name, None)
    assert error.value.reason == "subscribersUnknown"
    assert whose(context, name, 1_000).channel_id == CHANNEL


@pytest.mark.parametrize("name", NAMES)
def test_commands_know_the_channel(context: Context, name: str):
    env = settings_of(context)
    for words in (
        ("approvals", "add", f"letter {NAMES.index(name)}", "--scope", "audio", "--channel", name),
        ("schedule", "add", f"s{NAMES.index(name)}", "--kind", "crawl", "--every", "1h",
         "--channel", name),
        ("channels", "pause", name),
        ("completeness", "--channel", name),
    ):  # fmt: skip
        ran = in_process(*words, env=env)
        assert ran.code == 0, (words, ran.err)
    assert set(rows(context, "SELECT DISTINCT channel_id FROM approvals")) == {(CHANNEL,)}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        *((name, {f"channels/{CHANNEL}", "channels/%40somename", "channels/%40SomeName"})
          for name in NAMES),
        ("jobs", {"jobs"}),
        ("comparison", {"comparison"}),
        ("dQw4w9WgXcQ", {"videos/dQw4w9WgXcQ"}),
        ("", {""}),
    ],
)  # fmt: skip
def test_the_page_of_a_channel_is_opened(
    context: Context, monkeypatch: pytest.MonkeyPatch, name: str, path: set[str]
):
    monkeypatch.setattr(workers, "supervisor", lambda _home: 1)
    monkeypatch.setattr(workers, "api_url", lambda _home: "http://127.0.0.1:1")
    ran = in_process("open", name, "--url", env=settings_of(context))
    assert ran.out.strip().removeprefix("http://127.0.0.1:1/") in path
