"""Rows by binary COPY: whatever is written comes back, and what cannot be kept is refused."""

from datetime import UTC, datetime, timedelta, timezone

import psycopg
import pytest
from sqlalchemy import text

from db.models import Thumbnail, VideoSnapshot
from db.queries import bulk
from services.context import Context
from tests.support.catalogue import Catalogue

NOW = datetime(2026, 7, 15, 12, tzinfo=UTC)
EAST = timezone(timedelta(hours=8))
REFUSALS = (psycopg.Error, OverflowError, TypeError)
"""The database's, and the driver's of what has no binary form."""


def snapshot(video_id: str, **values: object) -> dict[str, object]:
    facts: dict[str, object] = {
        "slot": NOW,
        "captured_at": NOW,
        "view_count": 1,
        "like_count": None,
        "view_definition": None,
    }
    return {"video_id": video_id, **facts, **values}


@pytest.fixture
def ids(context: Context) -> list[str]:
    return Catalogue(context, NOW).add(4)


def test_what_is_written_comes_back(context: Context, ids: list[str]):
    rows = [
        snapshot(ids[0]),
        snapshot(ids[1], view_count=2**63 - 1, like_count=0, view_definition="started"),
        snapshot(ids[2], captured_at=NOW + timedelta(microseconds=1), view_count=None),
        snapshot(ids[3], captured_at=datetime(1999, 12, 31, 23, 59, 59, 999_999, EAST)),
    ]
    with context.transaction() as session:
        assert bulk.append(session, VideoSnapshot, rows) == 4
        assert bulk.append(session, VideoSnapshot, rows) == 0
    with context.transaction() as session:
        names = ", ".join(rows[0])
        found = session.execute(text(f"SELECT {names} FROM video_snapshots ORDER BY 1"))
        assert [dict(row) for row in found.mappings()] == rows


def test_a_picture_with_a_negative_hash_comes_back(context: Context):
    row = {
        "thumbnail_sha256": "a" * 64,
        "format": "jpeg",
        "width": 320,
        "height": 180,
        "byte_size": 9000,
        "stored_at": NOW,
        "perceptual_hash": -1,
        "purged_at": None,
    }
    with context.transaction() as session:
        assert bulk.copy(session, Thumbnail, [row]) == 1
        assert session.scalars(text("SELECT perceptual_hash FROM thumbnails")).all() == [-1]


@pytest.mark.parametrize(
    "odd",
    [
        {"view_count": 2**63},
        {"view_count": -1},
        {"view_count": "many"},
        {"video_id": "a\0b"},
        {"video_id": None},
        {"view_definition": "guessed"},
    ],
    ids=["too large", "negative", "no number", "a NUL", "nothing", "not known"],
)
def test_what_cannot_be_kept_is_refused_and_the_session_goes_on(
    context: Context, ids: list[str], odd: dict[str, object]
):
    with context.transaction() as session:
        with pytest.raises(REFUSALS), session.begin_nested():
            bulk.copy(session, VideoSnapshot, [snapshot(ids[0]), {**snapshot(ids[1]), **odd}])
        assert bulk.append(session, VideoSnapshot, [snapshot(ids[2])]) == 1


def test_what_a_transaction_did_before_stays_where_rows_were_there(
    context: Context, ids: list[str]
):
    both = [snapshot(ids[0]), snapshot(ids[1])]
    with context.transaction() as session:
        assert bulk.append(session, VideoSnapshot, both[:1]) == 1  # the first of a transaction
    with context.transaction() as session:
        session.execute(text("UPDATE channels SET title = 'before'"))
        assert bulk.append(session, VideoSnapshot, both) == 1
        session.execute(text("UPDATE channels SET handle = '@' || left(channel_id, 5)"))
    with context.transaction() as session:
        found = "SELECT count(*) FROM channels WHERE title = 'before' AND handle IS NOT NULL"
        assert session.scalar(text(found)) == 2
        assert bulk.append(session, VideoSnapshot, both) == 0  # the first, and nothing is new
        assert session.scalar(text("SELECT count(*) FROM video_snapshots")) == 2
