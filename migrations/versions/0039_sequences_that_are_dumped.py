"""The app reads sequences: a scheduled backup is made by a worker, and a dump holds their values.

Revision ID: 0039
Revises: 0038
"""

from alembic import op

revision = "0039"
down_revision = "0038"
branch_labels = None
depends_on = None

APP = "tubegrader_app"


def upgrade() -> None:
    _if_there(
        f"GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO {APP}; "
        f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON SEQUENCES TO {APP};"
    )


def downgrade() -> None:
    _if_there(
        f"ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE SELECT ON SEQUENCES FROM {APP}; "
        f"REVOKE SELECT ON ALL SEQUENCES IN SCHEMA public FROM {APP};"
    )


def _if_there(statements: str) -> None:
    op.execute(
        f"DO $$ BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{APP}') THEN "
        f"{statements} END IF; END $$"
    )
