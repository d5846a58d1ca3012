CREATE VIEW language_labels_in_force AS
SELECT
    video_id,
    (array_agg(language ORDER BY rank))[1] AS language,
    (array_agg(source ORDER BY rank))[1] AS source,
    count(DISTINCT language) > 1 AS is_conflicting,
    jsonb_object_agg(source, language) AS claims
FROM language_claims
GROUP BY video_id;

COMMENT ON VIEW language_labels_in_force IS
'One row per video that anything claims a language for: by hand goes before the metadata of the audio, that before the channel''s label.';
COMMENT ON COLUMN language_labels_in_force.source IS 'where the language in force comes from: hand, metadata or channel';
COMMENT ON COLUMN language_labels_in_force.is_conflicting IS 'true where the claims name more than one language';
COMMENT ON COLUMN language_labels_in_force.claims IS 'what each source claims';
