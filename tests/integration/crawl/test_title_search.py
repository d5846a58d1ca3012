"""Videos whose titles have some words, page by page: many of them and few come the same."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from db.queries.catalog import browsing as rows
from services import browsing
from services.context import Context
from tests.support.catalogue import Catalogue

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)


@pytest.fixture
def titled(context: Context) -> Catalogue:
    made = Catalogue(context, NOW)
    made.add(30)
    made.sql(
        "UPDATE videos SET title = 'Day ' || CASE WHEN video_id LIKE '%3' THEN 'three' "
        "ELSE 'other' END"
    )
    with context.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    return made


@pytest.mark.parametrize("few", [rows.FEW, 5, 1])
@pytest.mark.parametrize(
    ("words", "n"), [("day", 30), ("three", 3), ("day three", 3), ("never", 0)]
)
def test_pages_of_words_follow_one_another(
    titled: Catalogue, monkeypatch: pytest.MonkeyPatch, few: int, words: str, n: int
):
    monkeypatch.setattr(rows, "FEW", few)
    found: list[browsing.VideoRow] = []
    after = None
    while True:
        page = browsing.videos(titled.context, title=words, after=after, limit=2)
        found += page.items
        after = page.next
        if after is None:
            break
    assert [v.video_id for v in found] == [
        one
        for (one,) in titled.sql(
            "SELECT video_id FROM videos WHERE title ~* ALL(:words) "
            "ORDER BY published_at DESC, video_id DESC",
            words=words.split(),
        )
    ]
    assert len(found) == n
    of_one = browsing.videos(titled.context, channel="UC" + "a" * 22, title=words).items
    assert [v.video_id for v in of_one] == [
        v.video_id for v in found if v.channel_id == "UC" + "a" * 22
    ]
