"""The app: a role that reads and writes rows, while the owner alone changes the schema.

What runs all day (workers, dispatchers, commands) needs rows, not tables. The one exception,
partitions that are made and dropped as time goes by, goes through two functions that run as the
owner.

Revision ID: 0018
Revises: 0017
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

APP = "tubegrader_app"
ANALYST = "tubegrader_analyst"


def upgrade() -> None:
    _make_partition()
    _drop_partition()
    _grant_roles()
    op.execute("SELECT grant_roles()")


def downgrade() -> None:
    op.execute("DROP FUNCTION grant_roles")
    op.execute("DROP FUNCTION drop_partition")
    op.execute("DROP FUNCTION make_partition")
    # The role stays: other databases of the server may have it in use.
    op.execute(
        f"""
        DO $$ BEGIN
            IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{APP}') THEN
                ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON TABLES FROM {APP};
                ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE ALL ON SEQUENCES FROM {APP};
                REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {APP};
                REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {APP};
                REVOKE ALL ON SCHEMA public FROM {APP};
            END IF;
        END $$
        """
    )


def _make_partition() -> None:
    # With a fixed search_path and every name in full: who calls it as the app must not be able to
    # have it find another table, function or operator than is meant.
    op.execute(
        """
        CREATE FUNCTION make_partition(parent text, part text, low timestamptz, high timestamptz)
        RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        BEGIN
            IF NOT EXISTS (
                SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = 'public' AND c.relname = parent AND c.relkind = 'p'
            ) THEN
                RAISE EXCEPTION '% has no partitions', quote_ident(parent)
                    USING ERRCODE = 'wrong_object_type';
            END IF;
            IF NOT starts_with(part, parent || '_')
                OR substr(part, length(parent) + 2) !~ '^[0-9][0-9a-z_]*$' OR length(part) > 63
            THEN
                RAISE EXCEPTION '% is no name of a partition of %',
                    quote_ident(part), quote_ident(parent) USING ERRCODE = 'invalid_name';
            END IF;
            IF NOT (isfinite(low) AND isfinite(high) AND low < high AND high <= low + '1 year') THEN
                RAISE EXCEPTION 'no partition holds from % to %', low, high
                    USING ERRCODE = 'invalid_parameter_value';
            END IF;
            EXECUTE format(
                'CREATE TABLE public.%I (LIKE public.%I INCLUDING ALL)', part, parent);
            EXECUTE format(
                'ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                parent, part, low, high);
        END
        $$
        """
    )
    op.execute(
        "COMMENT ON FUNCTION make_partition IS "
        "'Makes a partition and attaches it, as the owner: neither readers nor writers wait.'"
    )


def _drop_partition() -> None:
    op.execute(
        """
        CREATE FUNCTION drop_partition(part text)
        RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
        BEGIN
            IF NOT EXISTS (
                SELECT FROM pg_inherits i
                JOIN pg_class c ON c.oid = i.inhrelid
                JOIN pg_class p ON p.oid = i.inhparent
                JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = 'public' AND c.relname = part AND p.relkind = 'p'
                    AND p.relnamespace = n.oid AND c.relkind = 'r'
            ) THEN
                RAISE EXCEPTION '% is no partition', quote_ident(part)
                    USING ERRCODE = 'wrong_object_type';
            END IF;
            EXECUTE format('DROP TABLE public.%I', part);
        END
        $$
        """
    )
    op.execute(
        "COMMENT ON FUNCTION drop_partition IS "
        "'Drops a partition with its rows, as the owner; nothing but a partition.'"
    )
    for function in (
        "make_partition(text, text, timestamptz, timestamptz)",
        "drop_partition(text)",
    ):
        op.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")


def _grant_roles() -> None:
    # A function, as it is called again where a role came later: by an administrator, or in the
    # server that a dump was restored into, since dumps hold no roles.
    op.execute(
        f"""
        CREATE FUNCTION grant_roles() RETURNS void LANGUAGE plpgsql
        SET search_path = pg_catalog, pg_temp AS $$
        BEGIN
            BEGIN
                IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{APP}') THEN
                    CREATE ROLE {APP} LOGIN;
                END IF;
                IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{ANALYST}') THEN
                    CREATE ROLE {ANALYST} LOGIN CONNECTION LIMIT 20;
                    ALTER ROLE {ANALYST} SET statement_timeout = '60s';
                    ALTER ROLE {ANALYST} SET default_transaction_read_only = on;
                    ALTER ROLE {ANALYST} SET idle_in_transaction_session_timeout = '10min';
                END IF;
            EXCEPTION
                -- Made at the same moment by the migration of another database of the server.
                WHEN duplicate_object OR unique_violation THEN NULL;
                WHEN insufficient_privilege THEN
                    RAISE WARNING 'may not make the roles {APP} and {ANALYST}';
            END;
            IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{APP}') THEN
                GRANT USAGE ON SCHEMA public TO {APP};
                GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {APP};
                GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {APP};
                -- Which schema this is, is the owner's to say.
                REVOKE INSERT, UPDATE, DELETE ON public.alembic_version FROM {APP};
                GRANT EXECUTE ON FUNCTION
                    public.make_partition(text, text, timestamptz, timestamptz),
                    public.drop_partition(text) TO {APP};
                -- What the owner makes from now on.
                ALTER DEFAULT PRIVILEGES IN SCHEMA public
                    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {APP};
                ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE ON SEQUENCES TO {APP};
            END IF;
            IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{ANALYST}') THEN
                GRANT USAGE ON SCHEMA public TO {ANALYST};
                GRANT SELECT ON ALL TABLES IN SCHEMA public TO {ANALYST};
                ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {ANALYST};
            END IF;
        END
        $$
        """
    )
    op.execute(
        "COMMENT ON FUNCTION grant_roles IS "
        "'Makes the roles of app and analyst where it may, and grants what each needs.'"
    )
    op.execute("REVOKE ALL ON FUNCTION grant_roles() FROM PUBLIC")
    # A database that began before PostgreSQL 15 let everybody make tables.
    op.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
