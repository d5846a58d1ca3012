"""Speech from the object store to a comparison: frozen, trained, scored and judged, as jobs."""

import hashlib

import pytest
from sqlalchemy import text

from db.queries.learning import datasets as dataset_rows
from ml.speech.data.manifest import assert_sources_disjoint
from services.cli.learning_tables import describe_training
from services.context import Context
from services.errors import PermanentError, UsageError
from services.learning import tasks
from services.learning.results import newest_comparison, newest_models_and_evaluation
from services.learning.speech import datasets, folds
from services.learning.speech.scoring import voted
from tests.support.databases import owner_engine
from tests.support.speech_jobs import (
    SPEAKERS,
    channel,
    collect,
    collect_all,
    rows,
    run,
)


def execute(context: Context, statement: str, **values: object) -> None:
    with context.engine.begin() as connection:
        connection.execute(text(statement), values)


def test_speech_is_trained_scored_and_compared_and_a_second_time_changes_nothing(context: Context):
    collect_all(context)
    silent = collect(context, "en1", video=1, segments=0)
    foreign = collect(context, "fr1", language="fr")
    ended = run(context, "retrain")
    assert ended.state == "succeeded", ended.error_message
    train, score, compare = (ended.result[step] for step in ("train", "score", "compare"))
    assert (train["segments"], train["speakers"], train["trained"]) == (24, 6, True)
    assert train["excluded"] == {"otherLanguage": 4}
    assert train["versions"] == {"spectrogram_cnn": 1, "crnn": 1}
    assert (score["clips"], score["segments"], score["unreadable"]) == (8, 28, 0)
    assert compare["is_new"]

    told = rows(context, "SELECT video_id, rung, language FROM language_results")
    assert len(told) == 2 * 8
    assert {language for video, _, language in told if video == silent} == {"unknown"}
    assert {rung for video, rung, _ in told if video == foreign} == {"spectrogram_cnn", "crnn"}
    for _, p_sum in rows(context, "SELECT score_id, p_en + p_zh + p_unknown FROM language_scores"):
        assert p_sum == pytest.approx(1)

    found = newest_comparison(context, "speech")
    assert (found["n_segments"], found["n_speakers"], found["n_sources"]) == (24, 6, 6)
    for rung in ("spectrogram_cnn", "crnn"):
        judged = found["rungs"][rung]
        assert sum(map(sum, judged["confusion"])) == 24
        assert {part["name"].rsplit(" (")[0] for part in judged["by_source"]} == {
            channel(speaker) for speaker in SPEAKERS
        }
        assert all(part["ece"] >= 0 for part in judged["by_source"])
        assert {part["name"] for part in judged["by_codec"]} == {"aac", "opus"}
        assert sum(sum(votes.values()) for votes in judged["clips"].values()) == 6
        assert judged["by_snr"]
    assert set(found["beyond_reference"]) == {"crnn"}
    assert "source told worst" in found["sentence"]
    metrics = rows(context, "SELECT rung, metric, baseline FROM model_comparison ORDER BY 1, 2")
    assert ("crnn", "delta_balanced_accuracy", "spectrogram_cnn") in metrics
    assert newest_models_and_evaluation(context, "thumbnails") == (
        [],
        None,
    )  # thumbnails know nothing of it

    before = (sorted(context.store.names()), rows(context, "SELECT * FROM language_scores"))
    again = run(context, "retrain")
    assert not again.result["train"]["trained"]
    assert not again.result["train"]["dataset_is_new"]
    assert again.result["score"]["clips"] == 0
    assert not again.result["compare"]["is_new"]
    assert (sorted(context.store.names()), rows(context, "SELECT * FROM language_scores")) == before


def test_new_clips_are_scored_by_whom_never_heard_their_channel(context: Context):
    collect_all(context)
    run(context, "train", {"rungs": ["spectrogram_cnn"]})
    run(context, "score")
    collect(context, "en1", video=7)
    collect(context, "zh9")
    more = run(context, "score")
    assert (more.result["clips"], more.result["segments"]) == (2, 8)
    assert run(context, "score").result["clips"] == 0


def test_a_score_that_the_database_refuses_fails_alone(context: Context):
    collect_all(context)
    assert run(context, "train").state == "succeeded"
    [[clip]] = rows(context, "SELECT min(clip_id) FROM audio_clips")
    with owner_engine(context) as engine, engine.begin() as connection:
        rule = f"CHECK (clip_id <> {clip}) NOT VALID"
        connection.execute(text(f"ALTER TABLE language_scores ADD {rule}"))
    ended = run(context, "score")
    assert ended.state == "succeeded", ended.error_message
    assert ended.result["refused"] > 0
    scored = {c for (c,) in rows(context, "SELECT DISTINCT clip_id FROM language_scores")}
    assert scored == {c for (c,) in rows(context, "SELECT clip_id FROM audio_clips")} - {clip}


def test_what_is_left_out_is_counted_by_reason(context: Context):
    collect_all(context)
    collect(context, "en4", language="none")
    collect(context, "en5", seconds=0.8)
    gone = collect(context, "en6")
    torn = collect(context, "en7", language="none")
    execute(context, "UPDATE audio_clips SET purged_at = now() WHERE video_id = :v", v=gone)
    execute(context, "UPDATE videos SET default_audio_language = 'en' WHERE video_id = :v", v=torn)
    execute(
        context,
        "UPDATE channels SET language = 'zh', language_source = 'hand' WHERE channel_id = :c",
        c=channel("en7"),
    )
    frozen = datasets.freeze(context)
    assert frozen.excluded == {"conflictingLabel": 4, "noLabel": 4, "purged": 4, "tooShort": 4}
    kept = datasets.freeze(context, datasets.Request(conflicts="keep"))
    assert kept.excluded == {"noLabel": 4, "purged": 4, "tooShort": 4}
    assert kept.dataset_id != frozen.dataset_id
    assert datasets.freeze(context).is_new is False
    assert datasets.fetch(context, frozen.dataset_id).rows == frozen.rows
    with context.transaction() as session:
        assert dataset_rows.with_prefix(session) == []  # those of views
    with pytest.raises(UsageError, match="cannot be"):
        datasets.Request(conflicts="guess")


