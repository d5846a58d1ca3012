-- What is due and was not done yet; each slot that would have followed is missing as well.
CREATE OR REPLACE FUNCTION overdue_slots(at timestamptz)
RETURNS TABLE (channel_id text, kind text, entity_id text, slot timestamptz, reason text)
LANGUAGE sql STABLE
AS $$
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
        -- Of what was neither ready an hour ago nor held back beyond its slot, the slot was yet to
        -- come: most, and what is being worked off.
        SELECT * FROM work_items i
        WHERE i.ready_at <= at - interval '1 hour' AND NOT i.is_held
          AND i.kind IN ('channel.discover', 'channel.snapshot', 'video.snapshot')
        UNION ALL
        SELECT * FROM work_items i
        WHERE i.ready_at <= at - interval '1 hour' AND i.is_held AND i.slot <= at
        UNION ALL
        SELECT * FROM work_items i
        WHERE (i.ready_at IS NULL OR i.ready_at > i.slot)
          AND (i.ready_at > at - interval '1 hour') IS NOT FALSE AND i.slot <= at
    ) w
    JOIN channels c ON c.channel_id = w.channel_id
    -- The planner takes a series for a thousand rows, an array for ten.
    CROSS JOIN LATERAL unnest(ARRAY(SELECT generate_series(
        w.slot, at - interval '1 hour', make_interval(secs => coalesce(w.interval_s, 1000000000))
    ))) AS s (slot)
    WHERE c.watched
      AND w.kind IN ('channel.discover', 'channel.snapshot', 'video.snapshot')
      AND w.slot <= at - interval '1 hour'
      AND coalesce(w.error_reason, '') <> ALL (ARRAY[
        'videoGone', 'channelNotFound', 'channelClosed', 'channelSuspended'
      ])
$$;

