CREATE VIEW language_results AS
WITH model AS (
    SELECT l.model_version_id, l.rung, l.version, 'champion' AS ladder, l.is_champion
    FROM champion_ladders l
    WHERE l.task = 'speech'
    UNION ALL
    (
        SELECT DISTINCT ON (m.rung) m.model_version_id, m.rung, m.version, 'newest', false
        FROM model_versions m
        WHERE m.task = 'speech'
            AND NOT EXISTS (SELECT FROM model_aliases WHERE task = 'speech' AND alias = 'champion')
            -- A version counts once it has scored something: a training that just ended hides nothing.
            AND EXISTS (SELECT FROM language_scores s WHERE s.model_version_id = m.model_version_id)
        ORDER BY m.rung, m.version DESC
    )
), scored AS (
    SELECT s.clip_id, m.rung, m.version, m.model_version_id, s.language, s.p_en, s.p_zh,
        s.p_unknown, s.scored_at, m.ladder, m.is_champion
    FROM language_scores s
    JOIN model m USING (model_version_id)
    WHERE s.segment_id IS NULL
)
SELECT
    a.clip_id,
    a.video_id,
    v.channel_id,
    c.title AS channel_title,
    v.title,
    v.published_at,
    s.language,
    s.p_en,
    s.p_zh,
    s.p_unknown,
    votes.segments,
    votes.votes_en,
    votes.votes_zh,
    votes.votes_unknown,
    l.language AS label,
    l.source AS label_source,
    l.is_conflicting AS label_is_conflicting,
    l.claims AS label_claims,
    s.language = CASE
        WHEN l.language IN ('en', 'zh') THEN l.language
        WHEN l.language IS NOT NULL THEN 'unknown'
    END AS agrees_with_label,
    s.rung,
    s.version AS model_version,
    s.model_version_id,
    a.duration_s,
    a.kept_s,
    a.codec,
    a.fetched_at,
    a.purged_at,
    s.scored_at,
    s.ladder,
    s.is_champion
FROM audio_clips a
JOIN videos v USING (video_id)
JOIN channels c USING (channel_id)
LEFT JOIN scored s USING (clip_id)
LEFT JOIN LATERAL (
    SELECT
        count(*) AS segments,
        count(*) FILTER (WHERE g.language = 'en') AS votes_en,
        count(*) FILTER (WHERE g.language = 'zh') AS votes_zh,
        count(*) FILTER (WHERE g.language = 'unknown') AS votes_unknown
    FROM language_scores g
    JOIN speech_segments cut USING (segment_id)
    WHERE g.clip_id = a.clip_id AND g.model_version_id = s.model_version_id
      AND cut.cutting_version = a.cutting_version
) votes ON s.clip_id IS NOT NULL
LEFT JOIN LATERAL (
    SELECT f.language, f.source, f.is_conflicting, f.claims
    FROM language_labels_in_force f
    WHERE f.video_id = a.video_id
) l ON true
WHERE a.is_current;

COMMENT ON VIEW language_results IS
'One row per clip (the current audio of a video) and rung: which language the model in use of that rung hears, beside what the video is said to speak. In use is the champion with all that was trained together with it; until there is a champion, the newest model of each rung. A clip that no model has scored yet has one row without a rung.';
COMMENT ON COLUMN language_results.language IS 'en, zh or unknown (music, silence, noise, another language): what the model decided for the whole clip';
COMMENT ON COLUMN language_results.p_en IS 'probability of English, of the clip as a whole; the three add up to 1';
COMMENT ON COLUMN language_results.segments IS 'segments of the clip that this model scored';
COMMENT ON COLUMN language_results.votes_en IS 'how many of the segments it takes for English';
COMMENT ON COLUMN language_results.label IS 'the label in force, ISO 639; NULL: nobody claims anything';
COMMENT ON COLUMN language_results.label_source IS 'hand, metadata or channel, the first of them that says anything';
COMMENT ON COLUMN language_results.label_is_conflicting IS 'true where the sources name more than one language; label_claims has all of them';
COMMENT ON COLUMN language_results.agrees_with_label IS 'whether the model says the label; unknown is right for any language but English and Chinese. NULL without a score or a label';
COMMENT ON COLUMN language_results.rung IS 'which kind of model, such as cnn or crnn';
COMMENT ON COLUMN language_results.kept_s IS 'seconds of the clip in segments with speech';
COMMENT ON COLUMN language_results.purged_at IS 'when the audio was removed; what was scored stays';
COMMENT ON COLUMN language_results.ladder IS 'champion: the model was promoted, or trained together with the champion; newest: there is no champion yet; NULL without a score';
COMMENT ON COLUMN language_results.is_champion IS 'true for the one rung that was promoted';
