CREATE OR REPLACE FUNCTION views_at(of_video text, at timestamptz) RETURNS double precision
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (
    WITH earlier AS (
        SELECT captured_at, view_count FROM video_snapshots
        WHERE video_id = of_video AND captured_at <= at AND view_count IS NOT NULL
        ORDER BY captured_at DESC LIMIT 1
    ), later AS (
        SELECT captured_at, view_count FROM video_snapshots
        WHERE video_id = of_video AND captured_at >= at AND view_count IS NOT NULL
        ORDER BY captured_at LIMIT 1
    )
    SELECT earlier.view_count + (later.view_count - earlier.view_count)
        * coalesce(
            extract(epoch FROM at - earlier.captured_at)
            / nullif(extract(epoch FROM later.captured_at - earlier.captured_at), 0),
            0
        )::double precision
    FROM earlier, later
);

COMMENT ON FUNCTION views_at(text, timestamptz) IS
'Views of a video at a moment, on the straight line between the snapshots before and after it. NULL outside of what was collected.';

CREATE OR REPLACE FUNCTION view_count_redefined(of_video text, since timestamptz, until timestamptz)
RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (
    -- What is not known may be another one.
    SELECT count(DISTINCT coalesce(s.view_definition, 'not known')) > 1
    FROM video_snapshots s
    WHERE s.video_id = of_video AND s.captured_at BETWEEN
        coalesce(
            (SELECT max(captured_at) FROM video_snapshots
             WHERE video_id = of_video AND captured_at <= since),
            since
        ) AND coalesce(
            (SELECT min(captured_at) FROM video_snapshots
             WHERE video_id = of_video AND captured_at >= until),
            until
        )
);

COMMENT ON FUNCTION view_count_redefined(text, timestamptz, timestamptz) IS
'Whether what YouTube counts as a view changed between the snapshots around two moments.';

-- One expression without a query in it: so it is computed in place, a hundred times a swap.
CREATE OR REPLACE FUNCTION value_at(counts bigint[], times timestamptz[], at timestamptz)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN counts[width_bucket(at, times)] + (
    counts[width_bucket(at, times) + (times[width_bucket(at, times)] < at)::int]
    - counts[width_bucket(at, times)]
) * coalesce(
    extract(epoch FROM at - times[width_bucket(at, times)]) / nullif(extract(epoch FROM
        times[width_bucket(at, times) + (times[width_bucket(at, times)] < at)::int]
        - times[width_bucket(at, times)]), 0),
    0
)::double precision;

COMMENT ON FUNCTION value_at(bigint[], timestamptz[], timestamptz) IS
'A count at a moment, on the straight line between the counts before and after it, which are given in the order of time. NULL outside of them.';

CREATE OR REPLACE FUNCTION has_several(
    words text[], times timestamptz[], since timestamptz, until timestamptz
) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (
    SELECT count(DISTINCT word) > 1
    FROM unnest(words[
        greatest(width_bucket(since, times), 1)
        : CASE WHEN times[width_bucket(until, times)] = until THEN width_bucket(until, times)
            ELSE width_bucket(until, times) + 1 END
    ]) AS word
);

COMMENT ON FUNCTION has_several(text[], timestamptz[], timestamptz, timestamptz) IS
'Whether there are different words from the last moment before one to the first after another; moments are given in their order.';