def test_of_too_many_segments_there_is_a_sample_of_whole_channels(context: Context):
    collect_all(context)
    for speaker in ("en1", "zh2"):  # the same sound is said to speak two languages
        collect(context, speaker, video=9, language=speaker[:2])
    execute(
        context,
        "UPDATE speech_segments SET flac_sha256 = repeat('f', 64) WHERE clip_id IN "
        "(SELECT clip_id FROM audio_clips WHERE video_id LIKE '%-9%') AND start_s = 0",
    )
    whole = datasets.freeze(context)
    assert whole.excluded == {"conflictingLabel": 2}
    context.settings = context.settings.model_copy(update={"training_segments": 21})
    found = datasets.freeze(context)
    channels = set(found.rows["speaker"].to_pylist())
    assert 3 < len(channels) < 6
    order = sorted(map(channel, SPEAKERS), key=lambda c: hashlib.sha256(c.encode()).digest())
    assert channels == set(order[: len(channels)])
    same = [row for row in whole.rows.to_pylist() if row["speaker"] in channels]
    assert found.rows.to_pylist() == same
    left = whole.rows.num_rows - len(same)
    assert found.excluded == {"conflictingLabel": 2, "sampledOut": left}
    said = describe_training(
        {"excluded": found.excluded, "segments": len(same), "versions": {}, "trained": True}
        | {"dataset_id": found.dataset_id}
    )
    assert f"{left} more segments of speech could have been learned from" in said
    assert "TUBEGRADER_TRAINING_SEGMENTS" in said
    assert datasets.freeze(context).is_new is False


def test_what_cannot_be_learned_from_says_what_to_do(context: Context):
    def refused() -> PermanentError:
        with pytest.raises(PermanentError) as caught:
            datasets.freeze(context)
        return caught.value

    assert (refused().reason, "audio add" in str(refused().hint)) == ("noSpeech", True)
    collect(context, "en1", language="none")
    assert (refused().reason, "label" in str(refused().hint)) == ("noLabelledSpeech", True)
    collect(context, "en2")
    collect(context, "en3")
    assert refused().reason == "oneLanguage"
    collect(context, "zh1")
    assert refused().reason == "tooFewSpeakers"
    failed = run(context, "train")
    assert (failed.state, failed.error_reason) == ("failed", "tooFewSpeakers")
    assert run(context, "score").error_reason == "noModel"
    assert run(context, "compare").error_reason == "noModel"


def test_channels_of_one_source_are_never_on_both_sides(context: Context):
    collect_all(context)
    for speaker in ("en1", "en2"):
        execute(
            context,
            "INSERT INTO channel_tags (channel_id, tag) VALUES (:c, 'source:studio')",
            c=channel(speaker),
        )
    manifest = datasets.freeze(context).manifest
    assert len(set(manifest.sources)) == 5
    parts = folds.split(manifest, folds=3, seed=1)
    assert len(parts) == 2  # English has two sources left
    for part in parts:
        assert_sources_disjoint(part.training, part.held_out)
        assert set(part.training.labels.tolist()) == {0, 1}
    assert sorted(c.clip_id for p in parts for c in p.held_out) == sorted(
        c.clip_id for c in manifest
    )


def test_a_cancelled_training_stops_and_an_interrupted_one_goes_on(
    context: Context, monkeypatch: pytest.MonkeyPatch
):
    collect_all(context)
    home = context.settings.home / "cache" / "speech-training"
    saved: list[object] = []
    from services.learning.speech import training

    real = training.put_model

    def dies(*_: object) -> dict[str, str]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(training, "put_model", dies)
        with pytest.raises(KeyboardInterrupt):
            run(context, "train", {"rungs": ["spectrogram_cnn"]})
    [left] = home.iterdir()
    networks = {path: path.stat().st_mtime_ns for path in (left / "networks").iterdir()}
    assert networks

    def remembers(*args: object) -> dict[str, str]:
        saved.append({path: path.stat().st_mtime_ns for path in (left / "networks").iterdir()})
        return real(*args)

    monkeypatch.setattr(training, "put_model", remembers)
    from tests.support.speech_jobs import again

    again(context, left.name, tasks.train)
    assert saved == [networks]  # none was trained again
    assert list(home.iterdir()) == []

    def cancel() -> None:
        execute(context, "UPDATE jobs SET cancel_requested = true WHERE state = 'running'")

    cancelled = run(context, "train", {"seed": 5, "epochs": 10_000}, during=cancel)
    assert cancelled.state == "cancelled"


@pytest.mark.parametrize(
    ("segments", "language"),
    [
        ([(3.0, 0.9, 0.1), (1.0, 0.0, 1.0)], "en"),
        ([(1.0, 0.9, 0.1), (3.0, 0.05, 0.95)], "zh"),
        ([(1.0, 0.05, 0.05)], "unknown"),
        ([(1.0, 0.5, 0.5)], "unknown"),
        ([(1.0, 0.0, 0.0)], "unknown"),
        ([], "unknown"),
    ],
)
def test_segments_vote_by_their_length(segments: list[tuple[float, float, float]], language: str):
    vote = voted(segments)
    assert vote["language"] == language
    assert vote["p_en"] + vote["p_zh"] + vote["p_unknown"] == pytest.approx(1)
