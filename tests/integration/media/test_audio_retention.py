"""How long audio is held: limits, approvals that end, datasets that need it, the orphan sweep."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db.queries.speech import clips as rows
from services.policy import approvals, ownership, retention
from tests.support.audio_host import CHANNELS, OTHER, VIDEO, Speech, speech, spoken

__all__ = ["speech", "spoken"]


def purge(speech: Speech, *, dry_run: bool = False) -> retention.KindReport:
    [found] = retention.purge(speech.context, dry_run=dry_run, kinds=["audio"]).kinds
    return found


def clip(speech: Speech, video: str, *contents: bytes, **changes: object) -> int:
    """Record a clip whose original and segments are these bytes."""
    names = speech.context.store.put_many(list(contents))
    values = {
        "video_id": video, "audio_sha256": names[0], "byte_size": len(contents[0]),
        "container": "webm", "codec": "opus", "sample_rate": 48_000, "channels": 1,
        "said_duration_s": None, "duration_s": 60.0, "kept_s": 4.0 * len(names[1:]),
        "format_id": "x", "track_language": None, "cutting_version": "1-10s",
        "allowed_by": "setting", "approval_reference": None,
    }  # fmt: skip
    segments = [
        rows.StoredSegment(5.0 * i, 4.0, name, len(content), 0.9, -20.0, None, 0.0)
        for i, (name, content) in enumerate(zip(names[1:], contents[1:], strict=True))
    ]
    with speech.context.transaction() as session:
        found = rows.record_clip(
            session, rows.StoredClip(**{**values, **changes}), segments, now=speech.clock()
        )
    return found.clip_id


def test_audio_goes_after_its_days_and_its_rows_stay(speech: Speech):
    clip(speech, VIDEO, b"one", b"a", b"b")
    speech.turn(days=20)
    clip(speech, OTHER, b"two", b"b", b"c")  # one segment sounds the same
    assert purge(speech).rows == 0
    speech.turn(days=11)
    assert (purge(speech, dry_run=True).rows, len(speech.context.store.names())) == (1, 5)
    done = purge(speech)
    assert (done.rows, done.kept_days) == (1, 27)
    left = {speech.context.store.get(name) for name in speech.context.store.names()}
    assert left == {b"two", b"b", b"c"}
    assert speech.sql("SELECT video_id, purged_at IS NULL FROM audio_clips ORDER BY clip_id") == [
        (VIDEO, False),
        (OTHER, True),
    ]
    assert speech.value("SELECT count(*) FROM speech_segments") == 4
    assert purge(speech).rows == 0


def test_longer_needs_an_approval_and_one_of_a_channel_keeps_that_channel(speech: Speech):
    speech.with_settings(retention_audio_days=90)
    clip(speech, VIDEO, b"one", b"a")
    clip(speech, OTHER, b"two", b"b")
    speech.turn(days=40)
    assert "need an approval" in str(purge(speech, dry_run=True).note)
    approvals.add(speech.context, "letter 7", scope="audio", channel_id=CHANNELS[0])
    assert purge(speech).rows == 1
    assert speech.sql("SELECT video_id FROM audio_clips WHERE purged_at IS NULL") == [(VIDEO,)]


def test_what_only_an_approval_allowed_goes_when_it_ends(speech: Speech):
    speech.with_settings(audio_allowed=False)
    approvals.add(speech.context, "letter 7", scope="audio")
    allowed = {"allowed_by": "approval", "approval_reference": "letter 7"}
    clip(speech, VIDEO, b"one", b"a", **allowed)
    clip(speech, OTHER, b"two", b"b")  # taken as one's own: a setting that is away proves nothing
    assert purge(speech).rows == 0
    approvals.revoke(speech.context, "letter 7")
    assert purge(speech).rows == 1
    assert speech.sql("SELECT video_id FROM audio_clips WHERE purged_at IS NULL") == [(OTHER,)]


def test_what_was_purged_and_is_fetched_anew_is_held_again(speech: Speech):
    first = clip(speech, VIDEO, b"one", b"a")
    speech.turn(days=40)
    purge(speech)
    assert clip(speech, VIDEO, b"one", b"a") == first
    assert purge(speech).rows == 0
    assert len(speech.context.store.names()) == 2
    assert speech.value("SELECT count(*) FROM speech_segments") == 1


def test_what_a_dataset_lists_and_what_rows_speak_of_is_kept(speech: Speech):
    clip(speech, VIDEO, b"one", b"a")
    stray = speech.context.store.put(b"left by a worker that was killed")
    [listed] = speech.sql("SELECT flac_sha256 FROM speech_segments")
    speech.sql(
        "INSERT INTO datasets (dataset_id, task, as_of, created_at, n_videos, n_channels, "
        "excluded, files) VALUES (repeat('0', 64), 'speech', now(), now(), 1, 1, '{}', "
        "jsonb_build_object('a', CAST(:sha AS text)))",
        sha=listed[0],
    )
    speech.turn(days=40)
    report = purge(speech)
    assert (report.rows, report.held) == (0, {"needed by a dataset in use": 1})
    ownership.claim(speech.context)
    # Objects carry the store's own time.
    speech.clock.now = datetime.now(UTC) + timedelta(days=8)
    retention.purge(speech.context, dry_run=False, kinds=["orphans"])
    assert len(speech.context.store.names()) == 2
    assert stray not in speech.context.store.names()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from((VIDEO, OTHER)), st.integers(0, 3), st.integers(0, 25)),
        max_size=8,
    )
)
def test_whatever_is_fetched_when_rows_and_store_always_agree(
    speech: Speech, steps: list[tuple[str, int, int]]
):
    speech.sql("DELETE FROM audio_clips")
    for name in speech.context.store.names():
        speech.context.store.delete_many([name])
    for video, sound, days in steps:
        clip(speech, video, f"original {sound}".encode(), f"part {sound // 2}".encode())
        speech.turn(days=days)
        purge(speech)
        needed = speech.sql(
            "SELECT audio_sha256 FROM audio_clips WHERE purged_at IS NULL UNION "
            "SELECT flac_sha256 FROM speech_segments JOIN audio_clips USING (clip_id) "
            "WHERE purged_at IS NULL"
        )
        assert {name for (name,) in needed} == set(speech.context.store.names())
        assert all(
            n == 1
            for _, n in speech.sql(
                "SELECT video_id, count(*) FILTER (WHERE is_current) FROM audio_clips GROUP BY 1"
            )
        )


@pytest.mark.parametrize(
    "change",
    [
        "allowed_by = 'approval'",
        "kept_s = 100",
        "duration_s = 0",
        "audio_sha256 = 'beef'",
        "last_seen_at = fetched_at - interval '1 day'",
    ],
)
def test_the_database_refuses_clips_that_cannot_be(speech: Speech, change: str):
    from sqlalchemy.exc import IntegrityError

    clip(speech, VIDEO, b"one", b"a")
    with pytest.raises(IntegrityError):
        speech.sql(f"UPDATE audio_clips SET {change}")
