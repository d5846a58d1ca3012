"""What videos are said to speak, by whom; and what models say, in the analysts' view."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import IntegrityError
from typer.testing import CliRunner, Result

from db.queries.learning.model_versions import add as add_model_version
from db.queries.speech import languages, segments
from services.cli.main import app
from services.errors import PermanentError, UsageError
from services.media.audio import labels
from services.media.audio.labels import NamedLabel
from tests.integration.media.test_audio_retention import clip
from tests.support.audio_host import CHANNELS, OTHER, VIDEO, Speech, speech, spoken
from tests.support.cli import settings_of

__all__ = ["speech", "spoken"]


def in_force(speech: Speech, video: str = VIDEO) -> tuple[object, ...] | None:
    found = speech.sql(
        "SELECT language, source, is_conflicting, claims FROM language_labels_in_force "
        "WHERE video_id = :v",
        v=video,
    )
    return found[0] if found else None


def label(speech: Speech, language: str, *videos: str, by: str = "ann") -> list[str]:
    named = [NamedLabel(video, language) for video in videos or (VIDEO,)]
    return labels.label(speech.context, named, by=by).changed


CODES = {
    None: None, "en": "en", "en-GB": "en", "zh-Hans": "zh", "cmn": "zh", "de_AT": "de",
    "zxx": None, "und": None, "EN": "en", "yue": "yue", "english": None,
}  # fmt: skip


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("metadata"), st.sampled_from(sorted(CODES, key=str))),
            st.tuples(st.just("channel"), st.sampled_from([None, "en", "zh", "fr"])),
            st.tuples(st.just("hand"), st.sampled_from(["none", "en", "zh", "ja"])),
        ),
        max_size=6,
    )
)
def test_by_hand_goes_before_metadata_before_the_channel_in_any_order(
    speech: Speech, steps: list[tuple[str, str | None]]
):
    speech.sql("DELETE FROM language_labels")
    speech.sql("UPDATE channels SET language = NULL, language_source = NULL")
    told: dict[str, str | None] = {"hand": None, "metadata": None, "channel": None}
    for source, said in [("metadata", None), *steps]:
        if source == "metadata":
            speech.sql("UPDATE videos SET default_audio_language = :l", l=said)
            told[source] = CODES[said]
        elif source == "channel":
            speech.sql(
                "UPDATE channels SET language = :l, language_source = :s",
                l=said,
                s="hand" if said else None,
            )
            told[source] = said
        else:
            label(speech, str(said))
            told[source] = None if said == "none" else said
        claims = {s: language for s, language in told.items() if language is not None}
        if not claims:
            assert in_force(speech) is None
            continue
        first = next(iter(claims))
        conflicting = len(set(claims.values())) > 1
        assert in_force(speech) == (claims[first], first, conflicting, claims)


def test_corrections_keep_who_said_what_and_when(speech: Speech):
    assert label(speech, "en", by="ann") == [VIDEO]
    assert label(speech, "EN-us", by="ben") == []  # the same again
    speech.turn(days=1)
    assert label(speech, "cmn", by="ben") == [VIDEO]
    speech.turn(days=1)
    [shown] = labels.show(speech.context, [f"https://youtu.be/{VIDEO}?t=3"])
    assert [(c["language"], c["source"], c["claimed_by"]) for c in shown["claims"]] == [
        ("zh", "hand", "ben")
    ]
    assert [(h["language"], h["labelled_by"], h["ended_at"]) for h in shown["by_hand"]] == [
        ("en", "ann", shown["by_hand"][1]["labelled_at"]),
        ("zh", "ben", None),
    ]
    assert label(speech, "none") == [VIDEO]
    assert label(speech, "none") == []
    assert in_force(speech) is None


@pytest.mark.parametrize(
    ("video", "language"),
    [("nonsense", "en"), (VIDEO, "english"), (VIDEO, ""), ("unknownvid_", "en"), ("", "en")],
)
def test_one_wrong_line_changes_nothing(speech: Speech, video: str, language: str):
    named = [NamedLabel(OTHER, "zh"), NamedLabel(video, language, line=3)]
    with pytest.raises(UsageError):
        labels.label(speech.context, named, by="ann")
    assert speech.sql("SELECT * FROM language_labels") == []


def test_labels_come_from_csv(speech: Speech):
    content = f"﻿video_id,why,language\n{VIDEO},x,en\nhttps://www.youtube.com/watch?v={OTHER},y,zh\n"
    named = labels.read_csv(content.encode(), "labels.csv")
    assert labels.label(speech.context, named, by="ann").changed == [VIDEO, OTHER]
    for broken in (b"\xff\xfe", b"a,b\n", b"", b"video_id\nx"):
        with pytest.raises(UsageError):
            labels.read_csv(broken, "labels.csv")


def test_what_the_site_says_of_the_track_is_metadata_where_the_crawl_knows_none(speech: Speech):
    clip(speech, VIDEO, b"one", b"a", track_language="zh-CN")
    assert in_force(speech) == ("zh", "metadata", False, {"metadata": "zh"})
    speech.sql("UPDATE videos SET default_audio_language = 'en'")
    assert in_force(speech) == ("en", "metadata", False, {"metadata": "en"})


def model(speech: Speech, rung: str = "cnn") -> int:
    speech.sql(
        "INSERT INTO datasets (dataset_id, task, as_of, created_at, n_videos, n_channels, "
        "excluded, files) VALUES (repeat('0', 64), 'speech', now(), now(), 1, 1, '{}', '{}') "
        "ON CONFLICT DO NOTHING"
    )
    with speech.context.transaction() as session:
        version = add_model_version(
            session, rung=rung, dataset_id="0" * 64, job_id=None, trained_at=speech.clock(),
            code_version="x", seed=0, config={}, files={}, task="speech",
        )  # fmt: skip
        return version.model_version_id


def score(speech: Speech, version: int, language: str, *probabilities: float) -> None:
    """Score every segment that lacks one, and its clip, as a batch does."""
    p_en, p_zh, p_unknown = probabilities
    said = {
        "model_version_id": version, "p_en": p_en, "p_zh": p_zh, "p_unknown": p_unknown,
        "language": language, "scored_at": speech.clock(),
    }  # fmt: skip
    with speech.context.transaction() as session:
        lacking = segments.clips_to_score(
            session, model_version_ids=[version], before=None, limit=100
        )
        todo = segments.segments_to_score(session, lacking.clip_ids, model_version_ids=[version])
        rows = [{"clip_id": s.clip_id, "segment_id": s.segment_id, **said} for s in todo]
        assert languages.append_segment_scores(session, rows) == len(rows)
        assert languages.append_segment_scores(session, rows) == 0
        clips = sorted({s.clip_id for s in todo})
        languages.put_clip_scores(session, [{"clip_id": c, **said} for c in clips])
        found = languages.segment_scores(session, model_version_id=version, clip_ids=clips)
        assert {c for c, *_ in found} == set(clips)
        assert segments.count_clips_to_score(session, model_version_ids=[version]) == 0


def test_the_view_shows_votes_labels_and_the_newest_version_of_each_rung(speech: Speech):
    clip(speech, VIDEO, b"one", b"a", b"b")
    clip(speech, OTHER, b"two", b"c")
    old, new, crnn = model(speech), model(speech), model(speech, "crnn")
    score(speech, old, "unknown", 0.2, 0.2, 0.6)
    score(speech, new, "en", 0.75, 0.125, 0.125)
    score(speech, crnn, "zh", 0.0, 1.0, 0.0)
    label(speech, "en")
    label(speech, "fr", OTHER)
    found = speech.sql(
        "SELECT video_id, rung, model_version, language, p_en, segments, votes_en, votes_zh, "
        "label, label_source, agrees_with_label FROM language_results ORDER BY 1, 2"
    )
    assert found == [
        (VIDEO, "cnn", 2, "en", 0.75, 2, 2, 0, "en", "hand", True),
        (VIDEO, "crnn", 1, "zh", 0.0, 2, 0, 2, "en", "hand", False),
        (OTHER, "cnn", 2, "en", 0.75, 1, 1, 0, "fr", "hand", False),
        (OTHER, "crnn", 1, "zh", 0.0, 1, 0, 1, "fr", "hand", False),
    ]


def test_a_page_of_clips_looks_at_so_many_and_no_more_whatever_lacks_a_score(speech: Speech):
    version = model(speech)
    old = clip(speech, VIDEO, b"one", b"a")
    new = clip(speech, OTHER, b"two", b"c")
    score(speech, version, "en", 1.0, 0.0, 0.0)
    speech.sql("DELETE FROM language_scores WHERE clip_id = :c", c=old)

    def page(before: int | None) -> segments.ClipPage:
        with speech.context.transaction() as session:
            return segments.clips_to_score(
                session, model_version_ids=[version], before=before, limit=1
            )

    assert page(None) == segments.ClipPage(new, [])
    assert page(new) == segments.ClipPage(old, [old])
    assert page(old) == segments.ClipPage(None, [])


def test_a_clip_without_a_score_is_in_the_view_once(speech: Speech):
    clip(speech, VIDEO, b"one", b"a")
    assert speech.sql("SELECT video_id, rung, language, label FROM language_results") == [
        (VIDEO, None, None, None)
    ]


def test_a_clip_that_was_cut_anew_is_scored_anew(speech: Speech):
    version = model(speech)
    clip(speech, VIDEO, b"one", b"a", b"b")
    score(speech, version, "en", 1.0, 0.0, 0.0)
    clip(speech, VIDEO, b"one", b"c", cutting_version="2-10s")
    score(speech, version, "zh", 0.0, 1.0, 0.0)
    assert speech.sql("SELECT language, segments, votes_zh FROM language_results") == [("zh", 1, 1)]


def test_scores_that_cannot_be_are_refused(speech: Speech):
    version, own, other = (
        model(speech),
        clip(speech, VIDEO, b"1", b"a"),
        clip(speech, OTHER, b"2", b"b"),
    )
    statement = (
        "INSERT INTO language_scores (clip_id, segment_id, model_version_id, p_en, p_zh, "
        "p_unknown, language, scored_at) VALUES (:c, (SELECT min(segment_id) FROM speech_segments "
        "WHERE clip_id = :o), :m, :p, 0.5, 0, :l, now())"
    )
    good = {"c": own, "o": own, "m": version, "p": 0.5, "l": "en"}
    for wrong in ({"o": other}, {"p": 0.9}, {"l": "fr"}, {"m": version + 1}):
        with pytest.raises(IntegrityError):
            speech.sql(statement, **{**good, **wrong})
    speech.sql(statement, **good)
    with pytest.raises(IntegrityError):
        speech.sql(statement, **good)


def test_what_is_learned_from_has_speaker_source_and_label(speech: Speech):
    clip(speech, VIDEO, b"one", b"a", b"b")
    clip(speech, OTHER, b"two", b"c")
    label(speech, "en")
    speech.sql("UPDATE channels SET language = 'zh', language_source = 'hand'")
    with speech.context.transaction() as session:
        found = list(languages.labelled_segments(session))
        english = list(languages.labelled_segments(session, languages=["en"]))
        early = list(languages.labelled_segments(session, as_of=speech.clock().replace(year=2020)))
    assert [(s.video_id, s.speaker, s.language, s.label_source) for s in found] == [
        (VIDEO, CHANNELS[0], "en", "hand"),
        (VIDEO, CHANNELS[0], "en", "hand"),
        (OTHER, CHANNELS[1], "zh", "channel"),
    ]
    assert [s.is_conflicting for s in found] == [True, True, False]
    assert english == found[:2]
    assert early == []
    assert {speech.context.store.get(s.flac_sha256) for s in found} == {b"a", b"b", b"c"}


def test_models_of_speech_are_none_of_the_views(speech: Speech):
    from db.queries.learning import datasets, model_versions
    from db.queries.policy import objects

    model(speech)
    with speech.context.transaction() as session:
        assert datasets.newest(session) is None
        assert model_versions.newest(session, task="thumbnails") == []
        assert [m.rung for m in model_versions.newest(session, task="speech")] == ["cnn"]
        assert objects.datasets_in_use(session) == []


@pytest.fixture
def typed(speech: Speech, monkeypatch: pytest.MonkeyPatch):
    """Run a command on the test's own database, as it is typed."""
    for name, value in settings_of(speech.context).items():
        monkeypatch.setenv(name, value)

    def run(*words: str) -> Result:
        return CliRunner().invoke(app, words)

    return run


