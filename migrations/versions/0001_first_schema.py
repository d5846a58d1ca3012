"""First schema.

Revision ID: 0001
Revises:
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from db.partitions import ensure_partitions
from db.views import view_sql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "channels",
        sa.Column("channel_id", sa.Text(), nullable=False),
        sa.Column("handle", sa.Text(), nullable=True),
        sa.Column("title", sa.Text(), nullable=True, comment="NULL until first refreshed"),
        sa.Column("country", sa.Text(), nullable=True),
        sa.Column("default_language", sa.Text(), nullable=True),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("uploads_playlist_id", sa.Text(), nullable=True),
        sa.Column(
            "uploads_truncated",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="the uploads playlist ended before the channel did",
        ),
        sa.Column("state", sa.Text(), server_default="active", nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("refreshed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "channel_id ~ '^UC[A-Za-z0-9_-]{22}$'", name=op.f("ck_channels_channel_id_form")
        ),
        sa.CheckConstraint(
            "state IN ('active', 'empty', 'closed', 'suspended', 'gone')",
            name=op.f("ck_channels_state_known"),
        ),
        sa.PrimaryKeyConstraint("channel_id", name=op.f("pk_channels")),
    )
    op.create_index(
        "ix_channels_handle", "channels", [sa.literal_column("lower(handle)")], unique=False
    )
    op.create_table(
        "datasets",
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column(
            "as_of",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="nothing in it was seen after this moment",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("n_videos", sa.BigInteger(), nullable=False),
        sa.Column("n_channels", sa.BigInteger(), nullable=False),
        sa.Column(
            "threshold",
            sa.Double(),
            nullable=False,
            comment="views per day that split over from under",
        ),
        sa.Column(
            "base_rate", sa.Double(), nullable=False, comment="share of videos over the threshold"
        ),
        sa.Column(
            "videos_sha256",
            sa.Text(),
            nullable=False,
            comment="hash of which videos with which pictures are in it, whatever their counts",
        ),
        sa.Column(
            "excluded",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="videos left out, counted by reason",
        ),
        sa.Column(
            "files",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="file name to SHA-256 in the store",
        ),
        sa.CheckConstraint("dataset_id ~ '^[0-9a-f]{64}$'", name=op.f("ck_datasets_sha256_form")),
        sa.CheckConstraint("base_rate BETWEEN 0 AND 1", name=op.f("ck_datasets_base_rate_share")),
        sa.CheckConstraint("n_videos > 0 AND n_channels > 0", name=op.f("ck_datasets_not_empty")),
        sa.PrimaryKeyConstraint("dataset_id", name=op.f("pk_datasets")),
    )
    op.create_table(
        "jobs",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("params", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("ready_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "cancel_requested", sa.Boolean(), server_default=sa.text("false"), nullable=False
        ),
        sa.Column("progress_done", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "progress_total",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="0 = not known yet",
        ),
        sa.Column("progress_message", sa.Text(), nullable=True),
        sa.Column(
            "waiting_until",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="set while nothing can be done before this moment; the message says why",
        ),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("error_kind", sa.Text(), nullable=True),
        sa.Column("error_reason", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'running') = (lease_token IS NOT NULL)", name=op.f("ck_jobs_lease")
        ),
        sa.CheckConstraint(
            "(state IN ('queued', 'running')) = (ready_at IS NOT NULL)", name=op.f("ck_jobs_ready")
        ),
        sa.CheckConstraint(
            "(state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)",
            name=op.f("ck_jobs_finished"),
        ),
        sa.CheckConstraint(
            "error_kind IN ('permanent', 'transient', 'quota', 'blocked')",
            name=op.f("ck_jobs_error_kind_known"),
        ),
        sa.CheckConstraint(
            "kind IN ('crawl', 'train', 'score', 'compare')", name=op.f("ck_jobs_kind_known")
        ),
        sa.CheckConstraint(
            "state <> 'failed' OR error_reason IS NOT NULL", name=op.f("ck_jobs_failed_reason")
        ),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')",
            name=op.f("ck_jobs_state_known"),
        ),
        sa.CheckConstraint(
            "progress_done >= 0 AND progress_total >= 0", name=op.f("ck_jobs_progress")
        ),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_jobs")),
    )
    op.create_index("ix_jobs_created_at", "jobs", ["created_at"], unique=False)
    op.create_index(
        "ix_jobs_ready_at",
        "jobs",
        ["ready_at"],
        unique=False,
        postgresql_where=sa.text("ready_at IS NOT NULL"),
    )
    op.create_table(
        "quota_usage",
        sa.Column(
            "key_fingerprint",
            sa.Text(),
            nullable=False,
            comment="start of the SHA-256 of the API key; the key is never stored",
        ),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("pacific_day", sa.Date(), nullable=False),
        sa.Column("units", sa.BigInteger(), nullable=False),
        sa.Column(
            "exhausted_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when YouTube itself said that the quota is used up",
        ),
        sa.CheckConstraint("units >= 0", name=op.f("ck_quota_usage_units_not_negative")),
        sa.PrimaryKeyConstraint(
            "key_fingerprint", "bucket", "pacific_day", name=op.f("pk_quota_usage")
        ),
    )
    op.create_table(
        "thumbnails",
        sa.Column("thumbnail_sha256", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("width", sa.BigInteger(), nullable=False),
        sa.Column("height", sa.BigInteger(), nullable=False),
        sa.Column("byte_size", sa.BigInteger(), nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "format IN ('jpeg', 'png', 'webp')", name=op.f("ck_thumbnails_format_known")
        ),
        sa.CheckConstraint(
            "thumbnail_sha256 ~ '^[0-9a-f]{64}$'", name=op.f("ck_thumbnails_sha256_form")
        ),
        sa.CheckConstraint(
            "width > 0 AND height > 0 AND byte_size > 0", name=op.f("ck_thumbnails_size_positive")
        ),
        sa.PrimaryKeyConstraint("thumbnail_sha256", name=op.f("pk_thumbnails")),
    )
    op.create_table(
        "channel_snapshots",
        sa.Column("channel_id", sa.Text(), nullable=False),
        sa.Column(
            "slot",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when it was due; makes a repeated crawl change nothing",
        ),
        sa.Column("captured_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "subscriber_count",
            sa.BigInteger(),
            nullable=True,
            comment="rounded down to 3 significant figures by YouTube; NULL = hidden, never 0",
        ),
        sa.Column("view_count", sa.BigInteger(), nullable=True),
        sa.Column("video_count", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "subscriber_count >= 0", name=op.f("ck_channel_snapshots_subscribers_not_negative")
        ),
        sa.CheckConstraint(
            "video_count >= 0", name=op.f("ck_channel_snapshots_videos_not_negative")
        ),
        sa.CheckConstraint("view_count >= 0", name=op.f("ck_channel_snapshots_views_not_negative")),
        sa.ForeignKeyConstraint(
            ["channel_id"],
            ["channels.channel_id"],
            name=op.f("fk_channel_snapshots_channel_id_channels"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("channel_id", "slot", name=op.f("pk_channel_snapshots")),
    )
    op.create_table(
        "evaluations",
        sa.Column("evaluation_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("n_videos", sa.BigInteger(), nullable=False),
        sa.Column("n_channels", sa.BigInteger(), nullable=False),
        sa.Column(
            "sentence", sa.Text(), nullable=False, comment="the answer in one plain sentence"
        ),
        sa.Column(
            "detail",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="the whole result, as compare --json",
        ),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["datasets.dataset_id"], name=op.f("fk_evaluations_dataset_id_datasets")
        ),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["jobs.job_id"],
            name=op.f("fk_evaluations_job_id_jobs"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("evaluation_id", name=op.f("pk_evaluations")),
    )
    op.create_table(
        "model_versions",
        sa.Column("model_version_id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("rung", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("dataset_id", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("trained_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("code_version", sa.Text(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("config", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "files",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="file name to SHA-256 in the store",
        ),
        sa.CheckConstraint("version >= 1", name=op.f("ck_model_versions_version_from_one")),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["datasets.dataset_id"],
            name=op.f("fk_model_versions_dataset_id_datasets"),
        ),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["jobs.job_id"],
            name=op.f("fk_model_versions_job_id_jobs"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("model_version_id", name=op.f("pk_model_versions")),
        sa.UniqueConstraint("rung", "version", name=op.f("uq_model_versions_rung_version")),
    )
    op.create_table(
        "videos",
        sa.Column("video_id", sa.Text(), nullable=False),
        sa.Column("channel_id", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=True, comment="NULL until first refreshed"),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("duration_s", sa.BigInteger(), nullable=True),
        sa.Column("category_id", sa.Text(), nullable=True),
        sa.Column("default_language", sa.Text(), nullable=True),
        sa.Column("default_audio_language", sa.Text(), nullable=True),
        sa.Column("live_broadcast_content", sa.Text(), server_default="none", nullable=False),
        sa.Column(
            "actual_start_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="for streams: age runs from here",
        ),
        sa.Column("state", sa.Text(), server_default="public", nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("refreshed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "live_broadcast_content IN ('none', 'upcoming', 'live')",
            name=op.f("ck_videos_live_known"),
        ),
        sa.CheckConstraint("state IN ('public', 'gone')", name=op.f("ck_videos_state_known")),
        sa.CheckConstraint(
            "video_id ~ '^[A-Za-z0-9_-]{11}$'", name=op.f("ck_videos_video_id_form")
        ),
        sa.CheckConstraint("duration_s >= 0", name=op.f("ck_videos_duration_not_negative")),
        sa.ForeignKeyConstraint(
            ["channel_id"],
            ["channels.channel_id"],
            name=op.f("fk_videos_channel_id_channels"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("video_id", name=op.f("pk_videos")),
    )
    op.create_index(
        "ix_videos_channel_id_published_at", "videos", ["channel_id", "published_at"], unique=False
    )
    op.create_table(
        "work_items",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("entity_id", sa.Text(), nullable=False, comment="channel or video id"),
        sa.Column("channel_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("slot", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ready_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_token", sa.Uuid(), nullable=True),
        sa.Column(
            "attempts",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="times a worker began it",
        ),
        sa.Column(
            "done_at", sa.DateTime(timezone=True), nullable=True, comment="when it last succeeded"
        ),
        sa.Column("error_kind", sa.Text(), nullable=True),
        sa.Column("error_reason", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("error_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(state = 'idle') = (slot IS NULL)", name=op.f("ck_work_items_slot")),
        sa.CheckConstraint(
            "(state = 'leased') = (lease_token IS NOT NULL)", name=op.f("ck_work_items_lease")
        ),
        sa.CheckConstraint(
            "(state IN ('due', 'leased')) = (ready_at IS NOT NULL)",
            name=op.f("ck_work_items_ready"),
        ),
        sa.CheckConstraint(
            "error_kind IN ('permanent', 'transient', 'quota', 'blocked')",
            name=op.f("ck_work_items_error_kind_known"),
        ),
        sa.CheckConstraint(
            "kind IN ('channel.discover', 'channel.snapshot', 'video.snapshot', 'video.thumbnail')",
            name=op.f("ck_work_items_kind_known"),
        ),
        sa.CheckConstraint(
            "state <> 'failed' OR error_reason IS NOT NULL",
            name=op.f("ck_work_items_failed_reason"),
        ),
        sa.CheckConstraint(
            "state IN ('idle', 'due', 'leased', 'failed')", name=op.f("ck_work_items_state_known")
        ),
        sa.CheckConstraint(
            "(error_kind IS NULL) = (error_reason IS NULL)", name=op.f("ck_work_items_error")
        ),
        sa.ForeignKeyConstraint(
            ["channel_id"],
            ["channels.channel_id"],
            name=op.f("fk_work_items_channel_id_channels"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("kind", "entity_id", name=op.f("pk_work_items")),
    )
    op.create_index("ix_work_items_channel_id", "work_items", ["channel_id"], unique=False)
    op.create_index(
        "ix_work_items_kind_error_reason",
        "work_items",
        ["kind", "error_reason"],
        unique=False,
        postgresql_where=sa.text("state = 'failed'"),
    )
    op.create_index(
        "ix_work_items_kind_ready_at",
        "work_items",
        ["kind", "ready_at"],
        unique=False,
        postgresql_where=sa.text("ready_at IS NOT NULL"),
    )
    op.create_index(
        "ix_work_items_lease_token",
        "work_items",
        ["lease_token"],
        unique=False,
        postgresql_where=sa.text("lease_token IS NOT NULL"),
    )
    op.create_table(
        "evaluation_metrics",
        sa.Column("evaluation_id", sa.BigInteger(), nullable=False),
        sa.Column("rung", sa.Text(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column(
            "baseline",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="the rung subtracted; empty for a plain value",
        ),
        sa.Column("model_version_id", sa.BigInteger(), nullable=True),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("low", sa.Double(), nullable=False),
        sa.Column("high", sa.Double(), nullable=False),
        sa.CheckConstraint("low <= high", name=op.f("ck_evaluation_metrics_interval_in_order")),
        sa.ForeignKeyConstraint(
            ["evaluation_id"],
            ["evaluations.evaluation_id"],
            name=op.f("fk_evaluation_metrics_evaluation_id_evaluations"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["model_version_id"],
            ["model_versions.model_version_id"],
            name=op.f("fk_evaluation_metrics_model_version_id_model_versions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "evaluation_id", "rung", "metric", "baseline", name=op.f("pk_evaluation_metrics")
        ),
    )
    op.create_table(
        "scores",
        sa.Column("video_id", sa.Text(), nullable=False),
        sa.Column("thumbnail_sha256", sa.Text(), nullable=False),
        sa.Column("model_version_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "probability_over",
            sa.Double(),
            nullable=False,
            comment="probability of at least the dataset's threshold in views per day",
        ),
        sa.Column(
            "log10_views_per_day",
            sa.Double(),
            nullable=False,
            comment="predicted log10(views per day + 1)",
        ),
        sa.Column("scored_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "probability_over BETWEEN 0 AND 1", name=op.f("ck_scores_probability_share")
        ),
        sa.ForeignKeyConstraint(
            ["model_version_id"],
            ["model_versions.model_version_id"],
            name=op.f("fk_scores_model_version_id_model_versions"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["thumbnail_sha256"],
            ["thumbnails.thumbnail_sha256"],
            name=op.f("fk_scores_thumbnail_sha256_thumbnails"),
        ),
        sa.ForeignKeyConstraint(
            ["video_id"],
            ["videos.video_id"],
            name=op.f("fk_scores_video_id_videos"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "video_id", "thumbnail_sha256", "model_version_id", name=op.f("pk_scores")
        ),
    )
    op.create_index("ix_scores_model_version_id", "scores", ["model_version_id"], unique=False)
    op.create_table(
        "video_snapshots",
        sa.Column("video_id", sa.Text(), nullable=False),
        sa.Column(
            "slot",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when it was due; makes a repeated crawl change nothing",
        ),
        sa.Column("captured_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "view_count", sa.BigInteger(), nullable=True, comment="NULL = not shown, never 0"
        ),
        sa.Column(
            "like_count", sa.BigInteger(), nullable=True, comment="NULL = hidden by the uploader"
        ),
        sa.Column(
            "comment_count", sa.BigInteger(), nullable=True, comment="NULL = comments are off"
        ),
        sa.CheckConstraint(
            "comment_count >= 0", name=op.f("ck_video_snapshots_comments_not_negative")
        ),
        sa.CheckConstraint("like_count >= 0", name=op.f("ck_video_snapshots_likes_not_negative")),
        sa.CheckConstraint("view_count >= 0", name=op.f("ck_video_snapshots_views_not_negative")),
        sa.ForeignKeyConstraint(
            ["video_id"],
            ["videos.video_id"],
            name=op.f("fk_video_snapshots_video_id_videos"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("video_id", "slot", name=op.f("pk_video_snapshots")),
        postgresql_partition_by="RANGE (slot)",
    )
    op.create_table(
        "video_thumbnails",
        sa.Column("video_id", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("thumbnail_sha256", sa.Text(), nullable=False),
        sa.Column(
            "variant",
            sa.Text(),
            nullable=False,
            comment="which size was fetched, such as mqdefault",
        ),
        sa.Column("etag", sa.Text(), nullable=True),
        sa.Column("is_current", sa.Boolean(), nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "last_seen_at >= first_seen_at", name=op.f("ck_video_thumbnails_seen_in_order")
        ),
        sa.CheckConstraint("version >= 1", name=op.f("ck_video_thumbnails_version_from_one")),
        sa.ForeignKeyConstraint(
            ["thumbnail_sha256"],
            ["thumbnails.thumbnail_sha256"],
            name=op.f("fk_video_thumbnails_thumbnail_sha256_thumbnails"),
        ),
        sa.ForeignKeyConstraint(
            ["video_id"],
            ["videos.video_id"],
            name=op.f("fk_video_thumbnails_video_id_videos"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("video_id", "version", name=op.f("pk_video_thumbnails")),
    )
    op.create_index(
        "ix_video_thumbnails_thumbnail_sha256",
        "video_thumbnails",
        ["thumbnail_sha256"],
        unique=False,
    )
    op.create_index(
        "uq_video_thumbnails_current",
        "video_thumbnails",
        ["video_id"],
        unique=True,
        postgresql_where=sa.text("is_current"),
    )
    ensure_partitions(op.get_bind(), start=datetime.now(UTC))
    op.execute(view_sql("scored_videos", 1))
    op.execute(view_sql("model_comparison", 1))


def downgrade() -> None:
    op.execute("DROP VIEW model_comparison")
    op.execute("DROP VIEW scored_videos")
    op.drop_index(
        "uq_video_thumbnails_current",
        table_name="video_thumbnails",
        postgresql_where=sa.text("is_current"),
    )
    op.drop_index("ix_video_thumbnails_thumbnail_sha256", table_name="video_thumbnails")
    op.drop_table("video_thumbnails")
    op.drop_table("video_snapshots")
    op.drop_index("ix_scores_model_version_id", table_name="scores")
    op.drop_table("scores")
    op.drop_table("evaluation_metrics")
    op.drop_index(
        "ix_work_items_lease_token",
        table_name="work_items",
        postgresql_where=sa.text("lease_token IS NOT NULL"),
    )
    op.drop_index(
        "ix_work_items_kind_ready_at",
        table_name="work_items",
        postgresql_where=sa.text("ready_at IS NOT NULL"),
    )
    op.drop_index(
        "ix_work_items_kind_error_reason",
        table_name="work_items",
        postgresql_where=sa.text("state = 'failed'"),
    )
    op.drop_index("ix_work_items_channel_id", table_name="work_items")
    op.drop_table("work_items")
    op.drop_index("ix_videos_channel_id_published_at", table_name="videos")
    op.drop_table("videos")
    op.drop_table("model_versions")
    op.drop_table("evaluations")
    op.drop_table("channel_snapshots")
    op.drop_table("thumbnails")
    op.drop_table("quota_usage")
    op.drop_index(
        "ix_jobs_ready_at", table_name="jobs", postgresql_where=sa.text("ready_at IS NOT NULL")
    )
    op.drop_index("ix_jobs_created_at", table_name="jobs")
    op.drop_table("jobs")
    op.drop_table("datasets")
    op.drop_index("ix_channels_handle", table_name="channels")
    op.drop_table("channels")
