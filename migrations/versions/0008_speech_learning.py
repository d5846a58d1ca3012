"""Speech is retrained nightly; comparisons of thumbnails and of speech each have a newest one.

Revision ID: 0008
Revises: 0007
"""

from alembic import op

from db.views import view_sql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _comparison(2)
    op.execute(
        """
        INSERT INTO schedules (name, kind, params, cron, created_at)
        SELECT 'nightly-speech', 'retrain', '{"task": "speech"}', '30 4 * * *', now()
        -- Who has one of this name already keeps it.
        WHERE NOT EXISTS (
            SELECT FROM schedules WHERE name = 'nightly-speech' AND removed_at IS NULL
        )
        """
    )


def downgrade() -> None:
    op.execute(
        "DELETE FROM schedule_slots WHERE schedule_id IN "
        "(SELECT schedule_id FROM schedules WHERE params ->> 'task' = 'speech')"
    )
    # Without tasks these would train thumbnails.
    op.execute("DELETE FROM schedules WHERE params ->> 'task' = 'speech'")
    _comparison(1)


def _comparison(version: int) -> None:
    op.execute("DROP VIEW model_comparison")
    op.execute(view_sql("model_comparison", version))
