CREATE VIEW model_comparison AS
SELECT
    e.evaluation_id,
    e.evaluation_id = max(e.evaluation_id) OVER (PARTITION BY d.task) AS is_newest,
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
    e.sentence,
    d.task
FROM evaluations e
JOIN evaluation_metrics em USING (evaluation_id)
JOIN datasets d USING (dataset_id)
LEFT JOIN model_versions mv USING (model_version_id);

COMMENT ON VIEW model_comparison IS
'One row per evaluation, rung and metric, judged on channels the model never saw. Rows with a baseline are paired differences: rung minus baseline.';
COMMENT ON COLUMN model_comparison.is_newest IS 'true for the rows of the newest evaluation of its task';
COMMENT ON COLUMN model_comparison.metric IS 'auc, r2, spearman, ...; delta_r2 and delta_auc where baseline is set. Of speech: balanced_accuracy, equal_error_rate, delta_balanced_accuracy';
COMMENT ON COLUMN model_comparison.low IS 'lower end of the 95 % bootstrap interval, channels resampled';
COMMENT ON COLUMN model_comparison.high IS 'upper end of the 95 % bootstrap interval, channels resampled';
COMMENT ON COLUMN model_comparison.base_rate IS 'share of the videos over the threshold: what always guessing "over" would score';
COMMENT ON COLUMN model_comparison.task IS 'thumbnails (what a thumbnail is worth) or speech (which language is spoken; n_videos are segments of speech there, n_channels speakers, threshold and base_rate are NULL)';
