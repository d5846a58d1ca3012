CREATE VIEW champion_ladders AS
SELECT DISTINCT ON (a.task, m.rung)
    a.task,
    m.rung,
    m.version,
    m.model_version_id,
    m.model_version_id = a.model_version_id AS is_champion,
    m.dataset_id,
    m.trained_at,
    a.set_at AS champion_since
FROM model_aliases a
JOIN model_versions k USING (model_version_id)
-- What was trained together; a forgotten job leaves NULL on all that it trained.
JOIN model_versions m
    ON m.task = k.task AND m.dataset_id = k.dataset_id AND m.seed = k.seed
    AND m.code_version = k.code_version AND m.config = k.config
    AND m.job_id IS NOT DISTINCT FROM k.job_id
WHERE a.alias = 'champion'
ORDER BY a.task, m.rung, abs(m.model_version_id - k.model_version_id);

COMMENT ON VIEW champion_ladders IS
'The models in use: one row per task and rung, the champion and what was trained together with it. Empty until a first model was promoted.';
COMMENT ON COLUMN champion_ladders.task IS 'thumbnails (what a thumbnail is worth) or speech (which language is spoken)';
COMMENT ON COLUMN champion_ladders.is_champion IS 'true for the one rung that challengers are compared with';
COMMENT ON COLUMN champion_ladders.champion_since IS 'when the champion became it, UTC';
