"""Frozen datasets, trained models, their scores and how they compare."""

import uuid
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    CheckConstraint,
    Computed,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from db.base import SHA256_PATTERN, Base, Sha256, VideoId

THUMBNAILS: Final = "thumbnails"
SPEECH: Final = "speech"
TASKS = (THUMBNAILS, SPEECH)
"""What can be learned: what a thumbnail is worth, and which language is spoken."""
ALIASES = ("champion", "challenger")
DECISIONS = ("promoted", "kept", "byHand", "rolledBack")


class Dataset(Base):
    """A frozen, hashed table of videos with its thumbnails; the id is its content's hash.

    Of the task ``speech`` the rows are stretches of speech. They have no threshold of views, and
    no query but those of that task returns them.
    """

    __tablename__ = "datasets"
    __table_args__ = (
        CheckConstraint(f"task IN {TASKS}", name="task_known"),
        CheckConstraint(
            f"task <> '{THUMBNAILS}' OR num_nulls(threshold, base_rate, videos_sha256) = 0",
            name="thumbnails_whole",
        ),
        CheckConstraint(f"dataset_id ~ '{SHA256_PATTERN}'", name="sha256_form"),
        CheckConstraint("n_videos > 0 AND n_channels > 0", name="not_empty"),
        CheckConstraint("base_rate BETWEEN 0 AND 1", name="base_rate_share"),
    )

    dataset_id: Mapped[Sha256] = mapped_column(primary_key=True)
    as_of: Mapped[datetime] = mapped_column(comment="nothing in it was seen after this moment")
    created_at: Mapped[datetime]
    n_videos: Mapped[int] = mapped_column(comment="of the task speech: segments")
    n_channels: Mapped[int] = mapped_column(comment="of the task speech: speakers")
    threshold: Mapped[float] = mapped_column(
        nullable=True, comment="views per day that split over from under"
    )
    base_rate: Mapped[float] = mapped_column(
        nullable=True, comment="share of videos over the threshold"
    )
    videos_sha256: Mapped[Sha256] = mapped_column(
        nullable=True,
        comment="hash of which videos with which pictures are in it, whatever their counts",
    )
    excluded: Mapped[dict[str, Any]] = mapped_column(comment="videos left out, counted by reason")
    files: Mapped[dict[str, Any]] = mapped_column(comment="file name to SHA-256 in the store")
    task: Mapped[str] = mapped_column(server_default=THUMBNAILS, comment="thumbnails or speech")
    used_at: Mapped[datetime | None] = mapped_column(
        comment="when the same content was last frozen again, to be learned from"
    )
    pictures_purged_at: Mapped[datetime | None] = mapped_column(
        comment="when its copies of pictures were removed; its rows stay for its models"
    )


class ModelVersion(Base):
    """One trained rung of the ladder. Versions count up per rung and never change."""

    __tablename__ = "model_versions"
    __table_args__ = (
        UniqueConstraint("rung", "version"),
        UniqueConstraint("model_version_id", "task"),
        CheckConstraint("version >= 1", name="version_from_one"),
        CheckConstraint(f"task IN {TASKS}", name="task_known"),
    )

    model_version_id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    rung: Mapped[str]
    version: Mapped[int]
    dataset_id: Mapped[Sha256] = mapped_column(ForeignKey("datasets.dataset_id"))
    job_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("jobs.job_id", ondelete="SET NULL"))
    trained_at: Mapped[datetime]
    code_version: Mapped[str]
    seed: Mapped[int]
    config: Mapped[dict[str, Any]]
    files: Mapped[dict[str, Any]] = mapped_column(comment="file name to SHA-256 in the store")
    task: Mapped[str] = mapped_column(server_default=THUMBNAILS, comment="thumbnails or speech")


class RungVersion(Base):
    """The newest version number of a rung, which stays when its models go: none comes twice."""

    __tablename__ = "rung_versions"
    __table_args__ = (CheckConstraint("last_version >= 1", name="version_from_one"),)

    rung: Mapped[str] = mapped_column(primary_key=True)
    last_version: Mapped[int]


class ModelAlias(Base):
    """Which model version is the champion of its task, and which challenged it last."""

    __tablename__ = "model_aliases"
    __table_args__ = (
        CheckConstraint(f"task IN {TASKS}", name="task_known"),
        CheckConstraint(f"alias IN {ALIASES}", name="alias_known"),
        ForeignKeyConstraint(
            ["model_version_id", "task"], ["model_versions.model_version_id", "model_versions.task"]
        ),
    )

    task: Mapped[str] = mapped_column(primary_key=True)
    alias: Mapped[str] = mapped_column(primary_key=True)
    model_version_id: Mapped[int]
    set_at: Mapped[datetime]


