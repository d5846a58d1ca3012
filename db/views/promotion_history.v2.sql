CREATE VIEW promotion_history AS
SELECT
    p.promotion_id,
    p.task,
    p.decided_at,
    p.decision,
    before.rung AS champion_rung,
    before.version AS champion_version,
    after.rung AS challenger_rung,
    after.version AS challenger_version,
    p.ground,
    p.reason,
    p.figures,
    p.job_id
FROM promotions p
LEFT JOIN model_versions before ON before.model_version_id = p.champion_version_id
LEFT JOIN model_versions after ON after.model_version_id = p.challenger_version_id;

COMMENT ON VIEW promotion_history IS
'One row per decision about the champion of a task, the newest with the highest promotion_id: each night''s evaluation of a challenger, and what was decided by hand.';
COMMENT ON COLUMN promotion_history.decision IS 'promoted (the challenger was no worse), kept (it was, or nobody could tell), byHand, rolledBack';
COMMENT ON COLUMN promotion_history.champion_rung IS 'the champion before; NULL = there was none';
COMMENT ON COLUMN promotion_history.challenger_rung IS 'the champion after, unless the decision is kept; NULL = no model was fit to be one';
COMMENT ON COLUMN promotion_history.ground IS 'a stable word to count by, such as noWorse, worse, tooFew, firstChampion';
COMMENT ON COLUMN promotion_history.reason IS 'why, in plain words';
COMMENT ON COLUMN promotion_history.figures IS 'what it was decided by: challenger less champion with intervals, overall and by slice';
