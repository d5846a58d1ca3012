"""Whether new videos differ from those that the champion learned on."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Identity, Index
from sqlalchemy.orm import Mapped, mapped_column

from db.base import Base, Sha256

DRIFT_STATUS = ("noDrift", "drift", "notEnough")
DRIFT_KINDS = ("feature", "thumbnail", "score", "label", "performance")


class DriftReport(Base):
    """One comparison of a window of new videos with those before. Rows are added, never changed."""

    __tablename__ = "drift_reports"
    __table_args__ = (
        CheckConstraint(f"status IN {DRIFT_STATUS}", name="status_known"),
        CheckConstraint("sentence <> ''", name="sentence_given"),
        CheckConstraint(
            "status = 'notEnough' OR num_nulls(window_from, window_to) = 0", name="window_given"
        ),
        Index("ix_drift_reports_job_id", "job_id", unique=True),
        Index("ix_drift_reports_created_at", "created_at"),
    )

    drift_report_id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    created_at: Mapped[datetime]
    job_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("jobs.job_id", ondelete="SET NULL"))
    model_version_id: Mapped[int] = mapped_column(
        ForeignKey("model_versions.model_version_id", ondelete="CASCADE"),
        comment="the champion of then",
    )
    dataset_id: Mapped[Sha256 | None] = mapped_column(
        ForeignKey("datasets.dataset_id", ondelete="SET NULL"),
        comment="the newest of then, of whose videos the window is; NULL: it was removed since",
    )
    status: Mapped[str] = mapped_column(comment="noDrift, drift or notEnough")
    sentence: Mapped[str] = mapped_column(comment="the answer in one plain sentence")
    window_from: Mapped[datetime | None] = mapped_column(comment="first publication in the window")
    window_to: Mapped[datetime | None] = mapped_column(comment="last publication in it")
    n_videos: Mapped[int] = mapped_column(comment="videos in the window")
    n_channels: Mapped[int] = mapped_column(comment="channels in the window")
    n_reference_videos: Mapped[int] = mapped_column(comment="videos it is held against")
    n_reference_channels: Mapped[int] = mapped_column(comment="channels of these")


class DriftColumn(Base):
    """One thing that was compared between the window and what the champion learned on."""

    __tablename__ = "drift_columns"
    __table_args__ = (CheckConstraint(f"kind IN {DRIFT_KINDS}", name="kind_known"),)

    drift_report_id: Mapped[int] = mapped_column(
        ForeignKey("drift_reports.drift_report_id", ondelete="CASCADE"), primary_key=True
    )
    name: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(comment="feature, thumbnail, score, label or performance")
    distance: Mapped[float] = mapped_column(
        comment="Kolmogorov-Smirnov, of words total variation; of performance how much worse it is"
    )
    threshold: Mapped[float] = mapped_column(
        comment="the distance above which it is drift, drawn by channel from the reference"
    )
    p_value: Mapped[float] = mapped_column(comment="of this column alone")
    is_drifted: Mapped[bool]
    before: Mapped[float | None] = mapped_column(comment="median, share or measure before")
    after: Mapped[float | None] = mapped_column(comment="the same of the window")
    sentence: Mapped[str] = mapped_column(comment="what happened, in plain words")