-- These are written into whoever asks them, so that what is not named is not looked up.
CREATE OR REPLACE FUNCTION picture_swaps() RETURNS TABLE (
    video_id text,
    channel_id text,
    version bigint,
    old_sha256 text,
    new_sha256 text,
    distance bigint,
    old_last_seen_at timestamptz,
    changed_at timestamptz,
    shown_from timestamptz,
    shown_until timestamptz
)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT
        new.video_id,
        v.channel_id,
        new.version,
        old.thumbnail_sha256,
        new.thumbnail_sha256,
        bit_count((o.perceptual_hash # n.perceptual_hash)::bit(64)),
        old.last_seen_at,
        new.first_seen_at,
        -- No further than the old picture was shown, and the new one is.
        CASE WHEN old.version > 1 THEN old.first_seen_at END,
        CASE WHEN NOT new.is_current THEN new.last_seen_at END
    FROM video_thumbnails new
    -- One to each, which the planner does not see in a join: it decides about the order of reading.
    CROSS JOIN LATERAL (
        SELECT * FROM video_thumbnails t
        WHERE t.video_id = new.video_id AND t.version = new.version - 1
        LIMIT 1
    ) old
    LEFT JOIN thumbnails n ON n.thumbnail_sha256 = new.thumbnail_sha256
    LEFT JOIN thumbnails o ON o.thumbnail_sha256 = old.thumbnail_sha256
    LEFT JOIN videos v ON v.video_id = new.video_id
    WHERE new.version > 1;
END;

COMMENT ON FUNCTION picture_swaps() IS
'One row per swapped thumbnail: between which moments it was swapped, and from when and until when the two pictures were shown.';

CREATE OR REPLACE FUNCTION views_around(
    of_video text, gone_at timestamptz, came_at timestamptz, shown_from timestamptz,
    shown_until timestamptz, is_wanted boolean
) RETURNS TABLE (
    span interval,
    before double precision,
    after double precision,
    ends_at timestamptz,
    is_final boolean,
    first_slot timestamptz
)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT
        u.span,
        CASE WHEN u.is_rated THEN value_at(u.counts, u.times, gone_at)
            - value_at(u.counts, u.times, gone_at - u.span) END,
        CASE WHEN u.is_rated THEN value_at(u.counts, u.times, came_at + u.span)
            - value_at(u.counts, u.times, came_at) END,
        u.times[width_bucket(came_at + u.span, u.times)
            + (u.times[width_bucket(came_at + u.span, u.times)] < came_at + u.span)::int],
        coalesce(u.times[cardinality(u.times)] >= shown_until, false) OR coalesce(
            least(shown_until, u.times[cardinality(u.times)]) - came_at
            >= least(interval '7 days', gone_at - greatest(shown_from, u.times[1])),
            false
        ),
        (SELECT min(slot) FROM unnest(u.slots[
            width_bucket(u.times[width_bucket(gone_at - u.span, u.times)], u.all_times):
        ]) AS slot)
    FROM (
        SELECT u.*, u.span IS NOT NULL AND NOT (u.is_redefined AND has_several(
            u.definitions, u.all_times, gone_at - u.span, came_at + u.span
        )) AS is_rated
        FROM (
            -- Under a day there is little but interpolation.
            SELECT s.*, CASE WHEN s.width >= interval '1 day' THEN s.width END AS span
            FROM (
                SELECT s.*, least(
                    interval '7 days',
                    gone_at - greatest(shown_from, s.times[1]),
                    least(shown_until, s.times[cardinality(s.times)]) - came_at
                ) AS width
                FROM (
                    -- All of a video's counts at once: each moment of the windows is looked up in them.
                    SELECT
                        array_agg(captured_at) FILTER (WHERE view_count IS NOT NULL) AS times,
                        array_agg(view_count) FILTER (WHERE view_count IS NOT NULL) AS counts,
                        array_agg(captured_at) AS all_times,
                        array_agg(definition) AS definitions,
                        array_agg(slot) AS slots,
                        min(definition) <> max(definition) AS is_redefined
                    FROM (
                        -- What is not known may be another one.
                        SELECT captured_at, view_count, slot,
                            coalesce(view_definition, 'not known') AS definition
                        FROM video_snapshots
                        WHERE video_id = of_video AND is_wanted
                        ORDER BY captured_at
                    ) one
                ) s
            ) s
        ) u
    ) u;
END;

COMMENT ON FUNCTION views_around(
    text, timestamptz, timestamptz, timestamptz, timestamptz, boolean
) IS
'What a video''s views did before and after a swap: the windows, the views gained in each, and of which counts that follows: until ends_at and from first_slot on; later ones change nothing where it is final.';

CREATE OR REPLACE FUNCTION controls_around(
    of_channel text, but_video text, since timestamptz, gone_at timestamptz, came_at timestamptz,
    until timestamptz, is_wanted boolean
) RETURNS TABLE (
    videos bigint,
    before double precision,
    after double precision,
    ends_at timestamptz,
    undecided text[],
    first_slot timestamptz
)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT
        count(*) FILTER (WHERE other.before IS NOT NULL AND other.after IS NOT NULL),
        sum(other.before) FILTER (WHERE other.after IS NOT NULL),
        sum(other.after) FILTER (WHERE other.before IS NOT NULL),
        max(other.ends_at),
        array_agg(other.video_id) FILTER (WHERE other.is_begun AND other.ends_at IS NULL),
        min(other.first_slot)
    FROM (
        SELECT
            s.video_id,
            s.is_begun,
            CASE WHEN s.is_control THEN value_at(s.counts, s.times, gone_at)
                - value_at(s.counts, s.times, since) END AS before,
            CASE WHEN s.is_control THEN value_at(s.counts, s.times, until)
                - value_at(s.counts, s.times, came_at) END AS after,
            s.times[width_bucket(until, s.times)
                + (s.times[width_bucket(until, s.times)] < until)::int] AS ends_at,
            CASE WHEN s.is_begun THEN (SELECT min(slot) FROM unnest(s.slots[
                width_bucket(s.times[width_bucket(since, s.times)], s.all_times):
            ]) AS slot) END AS first_slot
        FROM (
            SELECT v.video_id, s.*, coalesce(s.times[1] <= since, false) AS is_begun,
                NOT (s.is_redefined AND has_several(s.definitions, s.all_times, since, until))
                    AS is_control
            FROM videos v
            CROSS JOIN LATERAL (
                SELECT
                    array_agg(captured_at) FILTER (WHERE view_count IS NOT NULL) AS times,
                    array_agg(view_count) FILTER (WHERE view_count IS NOT NULL) AS counts,
                    array_agg(captured_at) AS all_times,
                    array_agg(definition) AS definitions,
                    array_agg(slot) AS slots,
                    min(definition) <> max(definition) AS is_redefined
                FROM (
                    SELECT captured_at, view_count, slot,
                        coalesce(view_definition, 'not known') AS definition
                    FROM video_snapshots
                    WHERE video_id = v.video_id
                    ORDER BY captured_at
                ) one
            ) s
            WHERE v.channel_id = of_channel AND v.video_id <> but_video
              AND since IS NOT NULL AND is_wanted
              AND NOT EXISTS (
                -- Whatever may have been swapped within the windows is no control.
                SELECT FROM video_thumbnails t
                JOIN video_thumbnails u ON u.video_id = t.video_id AND u.version = t.version - 1
                WHERE t.video_id = v.video_id AND t.version > 1
                  AND t.first_seen_at >= since AND u.last_seen_at <= until
                OFFSET 0  -- video by video
              )
        ) s
        OFFSET 0  -- reckoned once, not wherever it is named above
    ) other;
END;

COMMENT ON FUNCTION controls_around(
    text, text, timestamptz, timestamptz, timestamptz, timestamptz, boolean
) IS
'What the views of a channel''s other videos did in the windows of a swap, and of which counts that follows: until ends_at and from first_slot on, and those to come of who is undecided.';

-- Without a WITH, which keeps the order that is asked for from reaching the index. What was
-- reckoned is kept (kept_swaps) and taken where nothing that it follows from has changed since.
CREATE VIEW thumbnail_changes AS
SELECT
    r.video_id,
    r.channel_id,
    r.version,
    r.old_sha256,
    r.new_sha256,
    r.distance,
    r.old_last_seen_at,
    r.changed_at,
    extract(epoch FROM r.span)::double precision / 86400 AS window_days,
    r.before / (extract(epoch FROM r.span)::double precision / 86400) AS views_per_day_before,
    r.after / (extract(epoch FROM r.span)::double precision / 86400) AS views_per_day_after,
    r.after / nullif(r.before, 0) AS ratio,
    CASE WHEN r.is_kept THEN r.control_videos ELSE control.videos END AS control_videos,
    CASE WHEN r.is_kept THEN r.control_after / nullif(r.control_before, 0)
        ELSE control.after / nullif(control.before, 0) END AS control_ratio
FROM (
    SELECT
        c.*,
        k.video_id IS NOT NULL AS is_kept,
        k.control_videos,
        k.control_before,
        k.control_after,
        CASE WHEN k.video_id IS NOT NULL THEN k.span ELSE counted.span END AS span,
        CASE WHEN k.video_id IS NOT NULL THEN k.views_before ELSE counted.before END AS before,
        CASE WHEN k.video_id IS NOT NULL THEN k.views_after ELSE counted.after END AS after
    FROM picture_swaps() c
    LEFT JOIN (
        SELECT * FROM kept_swaps s
        WHERE NOT s.is_stale AND s.channel_id NOT IN (
            SELECT n.channel_id FROM swaps_to_keep n
            UNION ALL
            -- What was collected in the last seconds: nobody has looked up yet what it changes.
            SELECT v.channel_id
            FROM counted_batches b
            CROSS JOIN LATERAL unnest(b.video_ids) AS one (video_id)
            CROSS JOIN LATERAL (
                SELECT v.channel_id FROM videos v WHERE v.video_id = one.video_id OFFSET 0
            ) v
        )
    ) k ON k.video_id = c.video_id AND k.version = c.version
        AND (k.channel_id = c.channel_id) IS TRUE  -- not by the channel's index: it may have many
        AND k.old_last_seen_at = c.old_last_seen_at
        AND k.changed_at = c.changed_at
        AND k.shown_from IS NOT DISTINCT FROM c.shown_from
        AND k.shown_until IS NOT DISTINCT FROM c.shown_until
    LEFT JOIN LATERAL views_around(
        c.video_id, c.old_last_seen_at, c.changed_at, c.shown_from, c.shown_until,
        k.video_id IS NULL
    ) counted ON true
) r
LEFT JOIN LATERAL controls_around(
    r.channel_id, r.video_id, r.old_last_seen_at - r.span, r.old_last_seen_at, r.changed_at,
    r.changed_at + r.span, NOT r.is_kept
) control ON true;

COMMENT ON VIEW thumbnail_changes IS
'One row per swapped thumbnail: views per day before and after, beside the channel''s other videos in the same days. A re-encoded picture is no change. Not randomised: owners swap pictures of videos that do badly, so compare ratio with control_ratio and read neither as a cause.';
COMMENT ON COLUMN thumbnail_changes.version IS 'of the new picture; 2 is the first change';
COMMENT ON COLUMN thumbnail_changes.distance IS
'bits of 64 by which the perceptual hashes differ; more than 10 for a change, about 32 for unrelated pictures';
COMMENT ON COLUMN thumbnail_changes.old_last_seen_at IS
'when the old picture was last seen; the swap came between this and changed_at, and the days between are in neither window';
COMMENT ON COLUMN thumbnail_changes.changed_at IS 'when the new picture was first seen';
COMMENT ON COLUMN thumbnail_changes.window_days IS
'length of the window before old_last_seen_at and of the one after changed_at: up to 7 days, less where snapshots or the pictures'' own days end; NULL under one day';
COMMENT ON COLUMN thumbnail_changes.views_per_day_before IS
'views gained a day in the window before, between interpolated snapshots; NULL where they do not cover both windows or the meaning of the count changed';
COMMENT ON COLUMN thumbnail_changes.views_per_day_after IS 'the same in the window after';
COMMENT ON COLUMN thumbnail_changes.ratio IS 'after divided by before; views fade with age, so below 1 is usual';
COMMENT ON COLUMN thumbnail_changes.control_videos IS
'other videos of the channel with snapshots around both windows and no change of picture in them';
COMMENT ON COLUMN thumbnail_changes.control_ratio IS 'views after divided by views before, of all control videos together';
