CREATE VIEW model_comparison AS
SELECT
    e.evaluation_id,
    e.evaluation_id = max(e.evaluation_id) OVER () AS is_newest,
    e.created_at AS evaluated_at,
    em.rung,
    nullif(em.baseline, '') AS baseline,
    em.metric,
    em.value,
    em.low,
    em.high,
    e.n_videos,
    e.n_channels,
    d.threshold,
    d.base_rate,
    e.dataset_id,
    mv.version AS model_version,
    e.sentence
FROM evaluations e
JOIN evaluation_metrics em USING (evaluation_id)
JOIN datasets d USING (dataset_id)
LEFT JOIN model_versions mv USING (model_version_id);

COMMENT ON VIEW model_comparison IS
'One row per evaluation, rung and metric, judged on channels the model never saw. Rows with a baseline are paired differences: rung minus baseline.';
COMMENT ON COLUMN model_comparison.is_newest IS 'true for the rows of the newest evaluation';
COMMENT ON COLUMN model_comparison.metric IS 'auc, r2, spearman, ...; delta_r2 and delta_auc where baseline is set';
COMMENT ON COLUMN model_comparison.low IS 'lower end of the 95 % bootstrap interval, channels resampled';
COMMENT ON COLUMN model_comparison.high IS 'upper end of the 95 % bootstrap interval, channels resampled';
COMMENT ON COLUMN model_comparison.base_rate IS 'share of the videos over the threshold: what always guessing "over" would score';
