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

CREATE VIEW thumbnail_changes AS
WITH changes AS (
    SELECT
        new.video_id,
        v.channel_id,
        new.version,
        old.thumbnail_sha256 AS old_sha256,
        new.thumbnail_sha256 AS new_sha256,
        bit_count((o.perceptual_hash # n.perceptual_hash)::bit(64)) AS distance,
        old.last_seen_at AS old_last_seen_at,
        new.first_seen_at AS changed_at,
        -- No further than the old picture was shown, and the new one is.
        CASE WHEN old.version > 1 THEN old.first_seen_at END AS shown_from,
        CASE WHEN NOT new.is_current THEN new.last_seen_at END AS shown_until
    FROM video_thumbnails new
    JOIN video_thumbnails old ON old.video_id = new.video_id AND old.version = new.version - 1
    JOIN thumbnails n ON n.thumbnail_sha256 = new.thumbnail_sha256
    JOIN thumbnails o ON o.thumbnail_sha256 = old.thumbnail_sha256
    JOIN videos v ON v.video_id = new.video_id
), windowed AS (
    SELECT
        c.*,
        least(
            interval '7 days',
            c.old_last_seen_at - greatest(c.shown_from, s.first_at),
            least(c.shown_until, s.last_at) - c.changed_at
        ) AS width
    FROM changes c
    LEFT JOIN LATERAL (
        SELECT min(captured_at) AS first_at, max(captured_at) AS last_at
        FROM video_snapshots
        WHERE video_id = c.video_id AND view_count IS NOT NULL
    ) s ON true
), usable AS (
    -- Under a day there is little but interpolation.
    SELECT w.*, CASE WHEN w.width >= interval '1 day' THEN w.width END AS span
    FROM windowed w
), rated AS (
    SELECT u.*, own.before, own.after
    FROM usable u
    LEFT JOIN LATERAL (
        SELECT
            views_at(u.video_id, u.old_last_seen_at)
                - views_at(u.video_id, u.old_last_seen_at - u.span) AS before,
            views_at(u.video_id, u.changed_at + u.span)
                - views_at(u.video_id, u.changed_at) AS after
        WHERE u.span IS NOT NULL AND NOT view_count_redefined(
            u.video_id, u.old_last_seen_at - u.span, u.changed_at + u.span
        )
    ) own ON true
)
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
    control.videos AS control_videos,
    control.after / nullif(control.before, 0) AS control_ratio
FROM rated r
LEFT JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE other.before IS NOT NULL AND other.after IS NOT NULL) AS videos,
        sum(other.before) FILTER (WHERE other.after IS NOT NULL) AS before,
        sum(other.after) FILTER (WHERE other.before IS NOT NULL) AS after
    FROM (
        SELECT
            views_at(v.video_id, r.old_last_seen_at)
                - views_at(v.video_id, r.old_last_seen_at - r.span) AS before,
            views_at(v.video_id, r.changed_at + r.span)
                - views_at(v.video_id, r.changed_at) AS after
        FROM videos v
        WHERE v.channel_id = r.channel_id AND v.video_id <> r.video_id AND r.span IS NOT NULL
          AND NOT EXISTS (
            -- Whatever may have been swapped within the windows is no control.
            SELECT FROM video_thumbnails t
            JOIN video_thumbnails u ON u.video_id = t.video_id AND u.version = t.version - 1
            WHERE t.video_id = v.video_id
              AND t.first_seen_at >= r.old_last_seen_at - r.span
              AND u.last_seen_at <= r.changed_at + r.span
          )
          AND NOT view_count_redefined(
            v.video_id, r.old_last_seen_at - r.span, r.changed_at + r.span
          )
    ) other
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
