"""Speech: audio clips, segments, language labels and scores; models know their task.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

from db.views import view_sql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BEFORE = ("channel.discover", "channel.snapshot", "video.snapshot", "video.thumbnail")
AFTER = (*BEFORE, "video.audio")
VIEWS = ("language_claims", "language_labels_in_force", "language_results")


def upgrade() -> None:
    _work_kinds(AFTER)
    _tasks()
    _selections()
    _clips()
    _segments()
    _labels()
    _scores()
    for name in VIEWS:
        op.execute(view_sql(name, 1))


def downgrade() -> None:
    for name in reversed(VIEWS):
        op.execute(f"DROP VIEW {name}")
    op.execute("DROP FUNCTION spoken_language")
    for table in (
        "language_scores",
        "language_labels",
        "speech_segments",
        "audio_clips",
        "audio_selections",
    ):
        op.drop_table(table)
    _without_tasks()
    op.execute("DELETE FROM work_items WHERE kind = 'video.audio'")
    _work_kinds(BEFORE)


def _work_kinds(kinds: tuple[str, ...]) -> None:
    op.drop_constraint(op.f("ck_work_items_kind_known"), "work_items", type_="check")
    op.create_check_constraint(op.f("ck_work_items_kind_known"), "work_items", f"kind IN {kinds}")


def _tasks() -> None:
    for table in ("datasets", "model_versions"):
        op.add_column(
            table,
            sa.Column(
                "task",
                sa.Text(),
                server_default="views",
                nullable=False,
                comment="views or language",
            ),
        )
        op.create_check_constraint(
            op.f(f"ck_{table}_task_known"), table, "task IN ('views', 'language')"
        )
    for column in ("threshold", "base_rate", "videos_sha256"):
        op.alter_column("datasets", column, nullable=True)
    op.create_check_constraint(
        op.f("ck_datasets_views_whole"),
        "datasets",
        "task <> 'views' OR num_nulls(threshold, base_rate, videos_sha256) = 0",
    )
    for column, comment in (
        ("n_videos", "of the task language: stretches of speech"),
        ("n_channels", "of the task language: speakers"),
    ):
        op.alter_column("datasets", column, comment=comment)


def _without_tasks() -> None:
    # What was learned of speech has no place in the schema before.
    op.execute("DELETE FROM model_versions WHERE task = 'language'")
    op.execute(
        "DELETE FROM evaluation_metrics WHERE evaluation_id IN (SELECT evaluation_id "
        "FROM evaluations JOIN datasets USING (dataset_id) WHERE task = 'language')"
    )
    op.execute(
        "DELETE FROM evaluations WHERE dataset_id IN "
        "(SELECT dataset_id FROM datasets WHERE task = 'language')"
    )
    op.execute("DELETE FROM datasets WHERE task = 'language'")
    for column in ("n_videos", "n_channels"):
        op.alter_column("datasets", column, comment=None)
    op.drop_constraint(op.f("ck_datasets_views_whole"), "datasets", type_="check")
    for column in ("threshold", "base_rate", "videos_sha256"):
        op.alter_column("datasets", column, nullable=False)
    for table in ("datasets", "model_versions"):
        op.drop_column(table, "task")


def _selections() -> None:
    op.create_table(
        "audio_selections",
        sa.Column("channel_id", sa.Text(), nullable=False),
        sa.Column(
            "seconds_wanted",
            sa.BigInteger(),
            nullable=False,
            comment="of each video, in seconds of its audio",
        ),
        sa.Column(
            "shortest_s", sa.BigInteger(), nullable=False, comment="shorter videos are left out"
        ),
        sa.Column(
            "longest_s", sa.BigInteger(), nullable=False, comment="longer videos are left out"
        ),
        sa.Column(
            "newest_videos",
            sa.BigInteger(),
            nullable=False,
            comment="so many of the newest that fit",
        ),
        sa.Column(
            "enabled",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="false: collected no longer; what came stays",
        ),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "seconds_wanted BETWEEN 1 AND 14400",
            name=op.f("ck_audio_selections_seconds_wanted_sane"),
        ),
        sa.CheckConstraint(
            "shortest_s >= 1 AND longest_s >= shortest_s",
            name=op.f("ck_audio_selections_lengths_in_order"),
        ),
        sa.CheckConstraint("newest_videos >= 1", name=op.f("ck_audio_selections_videos_positive")),
        sa.ForeignKeyConstraint(
            ["channel_id"],
            ["channels.channel_id"],
            name=op.f("fk_audio_selections_channel_id_channels"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("channel_id", name=op.f("pk_audio_selections")),
    )


def _clips() -> None:
    op.create_table(
        "audio_clips",
        sa.Column("clip_id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("video_id", sa.Text(), nullable=False),
        sa.Column(
            "version",
            sa.BigInteger(),
            nullable=False,
            comment="a video whose audio changed has several",
        ),
        sa.Column("is_current", sa.Boolean(), nullable=False),
        sa.Column(
            "audio_sha256",
            sa.Text(),
            nullable=False,
            comment="of the compact original in the store",
        ),
        sa.Column("byte_size", sa.BigInteger(), nullable=False),
        sa.Column("container", sa.Text(), nullable=False),
        sa.Column("codec", sa.Text(), nullable=False),
        sa.Column("sample_rate", sa.BigInteger(), nullable=False, comment="of the original, in Hz"),
        sa.Column("channels", sa.BigInteger(), nullable=False),
        sa.Column(
            "said_duration_s",
            sa.Float(),
            nullable=True,
            comment="the video's length, as the site says it; NULL: it does not",
        ),
        sa.Column("duration_s", sa.Float(), nullable=False, comment="of what came, by decoding it"),
        sa.Column("kept_s", sa.Float(), nullable=False, comment="seconds in its segments"),
        sa.Column(
            "format_id",
            sa.Text(),
            nullable=True,
            comment="which of the site's formats was taken",
        ),
        sa.Column(
            "track_language",
            sa.Text(),
            nullable=True,
            comment="what the site says of the audio track",
        ),
        sa.Column(
            "cutting_version",
            sa.Text(),
            nullable=False,
            comment="how it was cut last; segments of other cuttings stay for their scores",
        ),
        sa.Column(
            "allowed_by",
            sa.Text(),
            nullable=False,
            comment="approval, or setting: a local permission",
        ),
        sa.Column("approval_reference", sa.Text(), nullable=True),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "last_seen_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when the same audio was fetched last",
        ),
        sa.Column(
            "purged_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when its bytes and those of its segments were removed; scores stay",
        ),
        sa.CheckConstraint("version >= 1", name=op.f("ck_audio_clips_version_from_one")),
        sa.CheckConstraint(
            "audio_sha256 ~ '^[0-9a-f]{64}$'", name=op.f("ck_audio_clips_sha256_form")
        ),
        sa.CheckConstraint("byte_size > 0", name=op.f("ck_audio_clips_size_positive")),
        sa.CheckConstraint(
            "sample_rate > 0 AND channels > 0", name=op.f("ck_audio_clips_format_positive")
        ),
        sa.CheckConstraint(
            "said_duration_s >= 0", name=op.f("ck_audio_clips_said_duration_not_negative")
        ),
        sa.CheckConstraint("duration_s > 0", name=op.f("ck_audio_clips_duration_positive")),
        sa.CheckConstraint(
            "kept_s >= 0 AND kept_s <= duration_s + 1", name=op.f("ck_audio_clips_kept_within")
        ),
        sa.CheckConstraint(
            "allowed_by IN ('approval', 'setting')", name=op.f("ck_audio_clips_allowed_by_known")
        ),
        sa.CheckConstraint(
            "(allowed_by = 'approval') = (approval_reference IS NOT NULL)",
            name=op.f("ck_audio_clips_approval_has_reference"),
        ),
        sa.CheckConstraint("last_seen_at >= fetched_at", name=op.f("ck_audio_clips_seen_in_order")),
        sa.ForeignKeyConstraint(
            ["video_id"],
            ["videos.video_id"],
            name=op.f("fk_audio_clips_video_id_videos"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("clip_id", name=op.f("pk_audio_clips")),
        sa.UniqueConstraint("video_id", "version", name=op.f("uq_audio_clips_video_id_version")),
    )
    op.create_index(
        "uq_audio_clips_current",
        "audio_clips",
        ["video_id"],
        unique=True,
        postgresql_where=sa.text("is_current"),
    )
    op.create_index("ix_audio_clips_audio_sha256", "audio_clips", ["audio_sha256"])
    op.create_index(
        "ix_audio_clips_fetched_at",
        "audio_clips",
        ["fetched_at"],
        postgresql_where=sa.text("purged_at IS NULL"),
    )


def _segments() -> None:
    op.create_table(
        "speech_segments",
        sa.Column("segment_id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("clip_id", sa.BigInteger(), nullable=False),
        sa.Column("cutting_version", sa.Text(), nullable=False),
        sa.Column(
            "start_s", sa.Float(), nullable=False, comment="seconds from the clip's beginning"
        ),
        sa.Column("length_s", sa.Float(), nullable=False),
        sa.Column("flac_sha256", sa.Text(), nullable=False),
        sa.Column("byte_size", sa.BigInteger(), nullable=False),
        sa.Column(
            "speech_share", sa.Float(), nullable=False, comment="share of its time with speech"
        ),
        sa.Column(
            "level_dbfs", sa.Float(), nullable=False, comment="RMS level relative to full scale"
        ),
        sa.Column(
            "snr_db",
            sa.Float(),
            nullable=True,
            comment="estimated from speech against pauses; NULL: nothing to compare with",
        ),
        sa.Column(
            "clipped_share", sa.Float(), nullable=False, comment="share of samples at full scale"
        ),
        sa.CheckConstraint(
            "start_s >= 0 AND length_s > 0", name=op.f("ck_speech_segments_span_positive")
        ),
        sa.CheckConstraint(
            "flac_sha256 ~ '^[0-9a-f]{64}$'", name=op.f("ck_speech_segments_sha256_form")
        ),
        sa.CheckConstraint("byte_size > 0", name=op.f("ck_speech_segments_size_positive")),
        sa.CheckConstraint(
            "speech_share BETWEEN 0 AND 1", name=op.f("ck_speech_segments_speech_share")
        ),
        sa.CheckConstraint(
            "clipped_share BETWEEN 0 AND 1", name=op.f("ck_speech_segments_clipped_share")
        ),
        sa.CheckConstraint("level_dbfs <= 6", name=op.f("ck_speech_segments_level_sane")),
        sa.ForeignKeyConstraint(
            ["clip_id"],
            ["audio_clips.clip_id"],
            name=op.f("fk_speech_segments_clip_id_audio_clips"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("segment_id", name=op.f("pk_speech_segments")),
        sa.UniqueConstraint(
            "clip_id",
            "start_s",
            "cutting_version",
            name=op.f("uq_speech_segments_clip_id_start_s_cutting_version"),
        ),
        sa.UniqueConstraint(
            "segment_id", "clip_id", name=op.f("uq_speech_segments_segment_id_clip_id")
        ),
    )
    op.create_index("ix_speech_segments_flac_sha256", "speech_segments", ["flac_sha256"])


def _labels() -> None:
    op.create_table(
        "language_labels",
        sa.Column("label_id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("video_id", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False, comment="ISO 639: en, zh or another"),
        sa.Column("labelled_by", sa.Text(), nullable=False, comment="who said so"),
        sa.Column("labelled_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "ended_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when it was corrected or withdrawn; NULL: in force",
        ),
        sa.CheckConstraint(
            "language ~ '^[a-z]{2,3}$'", name=op.f("ck_language_labels_language_form")
        ),
        sa.CheckConstraint("labelled_by <> ''", name=op.f("ck_language_labels_labelled_by_given")),
        sa.CheckConstraint("ended_at >= labelled_at", name=op.f("ck_language_labels_ended_later")),
        sa.ForeignKeyConstraint(
            ["video_id"],
            ["videos.video_id"],
            name=op.f("fk_language_labels_video_id_videos"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("label_id", name=op.f("pk_language_labels")),
    )
    op.create_index(
        "uq_language_labels_in_force",
        "language_labels",
        ["video_id"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index("ix_language_labels_video_id", "language_labels", ["video_id"])


def _scores() -> None:
    op.create_table(
        "language_scores",
        sa.Column("score_id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("clip_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "segment_id", sa.BigInteger(), nullable=True, comment="NULL: of the clip as a whole"
        ),
        sa.Column("model_version_id", sa.BigInteger(), nullable=False),
        sa.Column("p_en", sa.Float(), nullable=False),
        sa.Column("p_zh", sa.Float(), nullable=False),
        sa.Column("p_unknown", sa.Float(), nullable=False),
        sa.Column(
            "language",
            sa.Text(),
            nullable=False,
            comment="en, zh or unknown: what the model decided",
        ),
        sa.Column("scored_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "p_en BETWEEN 0 AND 1 AND p_zh BETWEEN 0 AND 1 AND p_unknown BETWEEN 0 AND 1",
            name=op.f("ck_language_scores_probabilities"),
        ),
        sa.CheckConstraint(
            "abs(p_en + p_zh + p_unknown - 1) < 0.001",
            name=op.f("ck_language_scores_probabilities_sum"),
        ),
        sa.CheckConstraint(
            "language IN ('en', 'zh', 'unknown')", name=op.f("ck_language_scores_language_known")
        ),
        sa.ForeignKeyConstraint(
            ["clip_id"],
            ["audio_clips.clip_id"],
            name=op.f("fk_language_scores_clip_id_audio_clips"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["segment_id", "clip_id"],
            ["speech_segments.segment_id", "speech_segments.clip_id"],
            name=op.f("fk_language_scores_segment_id_clip_id_speech_segments"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["model_version_id"],
            ["model_versions.model_version_id"],
            name=op.f("fk_language_scores_model_version_id_model_versions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("score_id", name=op.f("pk_language_scores")),
    )
    for name, column, where in (
        ("uq_language_scores_segment", "segment_id", "segment_id IS NOT NULL"),
        ("uq_language_scores_clip", "clip_id", "segment_id IS NULL"),
    ):
        op.create_index(
            name,
            "language_scores",
            [column, "model_version_id"],
            unique=True,
            postgresql_where=sa.text(where),
        )
    op.create_index("ix_language_scores_clip_id", "language_scores", ["clip_id"])
    op.create_index("ix_language_scores_model_version_id", "language_scores", ["model_version_id"])
