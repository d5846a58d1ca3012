CREATE OR REPLACE FUNCTION completeness_since(
    since timestamptz, at timestamptz, only_channel text DEFAULT NULL
)
RETURNS TABLE (
    channel_id text,
    day date,
    kind text,
    expected bigint,
    collected bigint,
    late bigint,
    missing bigint,
    reasons jsonb
)
LANGUAGE sql STABLE
AS $$
    WITH collected AS (
        SELECT v.channel_id, (s.slot AT TIME ZONE 'UTC')::date AS day, 'video.snapshot' AS kind,
            count(*) AS n, count(*) FILTER (WHERE s.captured_at > s.slot + interval '1 hour') AS late
        FROM video_snapshots s
        JOIN videos v ON v.video_id = s.video_id
        WHERE s.slot >= since AND s.slot <= at
          AND (only_channel IS NULL OR v.channel_id = only_channel)
        GROUP BY 1, 2
        UNION ALL
        SELECT s.channel_id, (s.slot AT TIME ZONE 'UTC')::date, 'channel.snapshot',
            count(*), count(*) FILTER (WHERE s.captured_at > s.slot + interval '1 hour')
        FROM channel_snapshots s
        WHERE s.slot >= since AND s.slot <= at
          AND (only_channel IS NULL OR s.channel_id = only_channel)
        GROUP BY 1, 2
    ), by_reason AS (
        SELECT g.channel_id, g.day, g.kind, g.reason, sum(g.n)::bigint AS n
        FROM (
            SELECT s.channel_id, (s.slot AT TIME ZONE 'UTC')::date AS day, s.kind, s.reason, 1 AS n
            FROM slots_skipped() s WHERE s.slot >= since
            UNION ALL
            SELECT o.channel_id, (o.slot AT TIME ZONE 'UTC')::date, o.kind, o.reason, 1
            FROM overdue_slots(at) o
            WHERE o.slot >= since AND NOT (SELECT is_more_overdue(at, 5000))
            UNION ALL
            -- Of the first day all, as that is how it was counted.
            SELECT k.channel_id, k.day, k.kind, k.reason, k.n_slots
            FROM overdue_counts k
            WHERE k.day >= (since AT TIME ZONE 'UTC')::date
              AND (SELECT is_more_overdue(at, 5000))
        ) g
        WHERE g.kind <> 'channel.discover'
          AND (only_channel IS NULL OR g.channel_id = only_channel)
        GROUP BY 1, 2, 3, 4
    ), missing AS (
        SELECT b.channel_id, b.day, b.kind, sum(b.n)::bigint AS n,
            jsonb_object_agg(b.reason, b.n) AS reasons
        FROM by_reason b
        GROUP BY 1, 2, 3
    )
    SELECT channel_id, day, kind,
        coalesce(c.n, 0) + coalesce(m.n, 0), coalesce(c.n, 0), coalesce(c.late, 0),
        coalesce(m.n, 0), coalesce(m.reasons, '{}'::jsonb)
    FROM collected c
    FULL JOIN missing m USING (channel_id, day, kind)
$$;

-- What is known for good is added up already, in the order of the index; as in completeness_gaps.
CREATE VIEW completeness AS
SELECT
    f.channel_id,
    c.title AS channel_title,
    f.day,
    f.kind,
    f.expected::bigint AS expected,
    f.collected::bigint AS collected,
    f.late::bigint AS late,
    f.missing::bigint AS missing,
    f.reasons,
    (SELECT overdue_counted_at(now())) AS overdue_at
FROM (
    SELECT
        r.channel_id,
        r.day,
        r.kind,
        sum(r.n_slots) AS expected,
        coalesce(sum(r.n_slots) FILTER (WHERE r.reason = ''), 0) AS collected,
        sum(r.n_late) AS late,
        coalesce(sum(r.n_slots) FILTER (WHERE r.reason <> ''), 0) AS missing,
        coalesce(
            jsonb_object_agg(r.reason, r.n_slots) FILTER (WHERE r.reason <> ''), '{}'::jsonb
        ) AS reasons
    FROM (
        SELECT g.day, g.channel_id, g.kind, g.reason, sum(g.n_slots ORDER BY g.reason) AS n_slots,
            sum(g.n_late) AS n_late
        FROM (
            SELECT d.channel_id, d.day, d.kind, d.reason, d.n_slots, d.n_late,
                false AS is_kept
            FROM daily_counts d
            UNION ALL
            -- The last minute's: whose channel nobody has looked up yet.
            SELECT v.channel_id, b.day, 'video.snapshot', '', b.sign,
                CASE WHEN b.is_late THEN b.sign ELSE 0 END, false
            FROM counted_batches b
            CROSS JOIN LATERAL unnest(b.video_ids) AS one (video_id)
            JOIN videos v ON v.video_id = one.video_id
            UNION ALL
            SELECT o.channel_id, o.day, o.kind, o.reason, o.n_slots, 0::bigint, false
            FROM little_overdue(now()) o
            UNION ALL
            SELECT k.channel_id, k.day, k.kind, k.reason, k.n_slots, 0::bigint, true
            FROM overdue_counts k
        ) g
        -- Not within the parts: one with a condition of its own loses the order of its index.
        WHERE g.kind <> 'channel.discover' AND (
            g.reason = ''
            OR g.channel_id NOT IN (SELECT c.channel_id FROM channels c WHERE NOT c.watched)
        ) AND (NOT g.is_kept OR (SELECT is_more_overdue(now(), 5000)))
        GROUP BY g.day, g.channel_id, g.kind, g.reason
        HAVING sum(g.n_slots) <> 0
        ORDER BY g.day DESC, g.channel_id, g.kind, g.reason
    ) r
    GROUP BY r.day, r.channel_id, r.kind
    ORDER BY r.day DESC, r.channel_id, r.kind
) f
LEFT JOIN channels c ON c.channel_id = f.channel_id;

COMMENT ON VIEW completeness IS
'One row per channel, UTC day and kind of snapshot: how many fell due under the cadence in force, and how many of them were collected.';
COMMENT ON COLUMN completeness.day IS 'the UTC day on which the snapshots fell due';
COMMENT ON COLUMN completeness.kind IS 'channel.snapshot or video.snapshot';
COMMENT ON COLUMN completeness.expected IS 'collected and missing together';
COMMENT ON COLUMN completeness.late IS 'those of the collected that were taken more than an hour after their slot';
COMMENT ON COLUMN completeness.reasons IS 'how many are missing for which reason';
COMMENT ON COLUMN completeness.overdue_at IS 'up to when what is overdue is counted: now, or when a dispatcher last did so where it is more than 5,000 items; NULL: none did yet';
