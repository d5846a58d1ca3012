"""Every column of the views for analysts has a comment.

Only what had none gets one. A view that has lost a column meanwhile keeps its others.

Revision ID: 0035
Revises: 0034
"""

from functools import partial

from alembic import op
from sqlalchemy import text

from db.ddl import patiently

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

COMMENTS = {
    "champion_ladders": {
        "rung": "what the model knows, such as subscribers+thumbnail, or which kind of model it is",
        "version": "counted up with each training of the rung",
        "model_version_id": "of the model; scores and metrics refer to it",
        "dataset_id": "SHA-256 of the frozen dataset that it learned from",
        "trained_at": "when its training ended, UTC",
    },
    "completeness": {
        "channel_id": "of YouTube, UC and 22 characters",
        "channel_title": "newest title; NULL = not read yet",
        "collected": "slots that fell due and were read",
        "missing": "slots that fell due and were not read",
    },
    "completeness_gaps": {
        "channel_id": "of YouTube, UC and 22 characters",
        "n_slots": "how many slots fell due and were not collected",
    },
    "drift_findings": {
        "drift_report_id": "counted up; the newest report has the highest",
        "created_at": "when it was measured, UTC",
        "champion_rung": "rung of the champion then",
        "champion_version": "version of the champion then",
        "window_from": "the newest videos were published from here on, UTC",
        "window_to": "and before here",
        "n_videos": "videos among the newest",
        "n_channels": "channels that they are of",
        "name": "what was compared: a feature, the predictions, the outcomes",
        "is_drifted": "whether the distance is more than chance: over the threshold",
        "sentence": "what happened, in plain words",
    },
    "language_claims": {
        "video_id": "of YouTube, 11 characters",
    },
    "language_labels_in_force": {
        "video_id": "of YouTube, 11 characters",
        "language": "ISO 639, such as en or zh",
    },
    "language_results": {
        "clip_id": "of the audio that was taken of the video",
        "video_id": "of YouTube, 11 characters",
        "channel_id": "of YouTube, UC and 22 characters",
        "channel_title": "newest title; NULL = not read yet",
        "title": "newest title of the video",
        "published_at": "when the video was published, UTC",
        "p_zh": "probability of Chinese, of the clip as a whole",
        "p_unknown": "probability of anything else, of the clip as a whole",
        "votes_zh": "how many of the segments it takes for Chinese",
        "votes_unknown": "how many of the segments it takes for anything else",
        "label_claims": "what each source says, by source",
        "model_version": "counted up with each training of the rung",
        "model_version_id": "of the model; scores and metrics refer to it",
        "duration_s": "seconds of audio that were kept of the video",
        "codec": "in which it came",
        "fetched_at": "when the audio was taken, UTC",
        "scored_at": "when the model heard it, UTC; NULL = none did yet",
    },
    "model_comparison": {
        "evaluation_id": "counted up; one comparison has one",
        "evaluated_at": "when it was compared, UTC",
        "rung": "what the model knows, or which kind of model it is",
        "baseline": "the rung that it is compared with; NULL = the metric itself",
        "value": "of the metric, or the difference",
        "n_videos": "rows that it was judged on",
        "n_channels": "channels that they are of; intervals are by channel",
        "threshold": "views per day that split over from under",
        "dataset_id": "SHA-256 of the frozen dataset",
        "model_version": "counted up with each training of the rung",
        "sentence": "the answer of the whole comparison, in plain words",
    },
    "promotion_history": {
        "promotion_id": "counted up; the newest decision has the highest",
        "task": "thumbnails (what a thumbnail is worth) or speech (which language is spoken)",
        "decided_at": "UTC",
        "champion_version": "version of the champion before",
        "challenger_version": "version of the challenger",
        "job_id": "the night that decided; NULL = by hand",
    },
    "scored_videos": {
        "video_id": "of YouTube, 11 characters",
        "channel_id": "of YouTube, UC and 22 characters",
        "channel_title": "newest title; NULL = not read yet",
        "title": "newest title of the video; NULL = not read yet",
        "published_at": "when the video was published, UTC",
        "views_captured_at": "when view_count was read, UTC",
        "is_over_threshold": "whether views_per_day reaches the threshold",
        "model_version": "counted up with each training of the rung",
        "thumbnail_sha256": "of the picture that is shown now",
        "scored_at": "when the model looked, UTC",
    },
    "thumbnail_changes": {
        "video_id": "of YouTube, 11 characters",
        "channel_id": "of YouTube, UC and 22 characters",
        "old_sha256": "of the picture before",
        "new_sha256": "of the picture after",
    },
}


def upgrade() -> None:
    _comment(COMMENTS)


def downgrade() -> None:
    _comment({view: dict.fromkeys(columns, "") for view, columns in COMMENTS.items()})


def _comment(comments: dict[str, dict[str, str]]) -> None:
    for view, columns in comments.items():
        there = set(
            op.get_bind().scalars(
                text(
                    "SELECT attname FROM pg_attribute"
                    " WHERE attrelid = to_regclass(:view) AND attnum > 0 AND NOT attisdropped"
                ),
                {"view": view},
            )
        )
        said = {column: columns[column] for column in columns if column in there}
        patiently(op.get_bind(), partial(_say, view, said))


def _say(view: str, columns: dict[str, str]) -> None:
    for column, said in columns.items():
        quoted = said.replace("'", "''")
        op.execute(f"COMMENT ON COLUMN {view}.{column} IS '{quoted}'")
