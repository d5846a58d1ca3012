CREATE OR REPLACE FUNCTION slots_not_collected(at timestamptz)
RETURNS TABLE (channel_id text, kind text, entity_id text, slot timestamptz, reason text)
LANGUAGE sql STABLE
AS $$
    -- What was skipped, noted when the work went on.
    SELECT m.channel_id, m.kind, m.entity_id, s.slot, m.reason
    FROM missed_slots m
    CROSS JOIN LATERAL generate_series(
        m.first_slot, m.last_slot, make_interval(secs => m.interval_s)
    ) AS s (slot)
    WHERE m.reason <> ALL (ARRAY[
        'videoGone', 'channelNotFound', 'channelClosed', 'channelSuspended'
    ])
    UNION ALL
    -- What is due and was not done yet; each slot that would have followed is missing as well.
    SELECT w.channel_id, w.kind, w.entity_id, s.slot, CASE
        WHEN c.paused_at IS NOT NULL THEN 'paused'
        WHEN EXISTS (
            SELECT FROM pauses p
            WHERE p.scope IN ('everything', 'crawl') AND p.paused_at <= w.slot
        ) THEN 'paused'
        WHEN w.error_reason IS NOT NULL THEN w.error_reason
        WHEN w.state = 'leased' THEN 'underWay'
        ELSE 'overdue'
    END
    FROM (
        -- Of what is neither ready nor held back beyond its slot, the slot is yet to come: most.
        SELECT * FROM work_items i WHERE i.ready_at <= at
        UNION ALL
        SELECT * FROM work_items i
        WHERE (i.ready_at IS NULL OR i.ready_at > i.slot) AND (i.ready_at > at) IS NOT FALSE
          AND i.slot <= at
    ) w
    JOIN channels c ON c.channel_id = w.channel_id
    CROSS JOIN LATERAL generate_series(
        w.slot, at - interval '1 hour', make_interval(secs => coalesce(w.interval_s, 1000000000))
    ) AS s (slot)
    WHERE w.kind IN ('channel.discover', 'channel.snapshot', 'video.snapshot')
      AND w.slot <= at - interval '1 hour'
      AND coalesce(w.error_reason, '') <> ALL (ARRAY[
        'videoGone', 'channelNotFound', 'channelClosed', 'channelSuspended'
      ])
    UNION ALL
    -- Days on which a new video should have been known already: discovery looks once a day.
    SELECT v.channel_id, 'video.snapshot', v.video_id, s.slot, 'notDiscovered'
    FROM videos v
    JOIN channels c ON c.channel_id = v.channel_id
    CROSS JOIN LATERAL generate_series(
        v.published_at + interval '25 hours', v.first_seen_at, interval '24 hours'
    ) AS s (slot)
    WHERE v.published_at > c.added_at
      AND v.first_seen_at > v.published_at + interval '25 hours'
$$;

CREATE VIEW completeness_gaps AS
SELECT
    g.channel_id,
    (g.slot AT TIME ZONE 'UTC')::date AS day,
    g.kind,
    g.reason,
    count(*) AS n_slots,
    count(DISTINCT g.entity_id) AS n_entities
FROM slots_not_collected(now()) g
GROUP BY 1, 2, 3, 4;

COMMENT ON VIEW completeness_gaps IS
'One row per channel, UTC day, kind of work and reason: how many slots fell due and were not collected. What YouTube did not show any more is no gap.';
COMMENT ON COLUMN completeness_gaps.day IS 'the UTC day on which the slots fell due';
COMMENT ON COLUMN completeness_gaps.kind IS 'channel.discover, channel.snapshot or video.snapshot';
COMMENT ON COLUMN completeness_gaps.reason IS 'paused, overdue (nobody worked on it), notDiscovered, underWay, or the reason of the failure, such as quotaExceeded';
COMMENT ON COLUMN completeness_gaps.n_entities IS 'videos (or channels) that the slots belong to';
