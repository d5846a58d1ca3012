"""The analyst: a role that reads the views and tables and can do nothing else.

Revision ID: 0014
Revises: 0013
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

ROLE = "tubegrader_analyst"


def upgrade() -> None:
    # A role belongs to the whole server: another database's migration may have made it. Who may
    # make none here asks an administrator for it; until then `tubegrader sql` asks with its own.
    op.execute(
        f"""
        DO $$ BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN
                CREATE ROLE {ROLE} LOGIN CONNECTION LIMIT 20;
            END IF;
            ALTER ROLE {ROLE} SET statement_timeout = '60s';
            ALTER ROLE {ROLE} SET default_transaction_read_only = on;
            ALTER ROLE {ROLE} SET idle_in_transaction_session_timeout = '10min';
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE WARNING 'may not make the role {ROLE}';
        END $$
        """
    )
    op.execute(
        f"""
        DO $$ BEGIN
            IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN
                GRANT USAGE ON SCHEMA public TO {ROLE};
                GRANT SELECT ON ALL TABLES IN SCHEMA public TO {ROLE};
                ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {ROLE};
            END IF;
        END $$
        """
    )


def downgrade() -> None:
    # The role stays: other databases of the server may have it in use.
    op.execute(
        f"""
        DO $$ BEGIN
            IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN
                ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE SELECT ON TABLES FROM {ROLE};
                REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {ROLE};
                REVOKE ALL ON SCHEMA public FROM {ROLE};
            END IF;
        END $$
        """
    )