def test_the_commands_label_show_and_list_conflicts(speech: Speech, typed, tmp_path):
    clip(speech, VIDEO, b"one", b"a")
    speech.sql("UPDATE videos SET default_audio_language = 'zh'")
    done = typed("label", VIDEO, OTHER, "en", "--by", "ann", "--json")
    assert json.loads(done.stdout) == {"named": 2, "changed": [VIDEO, OTHER]}
    file = tmp_path / "labels.csv"
    file.write_text(f"video_id,language\n{OTHER},zh\n")
    assert "1 of 1 label changed" in typed("label", "--from-file", str(file)).stdout
    assert f"{OTHER} was en by ann" in typed("label", OTHER, "--show").stdout
    [conflict] = json.loads(typed("label", "--conflicts", "--json").stdout)
    assert (conflict["video_id"], conflict["claims"]) == (VIDEO, {"hand": "en", "metadata": "zh"})
    assert VIDEO in typed("label", "--conflicts").stdout
    for words in ((VIDEO,), ("nonsense", "en"), (VIDEO, "en", "--conflicts"), ()):
        assert isinstance(typed("label", *words).exception, UsageError)


def test_an_id_that_begins_with_a_dash_is_a_video_and_no_option(speech: Speech, typed):
    dashed = "-dashed_id1"
    speech.sql(
        "INSERT INTO videos (video_id, channel_id, published_at, first_seen_at, source)"
        " SELECT :new, channel_id, published_at, first_seen_at, source"
        " FROM videos WHERE video_id = :old",
        new=dashed,
        old=OTHER,
    )
    done = typed("label", dashed, VIDEO, "en", "--by", "-annabelle1", "--json")
    assert json.loads(done.stdout)["changed"] == [dashed, VIDEO]
    assert "-annabelle1" in typed("label", "--show", dashed).stdout
    assert isinstance(typed("audio", "refetch", "--", "-unknown_id").exception, UsageError)
    assert typed("audio", "refetch", "-tooshort").exit_code == 2


