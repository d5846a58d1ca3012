"""Nights of learning, written as rows and objects: what a purge decides by, without training."""

import hashlib
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, text

from services.context import Context

NOW = datetime(2026, 7, 15, 12, tzinfo=UTC)
CHANNEL = "UC" + "a" * 22
RUNGS = {"thumbnails": ("constant", "subscribers"), "speech": ("cnn",)}


def add_videos(context: Context, n: int) -> None:
    """Write videos with a picture each, and a clip with one segment of every tenth."""
    with context.engine.begin() as connection:
        for statement in (
            f"INSERT INTO channels (channel_id, added_at) VALUES ('{CHANNEL}', now())",
            (
                "INSERT INTO videos (video_id, channel_id, published_at, first_seen_at) "
                f"SELECT 'v' || lpad(i::text, 10, '0'), '{CHANNEL}', now(), now() "
                "FROM generate_series(1, :n) i"
            ),
            (
                "INSERT INTO thumbnails (thumbnail_sha256, format, width, height, byte_size, "
                "stored_at) SELECT encode(sha256(video_id::bytea), 'hex'), 'jpeg', 320, 180, 9, "
                "now() FROM videos"
            ),
            (
                "INSERT INTO video_thumbnails (video_id, version, thumbnail_sha256, variant, "
                "is_current, first_seen_at, last_seen_at) SELECT video_id, 1, "
                "encode(sha256(video_id::bytea), 'hex'), 'mqdefault', true, now(), now() "
                "FROM videos"
            ),
            (
                "INSERT INTO audio_clips (video_id, version, is_current, audio_sha256, byte_size, "
                "container, codec, sample_rate, channels, duration_s, kept_s, cutting_version, "
                "allowed_by, fetched_at, last_seen_at) SELECT video_id, 1, true, "
                "encode(sha256(video_id::bytea), 'hex'), 9, 'webm', 'opus', 16000, 1, 9, 9, '1', "
                "'setting', now(), now() FROM videos WHERE video_id LIKE '%0'"
            ),
        ):
            connection.execute(text(statement), {"n": n} if ":n" in statement else {})


def add_night(
    context: Context, days: int, *, task: str = "thumbnails", trained: bool = True
) -> str:
    """Write a night so many days ago: a dataset with its files and, if trained, models with scores.

    Returns:
        The dataset's id.
    """
    at = NOW - timedelta(days=days)
    dataset_id = hashlib.sha256(f"{task} {days} {trained}".encode()).hexdigest()
    values = {"id": dataset_id, "task": task, "at": at}
    names = ["manifest.parquet", "dataset.json"] + ["0.tar"] * (task == "thumbnails")
    with context.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO datasets (dataset_id, task, as_of, created_at, n_videos, n_channels, "
                "threshold, base_rate, videos_sha256, excluded, files) VALUES (:id, :task, :at, "
                ":at, 2, 1, 100, 0.5, :id, '{}', jsonb_object(:names, :hashes))"
            ),
            {**values, "names": names, "hashes": _stored(context, dataset_id, names)},
        )
        for rung in RUNGS[task] if trained else ():
            connection.execute(
                text(
                    "INSERT INTO model_versions (rung, version, dataset_id, trained_at, "
                    "code_version, seed, config, files, task) SELECT :rung, "
                    "coalesce(max(version), 0) + 1, :id, :at, '1', 0, '{}', "
                    "jsonb_object(:names, :hashes), :task FROM model_versions WHERE rung = :rung"
                ),
                {
                    **values,
                    "rung": rung,
                    "names": ["model.json"],
                    "hashes": _stored(context, dataset_id + rung, ["model.json"]),
                },
            )
        if trained:
            _score(connection, dataset_id, task, at)
    return dataset_id


def decide(context: Context, dataset_id: str, decision: str, *, days: int = 0) -> None:
    """Let the first model of a night win or lose against the champion there is."""
    with context.engine.begin() as connection:
        connection.execute(
            text(
                """
                WITH challenger AS (
                    SELECT task, min(model_version_id) AS id FROM model_versions
                    WHERE dataset_id = :d GROUP BY task
                ), champion AS (
                    SELECT task, model_version_id AS id FROM model_aliases
                    WHERE alias = 'champion'
                ), decided AS (
                    INSERT INTO promotions (task, decided_at, decision, champion_version_id,
                        challenger_version_id, ground, reason, figures)
                    SELECT task, :at, :decision, champion.id, challenger.id, 'x', 'x', '{}'
                    FROM challenger LEFT JOIN champion USING (task)
                )
                INSERT INTO model_aliases (task, alias, model_version_id, set_at)
                SELECT task, :alias, id, :at FROM challenger
                ON CONFLICT (task, alias)
                DO UPDATE SET model_version_id = excluded.model_version_id
                """
            ),
            {
                "d": dataset_id,
                "decision": decision,
                "at": NOW - timedelta(days=days),
                "alias": "challenger" if decision == "kept" else "champion",
            },
        )


def _stored(context: Context, of: str, names: list[str]) -> list[str]:
    return context.store.put_many([f"{of} {name}".encode() for name in names])


def _score(connection: Connection, dataset_id: str, task: str, at: datetime) -> None:
    scored = {
        "thumbnails": "INSERT INTO scores (video_id, thumbnail_sha256, model_version_id, "
        "probability_over, log10_views_per_day, scored_at) SELECT video_id, thumbnail_sha256, "
        "model_version_id, 0.5, 2, :at FROM video_thumbnails, model_versions "
        "WHERE dataset_id = :id",
        "speech": "INSERT INTO language_scores (clip_id, model_version_id, p_en, p_zh, "
        "p_unknown, language, scored_at) SELECT clip_id, model_version_id, 1, 0, 0, 'en', :at "
        "FROM audio_clips, model_versions WHERE dataset_id = :id",
    }
    values = {"id": dataset_id, "at": at}
    connection.execute(text(scored[task]), values)
    connection.execute(
        text(
            "WITH evaluated AS (INSERT INTO evaluations (dataset_id, created_at, n_videos, "
            "n_channels, sentence, detail) VALUES (:id, :at, 2, 1, 'Good.', '{}') "
            "RETURNING evaluation_id) INSERT INTO evaluation_metrics (evaluation_id, rung, "
            "metric, model_version_id, value, low, high) SELECT evaluation_id, rung, 'auc', "
            "model_version_id, 0.7, 0.6, 0.8 FROM evaluated, model_versions "
            "WHERE dataset_id = :id"
        ),
        values,
    )
