"""Audio of videos through real yt-dlp and real PostgreSQL: collected once, cut and recorded."""

import json

import pytest

from db.queries.speech import segments
from db.queries.work import evidence, overview, work_items
from services.context import Context
from services.crawl import runs, watchlist
from services.emulator.synthetic import synthetic_catalog
from services.errors import PermanentError, UsageError
from services.media.audio import collecting, selection
from services.policy import approvals
from tests.support.audio_host import CHANNELS, OTHER, VIDEO, Speech, speech, spoken
from tests.support.crawl import NOW, offline_crawl, rows

__all__ = ["speech", "spoken"]


def state(speech: Speech) -> tuple[object, ...]:
    tables = ("audio_clips", "speech_segments")
    return (*(speech.sql(f"SELECT * FROM {table} ORDER BY 1") for table in tables),
            speech.context.store.names())  # fmt: skip


def test_audio_is_fetched_cut_and_stored_by_its_content(speech: Speech):
    selected = speech.select()
    assert (selected.due, selected.not_allowed) == (2, [])
    assert speech.collect() == 2
    assert speech.work() == {VIDEO: ("idle", None), OTHER: ("idle", None)}
    [(codec, rate, channels, duration, kept, allowed)] = speech.sql(
        "SELECT codec, sample_rate, channels, duration_s, kept_s, allowed_by FROM audio_clips "
        "WHERE video_id = :v",
        v=VIDEO,
    )
    assert (codec, rate, channels, allowed) == ("opus", 48_000, 1, "setting")
    assert duration == pytest.approx(15, abs=0.1)
    assert 7 <= kept <= 10
    stored = speech.sql(
        "SELECT audio_sha256, byte_size FROM audio_clips UNION ALL "
        "SELECT flac_sha256, byte_size FROM speech_segments"
    )
    assert {sha256: len(speech.context.store.get(sha256)) for sha256, _ in stored} == dict(stored)
    assert set(speech.context.store.names()) == {sha256 for sha256, _ in stored}


def test_fetching_twice_changes_nothing(speech: Speech):
    speech.select()
    speech.collect()
    before = state(speech)
    speech.again()
    assert speech.collect() == 0
    assert state(speech) == before
    assert selection.add(speech.context, CHANNELS, policy=selection.AudioPolicy(10)).due == 0


def test_what_came_well_is_fetched_again_when_somebody_asks(
    speech: Speech, spoken: dict[str, bytes]
):
    speech.select()
    speech.collect()
    before = state(speech)
    speech.host.serve(VIDEO, spoken["mp3"], "audio/mpeg")
    speech.turn(days=1)
    named = [VIDEO, f"https://youtu.be/{VIDEO}"]
    assert selection.refetch(speech.context, named, dry_run=True).due == [VIDEO]
    assert speech.collect() == 0
    assert state(speech) == before
    assert selection.refetch(speech.context, named).due == [VIDEO]
    asked_twice = selection.refetch(speech.context, named)
    assert (asked_twice.due, asked_twice.under_way) == ([], [VIDEO])
    assert speech.collect() == 1
    assert speech.value("SELECT max(version) FROM audio_clips WHERE video_id = :v", v=VIDEO) == 2
    with pytest.raises(UsageError) as caught:
        selection.refetch(speech.context, [VIDEO, "neverchosen"])
    assert caught.value.reason == "notSelected"
    assert speech.work()[VIDEO] == ("idle", None)


def test_other_cutting_leaves_the_clip_to_be_scored_again(speech: Speech):
    speech.select()
    speech.collect()
    [(clip, segment)] = speech.sql(
        "SELECT clip_id, min(segment_id) FROM speech_segments JOIN audio_clips USING (clip_id) "
        "WHERE video_id = :v GROUP BY 1", v=VIDEO,
    )  # fmt: skip
    speech.select(seconds_wanted=12)
    assert selection.refetch(speech.context, [VIDEO]).due == [VIDEO]
    assert speech.collect() == 0
    with speech.context.transaction() as session:
        found = segments.segments_to_score(session, [clip], model_version_ids=[1])
    assert found
    assert segment not in {one.segment_id for one in found}