-- What is known for good to have been missed.
CREATE OR REPLACE FUNCTION slots_skipped()
RETURNS TABLE (channel_id text, kind text, entity_id text, slot timestamptz, reason text)
LANGUAGE sql STABLE
AS $$
    -- What was skipped, noted when the work went on.
    SELECT m.channel_id, m.kind, m.entity_id, s.slot, m.reason
    FROM missed_slots m
    JOIN channels c ON c.channel_id = m.channel_id
    CROSS JOIN LATERAL generate_series(
        m.first_slot, m.last_slot, make_interval(secs => m.interval_s)
    ) AS s (slot)
    WHERE c.watched AND m.reason <> ALL (ARRAY[
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
    WHERE c.watched AND v.published_at > c.added_at
      AND v.first_seen_at > v.published_at + interval '25 hours'
$$;

CREATE OR REPLACE FUNCTION slots_not_collected(at timestamptz)
RETURNS TABLE (channel_id text, kind text, entity_id text, slot timestamptz, reason text)
LANGUAGE sql STABLE
AS $$
    SELECT * FROM slots_skipped()
    UNION ALL
    SELECT o.channel_id, o.kind, o.entity_id, o.slot, o.reason FROM overdue_slots(at) o
$$;

-- Whether more than so many items would have to be looked at to tell what is overdue.
CREATE OR REPLACE FUNCTION is_more_overdue(at timestamptz, than bigint)
RETURNS boolean
LANGUAGE sql STABLE
-- However much is overdue and whatever the planner knows of it: by index, and no further than that.
SET enable_seqscan = off SET enable_bitmapscan = off
AS $$
    SELECT count(*) > than FROM (
        SELECT FROM work_items i
        WHERE i.ready_at <= at - interval '1 hour' AND NOT i.is_held
          AND i.kind IN ('channel.discover', 'channel.snapshot', 'video.snapshot')
        UNION ALL
        SELECT FROM work_items i
        WHERE i.ready_at <= at - interval '1 hour' AND i.is_held AND i.slot <= at
        UNION ALL
        SELECT FROM work_items i
        WHERE (i.ready_at IS NULL OR i.ready_at > i.slot)
          AND (i.ready_at > at - interval '1 hour') IS NOT FALSE AND i.slot <= at
        LIMIT than + 1
    ) found
$$;

-- The same as overdue_slots says of these channels, whose items are read one channel at a time.
CREATE OR REPLACE FUNCTION overdue_slots_of(channels text[], at timestamptz)
RETURNS TABLE (channel_id text, kind text, entity_id text, slot timestamptz, reason text)
LANGUAGE sql STABLE
AS $$
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
    FROM unnest(channels) AS one (channel_id)
    JOIN channels c ON c.channel_id = one.channel_id
    CROSS JOIN LATERAL (
        SELECT * FROM work_items i WHERE i.channel_id = one.channel_id OFFSET 0
    ) w
    CROSS JOIN LATERAL unnest(ARRAY(SELECT generate_series(
        w.slot, at - interval '1 hour', make_interval(secs => coalesce(w.interval_s, 1000000000))
    ))) AS s (slot)
    WHERE c.watched
      AND w.kind IN ('channel.discover', 'channel.snapshot', 'video.snapshot')
      AND w.slot <= at - interval '1 hour'
      AND coalesce(w.error_reason, '') <> ALL (ARRAY[
        'videoGone', 'channelNotFound', 'channelClosed', 'channelSuspended'
      ])
$$;

-- What is overdue by channel and day, counted now; nothing where that would take long (more than
-- 5,000 items): then overdue_counts has it, from when overdue_counted_at tells.
CREATE OR REPLACE FUNCTION little_overdue(at timestamptz)
RETURNS TABLE (
    channel_id text, day date, kind text, reason text, n_slots bigint, n_entities bigint
)
LANGUAGE sql STABLE
AS $$
    SELECT o.channel_id, o.day, o.kind, o.reason, o.n_slots,
        -- Of whom a slot of the same day was missed for the same reason, is counted with that one.
        CASE WHEN EXISTS (
            SELECT FROM missed_slots m
            CROSS JOIN LATERAL unnest(ARRAY(SELECT generate_series(
                m.first_slot, m.last_slot, make_interval(secs => m.interval_s)
            ))) AS s (slot)
            WHERE m.kind = o.kind AND m.entity_id = o.entity_id AND m.channel_id = o.channel_id
              AND m.reason = o.reason AND (s.slot AT TIME ZONE 'UTC')::date = o.day
        ) THEN 0 ELSE 1 END::bigint
    FROM (
        SELECT s.channel_id, (s.slot AT TIME ZONE 'UTC')::date AS day, s.kind, s.reason,
            s.entity_id, count(*) AS n_slots
        FROM overdue_slots(at) s
        GROUP BY 1, 2, 3, 4, 5
    ) o
    WHERE NOT (SELECT is_more_overdue(at, 5000))
$$;

CREATE OR REPLACE FUNCTION overdue_by_day(at timestamptz)
RETURNS TABLE (
    channel_id text, day date, kind text, reason text, n_slots bigint, n_entities bigint
)
LANGUAGE sql STABLE
AS $$
    SELECT * FROM little_overdue(at)
    UNION ALL
    SELECT k.channel_id, k.day, k.kind, k.reason, k.n_slots, k.n_entities
    FROM overdue_counts k
    WHERE (SELECT is_more_overdue(at, 5000))
$$;

CREATE OR REPLACE FUNCTION overdue_counted_at(at timestamptz)
RETURNS timestamptz
LANGUAGE sql STABLE
AS $$
    SELECT CASE WHEN is_more_overdue(at, 5000) THEN (SELECT c.counted_at FROM overdue_counting c)
        ELSE at END
$$;

-- What is known for good is added up already, in the order of the index; only what is overdue now,
-- little as a rule, is counted when somebody asks. The groups are in that order, too: the newest
-- day first, and a limit ends the reading of both.
CREATE VIEW completeness_gaps AS
SELECT
    g.channel_id,
    g.day,
    g.kind,
    g.reason,
    sum(g.n_slots ORDER BY g.reason)::bigint AS n_slots,
    sum(g.n_entities)::bigint AS n_entities,
    (SELECT overdue_counted_at(now())) AS overdue_at
FROM (
    SELECT d.channel_id, d.day, d.kind, d.reason, d.n_slots, d.n_entities, false AS is_kept
    FROM daily_counts d
    UNION ALL
    SELECT o.channel_id, o.day, o.kind, o.reason, o.n_slots, o.n_entities, false
    FROM little_overdue(now()) o
    UNION ALL
    SELECT k.channel_id, k.day, k.kind, k.reason, k.n_slots, k.n_entities, true
    FROM overdue_counts k
) g
-- Not within the parts: one with a condition of its own loses the order of its index.
WHERE g.reason <> ''
  AND (NOT g.is_kept OR (SELECT is_more_overdue(now(), 5000)))
  AND g.channel_id NOT IN (SELECT c.channel_id FROM channels c WHERE NOT c.watched)
GROUP BY g.day, g.channel_id, g.kind, g.reason
HAVING sum(g.n_slots) > 0
ORDER BY g.day DESC, g.channel_id, g.kind, g.reason;

COMMENT ON VIEW completeness_gaps IS
'One row per channel, UTC day, kind of work and reason: how many slots fell due and were not collected. What YouTube did not show any more is no gap.';
COMMENT ON COLUMN completeness_gaps.day IS 'the UTC day on which the slots fell due';
COMMENT ON COLUMN completeness_gaps.kind IS 'channel.discover, channel.snapshot or video.snapshot';
COMMENT ON COLUMN completeness_gaps.reason IS 'paused, overdue (nobody worked on it), notDiscovered, underWay, or the reason of the failure, such as quotaExceeded';
COMMENT ON COLUMN completeness_gaps.n_entities IS 'videos (or channels) that the slots belong to';
COMMENT ON COLUMN completeness_gaps.overdue_at IS 'up to when what is overdue is counted: now, or when a dispatcher last did so where it is more than 5,000 items; NULL: none did yet';
