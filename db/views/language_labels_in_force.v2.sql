-- Video by video, so that the first of them are there at once and one is found by its id.
CREATE VIEW language_labels_in_force AS
SELECT
    v.video_id,
    coalesce(said.hand, said.metadata, said.channel) AS language,
    CASE
        WHEN said.hand IS NOT NULL THEN 'hand'
        WHEN said.metadata IS NOT NULL THEN 'metadata'
        ELSE 'channel'
    END AS source,
    -- NULL is least and greatest of nothing.
    least(said.hand, said.metadata, said.channel)
        <> greatest(said.hand, said.metadata, said.channel) AS is_conflicting,
    jsonb_strip_nulls(jsonb_build_object(
        'hand', said.hand, 'metadata', said.metadata, 'channel', said.channel
    )) AS claims
FROM videos v
LEFT JOIN channels c ON c.channel_id = v.channel_id
LEFT JOIN language_labels l ON l.video_id = v.video_id AND l.ended_at IS NULL
LEFT JOIN audio_clips a ON a.video_id = v.video_id AND a.is_current
CROSS JOIN LATERAL (
    SELECT
        l.language AS hand,
        coalesce(
            spoken_language(v.default_audio_language), spoken_language(a.track_language)
        ) AS metadata,
        spoken_language(c.language) AS channel
    OFFSET 0  -- asked once, not wherever it is named above
) said
WHERE coalesce(said.hand, said.metadata, said.channel) IS NOT NULL;

COMMENT ON VIEW language_labels_in_force IS
'One row per video that anything claims a language for: by hand goes before the metadata of the audio, that before the channel''s label.';
COMMENT ON COLUMN language_labels_in_force.source IS 'where the language in force comes from: hand, metadata or channel';
COMMENT ON COLUMN language_labels_in_force.is_conflicting IS 'true where the claims name more than one language';
COMMENT ON COLUMN language_labels_in_force.claims IS 'what each source claims';
