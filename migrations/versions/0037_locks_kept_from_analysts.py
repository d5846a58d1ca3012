"""Advisory locks: not for analysts, whose query could hold what our own work waits for.

PostgreSQL lets everybody take them, also in a read-only transaction, and only a superuser may
take that away. Where none migrates, everything stays as it was, and `tubegrader doctor` says so.

Revision ID: 0037
Revises: 0036
"""

from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

APP = "tubegrader_app"
OURS = """
    SELECT p.oid::regprocedure AS name FROM pg_proc p
    WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname ~ '^pg_(try_)?advisory_'
"""


def upgrade() -> None:
    # A function, as it is called again where the app's role or a superuser came later.
    op.execute(
        f"""
        CREATE FUNCTION keep_locks() RETURNS void LANGUAGE plpgsql
        SET search_path = pg_catalog, pg_temp AS $$
        DECLARE
            owner regrole;
            lock record;
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = current_user AND rolsuper) THEN
                RETURN;
            END IF;
            SELECT relowner INTO owner FROM pg_class
            WHERE oid = to_regclass('public.alembic_version');
            FOR lock IN {OURS}
            LOOP
                IF owner IS NOT NULL THEN
                    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', lock.name, owner);
                END IF;
                IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{APP}') THEN
                    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO {APP}', lock.name);
                END IF;
                EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', lock.name);
            END LOOP;
        END
        $$
        """
    )
    op.execute("COMMENT ON FUNCTION keep_locks IS 'Keeps advisory locks from analysts.'")
    op.execute("REVOKE ALL ON FUNCTION keep_locks() FROM PUBLIC")
    op.execute("SELECT keep_locks()")


def downgrade() -> None:
    op.execute("DROP FUNCTION keep_locks")
    op.execute(
        f"""
        DO $$ DECLARE lock record; BEGIN
            IF EXISTS (SELECT FROM pg_roles WHERE rolname = current_user AND rolsuper) THEN
                FOR lock IN {OURS}
                LOOP
                    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC', lock.name);
                END LOOP;
            END IF;
        END $$
        """
    )
