"""Upkeep comes daily: what may be kept for 30 days is not kept for a week longer.

The schedule of upkeep that was installed by default becomes a daily one where nobody changed it; a
removed one stays removed, and a paused one paused. Partitions of a day need no change: those there
are, of a month each, stay as they are.

Revision ID: 0018
Revises: 0015
"""

from alembic import op

revision = "0018"
down_revision = "0015"
branch_labels = None
depends_on = None

WEEKLY = ("weekly-upkeep", "15 4 * * SUN")
DAILY = ("daily-upkeep", "15 4 * * *")


def upgrade() -> None:
    _upkeep(WEEKLY, DAILY)


def downgrade() -> None:
    _upkeep(DAILY, WEEKLY)


def _upkeep(old: tuple[str, str], new: tuple[str, str]) -> None:
    # Without its next slot a dispatcher works it out.
    op.execute(
        f"""
        UPDATE schedules SET name = '{new[0]}', cron = '{new[1]}', next_slot = NULL
        WHERE name = '{old[0]}' AND cron = '{old[1]}' AND kind = 'upkeep' AND params = '{{}}'
          AND time_zone = 'UTC' AND removed_at IS NULL
          AND NOT EXISTS (
            SELECT FROM schedules WHERE name = '{new[0]}' AND removed_at IS NULL
          )
        """
    )