class Promotion(Base):
    """One decision about the champion of a task. Rows are added, never changed."""

    __tablename__ = "promotions"
    __table_args__ = (
        CheckConstraint(f"task IN {TASKS}", name="task_known"),
        CheckConstraint(f"decision IN {DECISIONS}", name="decision_known"),
        CheckConstraint("reason <> ''", name="reason_given"),
        CheckConstraint(
            "decision = 'kept' OR challenger_version_id IS NOT NULL", name="champion_after"
        ),
        ForeignKeyConstraint(
            ["champion_version_id", "task"],
            ["model_versions.model_version_id", "model_versions.task"],
        ),
        ForeignKeyConstraint(
            ["challenger_version_id", "task"],
            ["model_versions.model_version_id", "model_versions.task"],
        ),
        Index("ix_promotions_job_id", "job_id", unique=True),
        Index("ix_promotions_task", "task", "promotion_id"),
    )

    promotion_id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    task: Mapped[str]
    decided_at: Mapped[datetime]
    decision: Mapped[str]
    champion_version_id: Mapped[int | None] = mapped_column(
        comment="the champion before; NULL: there was none"
    )
    challenger_version_id: Mapped[int | None] = mapped_column(
        comment="the champion after, unless kept; NULL: no model was fit to be one"
    )
    ground: Mapped[str] = mapped_column(comment="a stable word to count by")
    reason: Mapped[str] = mapped_column(comment="why, in plain words")
    figures: Mapped[dict[str, Any]] = mapped_column(
        comment="what it was decided by: differences with intervals, overall and by slice"
    )
    job_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("jobs.job_id", ondelete="SET NULL"))


class Score(Base):
    """What one model version says of one video with one thumbnail."""

    __tablename__ = "scores"
    __table_args__ = (
        CheckConstraint("probability_over BETWEEN 0 AND 1", name="probability_share"),
        Index("ix_scores_model_version_id", "model_version_id"),
    )

    video_id: Mapped[VideoId] = mapped_column(
        ForeignKey("videos.video_id", ondelete="CASCADE"), primary_key=True
    )
    thumbnail_sha256: Mapped[Sha256] = mapped_column(
        ForeignKey("thumbnails.thumbnail_sha256"), primary_key=True
    )
    model_version_id: Mapped[int] = mapped_column(
        ForeignKey("model_versions.model_version_id", ondelete="CASCADE"), primary_key=True
    )
    probability_over: Mapped[float] = mapped_column(
        comment="probability of at least the dataset's threshold in views per day"
    )
    log10_views_per_day: Mapped[float] = mapped_column(comment="predicted log10(views per day + 1)")
    scored_at: Mapped[datetime]


class CurrentScore(Base):
    """A score of the picture that a video shows now, beside what was last counted of it.

    Of the models in use, and of the newest: what they say is to be ordered and added up by views
    that change all the time. Triggers keep it true to ``scores``, ``video_thumbnails`` and
    ``newest_counts``; ``current_scores.forget`` lets go of models that nobody asks for any more.
    """

    __tablename__ = "current_scores"
    __table_args__ = (
        Index("ix_current_scores_rung_log10_residual", "rung", "log10_residual"),
        {"postgresql_with": {"fillfactor": 90}},
    )

    video_id: Mapped[VideoId] = mapped_column(
        ForeignKey("videos.video_id", ondelete="CASCADE"), primary_key=True
    )
    model_version_id: Mapped[int] = mapped_column(
        ForeignKey("model_versions.model_version_id", ondelete="CASCADE"), primary_key=True
    )
    rung: Mapped[str]
    probability_over: Mapped[float]
    log10_views_per_day: Mapped[float]
    scored_at: Mapped[datetime]
    views_per_day: Mapped[float | None]
    log10_residual: Mapped[float | None] = mapped_column(
        Computed("log(views_per_day + 1) - log10_views_per_day", persisted=True)
    )


class Evaluation(Base):
    """One comparison of the rungs on one dataset, with intervals in evaluation_metrics."""

    __tablename__ = "evaluations"

    evaluation_id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    dataset_id: Mapped[Sha256] = mapped_column(ForeignKey("datasets.dataset_id"))
    job_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("jobs.job_id", ondelete="SET NULL"))
    created_at: Mapped[datetime]
    n_videos: Mapped[int]
    n_channels: Mapped[int]
    sentence: Mapped[str] = mapped_column(comment="the answer in one plain sentence")
    detail: Mapped[dict[str, Any]] = mapped_column(comment="the whole result, as compare --json")


class EvaluationMetric(Base):
    """One measured figure with its 95 % interval by channel."""

    __tablename__ = "evaluation_metrics"
    __table_args__ = (CheckConstraint("low <= high", name="interval_in_order"),)

    evaluation_id: Mapped[int] = mapped_column(
        ForeignKey("evaluations.evaluation_id", ondelete="CASCADE"), primary_key=True
    )
    rung: Mapped[str] = mapped_column(primary_key=True)
    metric: Mapped[str] = mapped_column(primary_key=True)
    baseline: Mapped[str] = mapped_column(
        primary_key=True, server_default="", comment="the rung subtracted; empty for a plain value"
    )
    model_version_id: Mapped[int | None] = mapped_column(
        ForeignKey("model_versions.model_version_id", ondelete="CASCADE")
    )
    value: Mapped[float]
    low: Mapped[float]
    high: Mapped[float]
