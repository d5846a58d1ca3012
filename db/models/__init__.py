"""All tables. Importing this module fills ``Base.metadata``."""

from db.models.channels import Channel, ChannelSnapshot, ChannelTag
from db.models.drift import DriftColumn, DriftReport
from db.models.fleet import Election, WorkerProcess
from db.models.installation import Installation
from db.models.learning import (
    CurrentScore,
    Dataset,
    Evaluation,
    EvaluationMetric,
    ModelAlias,
    ModelVersion,
    Promotion,
    Score,
)
from db.models.policy import Approval, Export, Size
from db.models.schedules import (
    Breaker,
    EndedPause,
    GoodAnswer,
    Notification,
    Pause,
    Schedule,
    ScheduleSlot,
)
from db.models.speech import (
    AudioClip,
    AudioSelection,
    LanguageLabel,
    LanguageScore,
    SpeechSegment,
)
from db.models.videos import NewestCount, Thumbnail, Video, VideoSnapshot, VideoThumbnail
from db.models.work import Job, MissedSlot, QuotaUsage, WorkItem

__all__ = [
    "Approval",
    "AudioClip",
    "AudioSelection",
    "Breaker",
    "Channel",
    "ChannelSnapshot",
    "ChannelTag",
    "CurrentScore",
    "Dataset",
    "DriftColumn",
    "DriftReport",
    "Election",
    "EndedPause",
    "Evaluation",
    "EvaluationMetric",
    "Export",
    "GoodAnswer",
    "Installation",
    "Job",
    "LanguageLabel",
    "LanguageScore",
    "MissedSlot",
    "ModelAlias",
    "ModelVersion",
    "NewestCount",
    "Notification",
    "Pause",
    "Promotion",
    "QuotaUsage",
    "Schedule",
    "ScheduleSlot",
    "Score",
    "Size",
    "SpeechSegment",
    "Thumbnail",
    "Video",
    "VideoSnapshot",
    "VideoThumbnail",
    "WorkItem",
    "WorkerProcess",
]
