"""All tables. Importing this module fills ``Base.metadata``."""

from db.models.access import ApiToken
from db.models.channels import Channel, ChannelSnapshot, ChannelTag
from db.models.counted import CountedBatch, DailyCount, OverdueCount, OverdueCounting
from db.models.drift import DriftColumn, DriftReport
from db.models.embeddings import Embedding, EmbeddingPack, EmbeddingRecipe
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
    RungVersion,
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
from db.models.scoring import Scoring, Shard
from db.models.speech import (
    AudioClip,
    AudioSelection,
    LanguageLabel,
    LanguageScore,
    SpeechSegment,
)
from db.models.swaps import KeptSwap, SwapToKeep
from db.models.videos import NewestCount, Thumbnail, Video, VideoSnapshot, VideoThumbnail
from db.models.work import CrawlPart, Job, MissedSlot, OddValue, QuotaPlan, QuotaUsage, WorkItem

__all__ = [
    "ApiToken",
    "Approval",
    "AudioClip",
    "AudioSelection",
    "Breaker",
    "Channel",
    "ChannelSnapshot",
    "ChannelTag",
    "CountedBatch",
    "CrawlPart",
    "CurrentScore",
    "DailyCount",
    "Dataset",
    "DriftColumn",
    "DriftReport",
    "Election",
    "Embedding",
    "EmbeddingPack",
    "EmbeddingRecipe",
    "EndedPause",
    "Evaluation",
    "EvaluationMetric",
    "Export",
    "GoodAnswer",
    "Installation",
    "Job",
    "KeptSwap",
    "LanguageLabel",
    "LanguageScore",
    "MissedSlot",
    "ModelAlias",
    "ModelVersion",
    "NewestCount",
    "Notification",
    "OddValue",
    "OverdueCount",
    "OverdueCounting",
    "Pause",
    "Promotion",
    "QuotaPlan",
    "QuotaUsage",
    "RungVersion",
    "Schedule",
    "ScheduleSlot",
    "Score",
    "Scoring",
    "Shard",
    "Size",
    "SpeechSegment",
    "SwapToKeep",
    "Thumbnail",
    "Video",
    "VideoSnapshot",
    "VideoThumbnail",
    "WorkItem",
    "WorkerProcess",
]
