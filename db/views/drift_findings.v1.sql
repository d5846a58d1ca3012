CREATE VIEW drift_findings AS
SELECT
    r.drift_report_id,
    r.created_at,
    r.status,
    m.rung AS champion_rung,
    m.version AS champion_version,
    r.window_from,
    r.window_to,
    r.n_videos,
    r.n_channels,
    c.kind,
    c.name,
    c.distance,
    c.threshold,
    c.is_drifted,
    c.before,
    c.after,
    c.sentence
FROM drift_reports r
JOIN model_versions m ON m.model_version_id = r.model_version_id
LEFT JOIN drift_columns c ON c.drift_report_id = r.drift_report_id;

COMMENT ON VIEW drift_findings IS
'One row per report on drift and thing it compared: do the newest videos differ from those that the champion learned on?';
COMMENT ON COLUMN drift_findings.status IS 'of the whole report: noDrift, drift, or notEnough (nothing could be compared: the columns from kind on are NULL)';
COMMENT ON COLUMN drift_findings.kind IS 'feature, thumbnail (what the network sees), score, label or performance';
COMMENT ON COLUMN drift_findings.distance IS 'Kolmogorov-Smirnov, of words total variation, 0 to 1; of performance how much worse it is';
COMMENT ON COLUMN drift_findings.threshold IS 'above it is drift; without any, one of all columns exceeds its own in 1 of 20 reports at most';
COMMENT ON COLUMN drift_findings.before IS 'median, share or measure of what the champion learned on';
COMMENT ON COLUMN drift_findings.after IS 'the same of the window';
