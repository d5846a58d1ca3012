"""Statistics: metric definitions, subscriber intervals, quota by purpose.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _view_definitions()
    _subscriber_intervals()
    _purposes()


def downgrade() -> None:
    _without_purposes()
    op.drop_column("channel_snapshots", "subscriber_count_high")
    op.drop_constraint(
        op.f("ck_video_snapshots_view_definition_known"), "video_snapshots", type_="check"
    )
    op.drop_column("video_snapshots", "view_definition")


def _view_definitions() -> None:
    op.add_column(
        "video_snapshots",
        sa.Column(
            "view_definition",
            sa.Text(),
            nullable=True,
            comment="what YouTube counted as a view then: watched or started; NULL = not known. "
            "Counts of two definitions must not be subtracted",
        ),
    )
    op.create_check_constraint(
        op.f("ck_video_snapshots_view_definition_known"),
        "video_snapshots",
        "view_definition IN ('watched', 'started')",
    )
    # Between the two dates it depends on the format, which was not collected then.
    op.execute(
        """
        UPDATE video_snapshots SET view_definition = CASE
            WHEN captured_at < '2025-03-31T00:00:00Z' THEN 'watched'
            WHEN captured_at >= '2026-08-28T00:00:00Z' THEN 'started'
        END
        """
    )


def _subscriber_intervals() -> None:
    op.add_column(
        "channel_snapshots",
        sa.Column(
            "subscriber_count_high",
            sa.BigInteger(),
            sa.Computed(
                "subscriber_count + least("
                "10::numeric ^ greatest(length(subscriber_count::text) - 3, 0) - 1, "
                "9223372036854775807 - subscriber_count)::bigint",
                persisted=True,
            ),
            nullable=True,
            comment="the most subscribers that YouTube rounds down to subscriber_count",
        ),
    )


def _purposes() -> None:
    # What was spent before purposes were told apart counts as asked for by hand.
    op.add_column(
        "quota_usage", sa.Column("purpose", sa.Text(), server_default="adHoc", nullable=False)
    )
    op.alter_column("quota_usage", "purpose", server_default=None)
    op.create_check_constraint(
        op.f("ck_quota_usage_purpose_known"),
        "quota_usage",
        "purpose IN ('discovery', 'statistics', 'adHoc')",
    )
    op.drop_constraint(op.f("pk_quota_usage"), "quota_usage", type_="primary")
    op.create_primary_key(
        op.f("pk_quota_usage"),
        "quota_usage",
        ["key_fingerprint", "bucket", "pacific_day", "purpose"],
    )


def _without_purposes() -> None:
    op.drop_constraint(op.f("pk_quota_usage"), "quota_usage", type_="primary")
    op.drop_constraint(op.f("ck_quota_usage_purpose_known"), "quota_usage", type_="check")
    op.drop_column("quota_usage", "purpose")
    op.execute(
        """
        WITH apart AS (DELETE FROM quota_usage RETURNING *)
        INSERT INTO quota_usage (key_fingerprint, bucket, pacific_day, units, exhausted_at)
        SELECT key_fingerprint, bucket, pacific_day, sum(units), min(exhausted_at)
        FROM apart GROUP BY key_fingerprint, bucket, pacific_day
        """
    )
    op.create_primary_key(
        op.f("pk_quota_usage"), "quota_usage", ["key_fingerprint", "bucket", "pacific_day"]
    )
