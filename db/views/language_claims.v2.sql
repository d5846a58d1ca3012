-- One expression without a query in it: so it is computed in place, a million times a question.
CREATE OR REPLACE FUNCTION spoken_language(code text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE substring(lower(code) FROM '^([a-z]{2,3})(?![a-z])')
    WHEN 'cmn' THEN 'zh'
    WHEN 'chi' THEN 'zh'
    WHEN 'zho' THEN 'zh'
    WHEN 'eng' THEN 'en'
    -- Not determined, several, none: these claim no language.
    WHEN 'und' THEN NULL
    WHEN 'mul' THEN NULL
    WHEN 'mis' THEN NULL
    WHEN 'zxx' THEN NULL
    WHEN 'art' THEN NULL
    ELSE substring(lower(code) FROM '^([a-z]{2,3})(?![a-z])')
END;

COMMENT ON FUNCTION spoken_language(text) IS
'The language of a BCP 47 code such as zh-Hans or en_US, as ISO 639; NULL where it names none.';

CREATE VIEW language_claims AS
SELECT video_id, 'hand' AS source, language, 1 AS rank, labelled_by AS claimed_by,
    labelled_at AS claimed_at
FROM language_labels
WHERE ended_at IS NULL
UNION ALL
SELECT told.video_id, 'metadata', told.language, 2, 'YouTube', told.refreshed_at
FROM (
    SELECT v.video_id, v.refreshed_at, coalesce(
        spoken_language(v.default_audio_language), (
            SELECT spoken_language(a.track_language) FROM audio_clips a
            WHERE a.video_id = v.video_id AND a.is_current
        )
    ) AS language
    FROM videos v
) told
WHERE told.language IS NOT NULL
UNION ALL
SELECT v.video_id, 'channel', spoken_language(c.language), 3, c.language_source, NULL
FROM videos v
JOIN channels c USING (channel_id)
WHERE spoken_language(c.language) IS NOT NULL;

COMMENT ON VIEW language_claims IS
'One row per video and source that says which language it speaks: by hand, by the metadata of its audio, by the label of its channel. They may contradict each other.';
COMMENT ON COLUMN language_claims.source IS 'hand, metadata or channel';
COMMENT ON COLUMN language_claims.language IS 'ISO 639: en, zh or another';
COMMENT ON COLUMN language_claims.rank IS 'the claim with the least rank is in force';
COMMENT ON COLUMN language_claims.claimed_by IS
'who labelled it; YouTube; or where the channel''s label came from (hand or metadata)';
COMMENT ON COLUMN language_claims.claimed_at IS
'when it was said by hand, or last read from YouTube; NULL for a channel''s label';
