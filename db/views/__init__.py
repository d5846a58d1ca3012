"""SQL views: the analysts' interface. One file a version; a released file never changes."""

from importlib import resources

CURRENT = {
    "champion_ladders": 2,
    "promotion_history": 2,
    "drift_findings": 1,
    "scored_videos": 4,
    "model_comparison": 3,
    "completeness_gaps": 6,
    "completeness": 3,
    "thumbnail_changes": 3,
    "language_claims": 2,
    "language_labels_in_force": 2,
    "language_results": 3,
}
"""The version of each view that the newest migration leaves in the database."""


def view_sql(name: str, version: int) -> str:
    """Return the statements that create a version of a view with its comments."""
    return resources.files("db.views").joinpath(f"{name}.v{version}.sql").read_text("utf-8")