def test_other_audio_opens_a_new_version(speech: Speech, spoken: dict[str, bytes]):
    speech.select()
    speech.collect()
    speech.host.serve(VIDEO, spoken["mp3"], "audio/mpeg")
    speech.again()
    speech.turn(days=1)
    assert speech.collect() == 1
    versions = speech.sql(
        "SELECT version, codec, is_current FROM audio_clips WHERE video_id = :v ORDER BY 1",
        v=VIDEO,
    )
    assert versions == [(1, "opus", False), (2, "mp3", True)]


def test_of_a_long_video_a_beginning_is_kept_and_is_the_same_each_time(
    speech: Speech, spoken: dict[str, bytes]
):
    speech.host.serve(VIDEO, spoken["long"])
    speech.select(seconds_wanted=10)
    speech.collect()
    before = state(speech)
    [(container, duration, kept)] = speech.sql(
        "SELECT container, duration_s, kept_s FROM audio_clips WHERE video_id = :v", v=VIDEO
    )
    assert (container, duration) == ("matroska,webm", pytest.approx(20, abs=0.1))
    assert 0 < kept <= 10
    speech.again()
    speech.collect()
    assert state(speech) == before


def test_each_broken_file_fails_for_its_own_reason_and_the_others_go_on(
    speech: Speech, spoken: dict[str, bytes]
):
    broken = {
        "emptyfile__": (b"", "audio/webm", "emptyFile"),
        "truncated__": (spoken["talk"][: len(spoken["talk"]) // 3], "audio/webm", "truncated"),
        "zerosecond_": (spoken["eight"][:44], "audio/wav", "emptyFile"),
        "nosound____": (spoken["film"], "video/mp4", "noAudio"),
        "garbage____": (bytes(range(256)) * 40, "audio/mp4", "notAudio"),
    }
    good = {
        "eight______": (spoken["eight"], "audio/wav"),
        "fast_______": (spoken["fast"], "audio/wav"),
        "wrongname__": (spoken["mp3"], "audio/webm"),
        "music______": (spoken["music"], "audio/webm"),
        "silence____": (spoken["silence"], "audio/webm"),
    }
    for video, (content, kind, *_) in (broken | good).items():
        speech.add_video(video)
        speech.host.serve(video, content, kind)
    speech.add_video("missing____")
    speech.select(newest_videos=50)
    # What may have been a bad day of the network's is tried again, some times.
    while speech.collect() or any(s == "due" for s, _ in speech.work().values()):
        speech.turn(hours=1)
        with speech.context.transaction() as session:  # others go well meanwhile
            evidence.note_good_answer(session, "video.audio", at=speech.clock())
        speech.turn(hours=1)
    found = speech.work()
    assert {v: found[v] for v in broken} == {v: ("failed", r) for v, (*_, r) in broken.items()}
    assert found["missing____"][0] == "failed"
    assert {found[v] for v in (*good, VIDEO, OTHER)} == {("idle", None)}
    kept = dict(speech.sql("SELECT video_id, kept_s FROM audio_clips"))
    assert kept.keys() == {*good, VIDEO, OTHER}
    assert kept["silence____"] == 0
    assert kept["eight______"] > 0
    assert kept["fast_______"] > 0


def test_a_worker_that_dies_between_store_and_rows_leaves_no_wrong_row(
    speech: Speech, monkeypatch: pytest.MonkeyPatch
):
    speech.select()

    def dies(*_args: object, **_values: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(collecting.clips, "record_clip", dies)
        with pytest.raises(KeyboardInterrupt):
            speech.collect()
    assert speech.context.store.names()  # stored, and nothing speaks of it
    assert speech.value("SELECT count(*) FROM audio_clips") == 0
    assert {s for s, _ in speech.work().values()} == {"leased"}
    speech.turn(minutes=3)  # the lease ends
    assert speech.collect() == 2
    assert speech.value("SELECT count(*) FROM audio_clips") == 2


def test_who_lost_the_lease_writes_nothing(speech: Speech, monkeypatch: pytest.MonkeyPatch):
    speech.select()
    token = speech.claim()
    put = collecting._store

    def slow(*args: object) -> None:
        put(*args)
        speech.turn(minutes=3)
        assert speech.claim() is not None  # another worker has them now

    with monkeypatch.context() as patched:
        patched.setattr(collecting, "_store", slow)
        assert collecting.fetch_batch(speech.context, token) == 0
    assert speech.value("SELECT count(*) FROM audio_clips") == 0


def test_a_refusal_opens_the_breaker_of_media_and_parks_the_batch(speech: Speech):
    speech.host.statuses = {VIDEO: 429, OTHER: 429}
    speech.select()
    speech.collect()
    assert set(speech.work().values()) == {("due", "rateLimited")}
    assert speech.sql("SELECT host, state FROM breakers") == [("media", "open")]
    assert len(set(speech.host.requests)) == 1  # the second was not even asked for


def test_without_permission_nothing_is_asked_for_and_it_waits(speech: Speech):
    speech.with_settings(audio_allowed=False)
    selected = speech.select()
    assert selected.not_allowed == CHANNELS
    assert speech.collect() == 0
    assert set(speech.work().values()) == {("due", "noApproval")}
    assert speech.host.requests == []
    assert speech.sql("SELECT * FROM breakers") == []
    with speech.context.transaction() as session:
        counted = [
            (c.state, c.reason, c.count) for c in overview.counts(session, now=speech.clock())
        ]
    assert counted == [("parked", "noApproval", 2)]
    with pytest.raises(PermanentError) as refused:
        selection.refuse_unless_allowed(speech.context, None)
    assert refused.value.reason == "noApproval"
    assert "approvals add" in str(refused.value.hint)


def test_an_approval_begins_the_fetching_and_its_end_stops_it(speech: Speech):
    speech.with_settings(audio_allowed=False)
    speech.select()
    speech.collect()
    approvals.add(
        speech.context, "letter 7", scope="audio", channel_id=CHANNELS[0],
        expires_at=speech.clock().replace(day=20),
    )  # fmt: skip
    assert speech.collect() == 1  # at once, and only that channel's
    assert speech.work() == {VIDEO: ("idle", None), OTHER: ("due", "noApproval")}
    assert speech.sql("SELECT allowed_by, approval_reference FROM audio_clips") == [
        ("approval", "letter 7")
    ]
    speech.turn(days=10)
    speech.again()
    asked = len(speech.host.requests)
    assert speech.collect() == 0
    assert speech.work()[VIDEO] == ("due", "noApproval")
    assert len(speech.host.requests) == asked


def test_a_selection_takes_the_newest_videos_of_fitting_length(speech: Speech):
    speech.add_video("tooshort___", duration_s=9)
    speech.add_video("toolong____", duration_s=9_999)
    speech.add_video("unknown____", duration_s=None)
    speech.add_video("upcoming___", live_broadcast_content="upcoming")
    speech.add_video("gone_______", state="gone", gone_at=speech.clock())
    speech.add_video("older______", actual_start_at=None)
    speech.sql("UPDATE videos SET published_at = '2020-01-01Z' WHERE video_id = 'older______'")
    assert speech.select(newest_videos=1, shortest_s=10, longest_s=100).due == 2
    assert speech.work().keys() == {VIDEO, OTHER}
    assert speech.select(newest_videos=2, shortest_s=10, longest_s=100).due == 1
    assert selection.remove(speech.context, CHANNELS, dry_run=True) == CHANNELS
    assert selection.remove(speech.context, CHANNELS) == CHANNELS
    assert speech.work() == {}
    assert selection.remove(speech.context, CHANNELS) == []
    with pytest.raises(UsageError, match="not watched"):
        selection.add(speech.context, ["UC" + "z" * 22])


def test_a_video_that_was_not_read_yet_keeps_its_place_among_the_newest(speech: Speech):
    for name, day in (("newest_____", 3), ("second_____", 2), ("third______", 1)):
        speech.add_video(name)
        speech.sql(
            "UPDATE videos SET published_at = now() + make_interval(days => :d), "
            "refreshed_at = NULL, duration_s = NULL WHERE video_id = :v", d=day, v=name,
        )  # fmt: skip

    def read(name: str, duration_s: int) -> set[str]:
        speech.sql(
            "UPDATE videos SET refreshed_at = :t, duration_s = :s WHERE video_id = :v",
            t=speech.clock(), s=duration_s, v=name,
        )  # fmt: skip
        selection.add(speech.context, CHANNELS[:1], policy=policy)
        return set(speech.work())

    policy = selection.AudioPolicy(10, shortest_s=10, longest_s=100, newest_videos=2)
    assert read("third______", 50) == set()
    assert read("second_____", 5) == {"third______"}
    assert read("newest_____", 50) == {"third______", "newest_____"}


def test_what_is_selected_no_longer_is_not_fetched(speech: Speech):
    speech.select()
    token = speech.claim()
    selection.remove(speech.context, CHANNELS[:1])
    assert collecting.fetch_batch(speech.context, token) == 1
    assert speech.work() == {OTHER: ("idle", None)}


def test_a_crawl_with_audio_ends_when_it_is_collected_and_one_without_never_asks(speech: Speech):
    speech.sql("DELETE FROM schedules")
    speech.select()
    speech.sql("UPDATE work_items SET state = 'idle', slot = NULL, ready_at = NULL")
    chosen = CHANNELS[:1]

    def crawl(*, with_audio: bool) -> tuple[str, int, int]:
        """Crawl; the audio is collected and all else is taken as done."""
        runs.start(speech.context, chosen, with_audio=with_audio)
        runs.advance(speech.context)
        for kind in ("channel.snapshot", "channel.discover"):
            with speech.context.transaction() as session:
                token = work_items.claim(
                    session, kind, limit=9, now=speech.clock(), lease=speech.context.lease
                )
                later = speech.clock().replace(year=2030)
                work_items.complete(
                    session, token, dict.fromkeys(chosen, later), now=speech.clock()
                )
        if with_audio:
            speech.collect()
        runs.advance(speech.context)
        [row] = speech.sql(
            "SELECT state, progress_done, progress_total FROM jobs ORDER BY created_at DESC LIMIT 1"
        )
        speech.turn(minutes=1)
        return row

    assert crawl(with_audio=False) == ("succeeded", 2, 2)
    assert speech.host.requests == []
    assert crawl(with_audio=True) == ("succeeded", 3, 3)
    asked = len(speech.host.requests)
    assert crawl(with_audio=True) == ("succeeded", 3, 3)
    assert len(speech.host.requests) == asked > 0


def test_forgetting_a_channel_removes_its_audio_and_leaves_the_others(speech: Speech):
    speech.host.serve(OTHER, speech.host.files[VIDEO][0])  # the same audio in both channels
    speech.select()
    speech.collect()
    before = speech.context.store.names()
    assert watchlist.forget(speech.context, CHANNELS[0]).audio_clips == 1
    assert speech.context.store.names() == before
    assert watchlist.forget(speech.context, CHANNELS[1]).audio_clips == 1
    assert speech.context.store.names() == []
    assert speech.value("SELECT count(*) FROM speech_segments") == 0


def test_selections_and_status_tell_how_it_stands(speech: Speech):
    speech.select()
    speech.collect()
    [one, _] = selection.listed(speech.context)
    assert (one["clips"], one["waiting"], one["failed"], one["allowed_by"]) == (1, 0, 0, "setting")
    assert one["segments"] >= 1
    status = json.loads(json.dumps(selection.status(speech.context), default=str))
    assert status["allowed_by_setting"] is True
    assert status["held"]["clips"] == 2
    assert [(w["state"], w["count"]) for w in status["work"]] == [("idle", 2)]


def test_a_crawl_of_the_offline_youtube_ends_with_segments_and_labels(context: Context):
    catalog = synthetic_catalog(seed=3, epoch=NOW, channels=2, videos=6)
    with offline_crawl(context, catalog, media_seconds=12.0) as crawl:
        crawl.context.settings = crawl.context.settings.model_copy(
            update={"media_url": crawl.url + "/watch?v={video_id}", "audio_allowed": True}
        )
        policy = selection.AudioPolicy(10, shortest_s=1, longest_s=100_000, newest_videos=1)
        ids = sorted(catalog.channels)
        assert selection.add(crawl.context, ids, policy=policy).due == 0  # no video is known yet
        runs.start(crawl.context, with_audio=True)
        crawl.settle()
        [(state, done, total)] = rows(
            context, "SELECT state, progress_done, progress_total FROM jobs"
        )
        assert (state, done) == ("succeeded", total)
        found = rows(
            context,
            "SELECT v.channel_id, a.codec, a.kept_s > 0 FROM audio_clips a "
            "JOIN videos v USING (video_id) ORDER BY 1",
        )
        assert found == [(channel, "opus", True) for channel in ids]
        said = {v.video_id: v.language for v in catalog.videos.values()}
        for video, claims in rows(
            context, "SELECT video_id, label_claims FROM language_results ORDER BY 1"
        ):
            assert (claims or {}).get("metadata") == (said[video] and said[video][:2])