def test_the_audio_commands_select_list_and_refuse(typed, monkeypatch: pytest.MonkeyPatch):
    wanted = ("audio", "add", *CHANNELS, "--seconds", "60", "--videos", "3")
    added = typed(*wanted)
    assert "2 added; audio of 2 videos is due" in added.stdout
    assert "approvals add" in added.stderr
    again = json.loads(typed(*wanted, "--json").stdout)
    assert (set(again["channels"].values()), again["due"]) == ({"known"}, 0)
    listed = json.loads(typed("audio", "list", "--json").stdout)
    assert [(s["seconds_wanted"], s["waiting"]) for s in listed] == [(60, 1), (60, 1)]
    assert "nothing" in typed("audio", "list").stdout
    refused = typed("crawl", "--audio", "--no-wait").exception
    assert isinstance(refused, PermanentError)
    assert refused.reason == "noApproval"
    monkeypatch.setenv("TUBEGRADER_AUDIO_ALLOWED", "true")
    assert "TUBEGRADER_AUDIO_ALLOWED" in typed("audio", "status").stdout
    assert typed("crawl", "--audio", "--no-wait").exit_code == 0
    assert "1 channel would be" in typed("audio", "remove", CHANNELS[0], "--dry-run").stdout
    assert "1 channel removed" in typed("audio", "remove", CHANNELS[0]).stdout
    assert typed("channels", "tag", "add", CHANNELS[0], "--tag", "t").exit_code == 0
    assert "1 changed" in typed("audio", "add", "--tag", "t", "--seconds", "10").stdout
