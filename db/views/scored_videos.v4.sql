-- Without a WITH, which keeps the order that is asked for from reaching the index; and nothing is
-- joined that leaves a row out: who asks for few columns has only what they need read.
CREATE VIEW scored_videos AS
SELECT
    s.video_id,
    v.channel_id,
    c.title AS channel_title,
    v.title,
    v.published_at,
    (
        SELECT cs.subscriber_count FROM channel_snapshots cs
        WHERE cs.channel_id = v.channel_id
        ORDER BY cs.slot DESC
        LIMIT 1
    ) AS subscriber_count,
    n.view_count::double precision AS view_count,
    n.captured_at AS views_captured_at,
    s.views_per_day,
    m.threshold,
    s.views_per_day >= m.threshold AS is_over_threshold,
    s.rung,
    m.version AS model_version,
    s.probability_over,
    greatest(power(10, s.log10_views_per_day) - 1, 0) AS predicted_views_per_day,
    s.log10_residual,
    (
        SELECT t.thumbnail_sha256 FROM video_thumbnails t
        WHERE t.video_id = s.video_id AND t.is_current
    ) AS thumbnail_sha256,
    s.scored_at,
    m.ladder,
    m.is_champion
FROM current_scores s
JOIN (
    SELECT l.model_version_id, l.version, d.threshold, 'champion' AS ladder, l.is_champion
    FROM champion_ladders l
    JOIN datasets d USING (dataset_id)
    WHERE l.task = 'thumbnails'
    UNION ALL
    (
        SELECT m.model_version_id, m.version, d.threshold, 'newest', false
        FROM (SELECT DISTINCT rung FROM model_versions WHERE task = 'thumbnails') r
        CROSS JOIN LATERAL (
            SELECT * FROM model_versions m
            WHERE m.task = 'thumbnails' AND m.rung = r.rung
                -- A version counts once it has scored something: a training that just ended hides nothing.
                AND EXISTS (SELECT FROM scores s WHERE s.model_version_id = m.model_version_id)
            ORDER BY m.version DESC
            LIMIT 1
        ) m
        JOIN datasets d USING (dataset_id)
        WHERE NOT EXISTS (SELECT FROM model_aliases WHERE task = 'thumbnails' AND alias = 'champion')
    )
) m USING (model_version_id)
LEFT JOIN videos v USING (video_id)
LEFT JOIN channels c USING (channel_id)
LEFT JOIN newest_counts n USING (video_id);

COMMENT ON VIEW scored_videos IS
'One row per video and rung of the ladder: what the model in use of that rung says of the video with its current thumbnail, beside what was last measured. In use is the champion with all that was trained together with it; until there is a champion, the newest model of each rung. A score never comes from a model that learned from the same channel.';
COMMENT ON COLUMN scored_videos.subscriber_count IS 'newest count of the channel, rounded down by YouTube; NULL = hidden';
COMMENT ON COLUMN scored_videos.view_count IS 'newest count of the video';
COMMENT ON COLUMN scored_videos.views_per_day IS 'lifetime average: views divided by age in days (at least one)';
COMMENT ON COLUMN scored_videos.threshold IS 'views per day that split over from under when the model was trained';
COMMENT ON COLUMN scored_videos.rung IS 'what the model knows, such as constant, subscribers or subscribers+age+thumbnail; a + in front means: on top of all that the ladder knows without it';
COMMENT ON COLUMN scored_videos.probability_over IS 'predicted probability of at least threshold views per day';
COMMENT ON COLUMN scored_videos.predicted_views_per_day IS 'predicted on the log scale, so closer to a median than to a mean';
COMMENT ON COLUMN scored_videos.log10_residual IS 'measured minus predicted log10(views per day + 1): 1 means ten times more than predicted';
COMMENT ON COLUMN scored_videos.ladder IS 'champion: the model was promoted, or trained together with the champion; newest: there is no champion yet';
COMMENT ON COLUMN scored_videos.is_champion IS 'true for the one rung that was promoted; the others of its ladder are there to compare';
