"""All tables. Importing this module fills ``Base.metadata``."""

from db.models.channels import Channel, ChannelSnapshot
from db.models.learning import Dataset, Evaluation, EvaluationMetric, ModelVersion, Score
from db.models.schedules import Breaker, Notification, Pause, Schedule, ScheduleSlot
from db.models.videos import Thumbnail, Video, VideoSnapshot, VideoThumbnail
from db.models.work import Job, QuotaUsage, WorkItem

__all__ = [
    "Breaker",
    "Channel",
    "ChannelSnapshot",
    "Dataset",
    "Evaluation",
    "EvaluationMetric",
    "Job",
    "ModelVersion",
    "Notification",
    "Pause",
    "QuotaUsage",
    "Schedule",
    "ScheduleSlot",
    "Score",
    "Thumbnail",
    "Video",
    "VideoSnapshot",
    "VideoThumbnail",
    "WorkItem",
]
