"""Quota is booked by one statement: a worker that is frozen in between holds up nobody.

Revision ID: 0013
Revises: 0012
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # In a function, since each of its statements sees what was committed before it: one plain
    # statement would wait for the lock and then reckon with what it saw before.
    op.execute(
        """
        CREATE FUNCTION reserve_quota(
            for_key text, from_bucket text, on_day date, for_purpose text,
            more bigint, most bigint, kept jsonb
        ) RETURNS bigint LANGUAGE plpgsql AS $$
        DECLARE
            used bigint;
            closed boolean;
            others bigint;
        BEGIN
            PERFORM pg_advisory_xact_lock(hashtextextended(
                'quota_usage/' || for_key || '/' || from_bucket || '/' || on_day, 0));
            SELECT coalesce(sum(units), 0), coalesce(bool_or(exhausted_at IS NOT NULL), false)
                INTO used, closed
                FROM quota_usage
                WHERE key_fingerprint = for_key AND bucket = from_bucket AND pacific_day = on_day;
            SELECT coalesce(sum(greatest(share.value::bigint - coalesce(q.units, 0), 0)), 0)
                INTO others
                FROM jsonb_each_text(kept) AS share
                LEFT JOIN quota_usage q ON q.key_fingerprint = for_key
                    AND q.bucket = from_bucket AND q.pacific_day = on_day AND q.purpose = share.key
                WHERE share.key <> for_purpose;
            IF closed OR used + more > most - others THEN
                RETURN NULL;
            END IF;
            INSERT INTO quota_usage (key_fingerprint, bucket, pacific_day, purpose, units)
                VALUES (for_key, from_bucket, on_day, for_purpose, more)
                ON CONFLICT (key_fingerprint, bucket, pacific_day, purpose)
                DO UPDATE SET units = quota_usage.units + excluded.units;
            RETURN used + more;
        END
        $$
        """
    )
    op.execute(
        "COMMENT ON FUNCTION reserve_quota IS 'Books units of a bucket for a purpose if they fit; "
        "returns the total of the day, or NULL where nothing was booked.'"
    )


def downgrade() -> None:
    op.execute("DROP FUNCTION reserve_quota")
