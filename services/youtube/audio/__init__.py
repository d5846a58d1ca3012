"""Speech audio of videos: the one caller of yt-dlp."""

from services.youtube.audio.facts import FetchedAudio, NotYetError, OnProgress, Progress
from services.youtube.audio.source import DEFAULT_MEDIA_URL, AudioSource
from services.youtube.audio.tools import JavaScript, ffmpeg_path, javascript_runtime

__all__ = [
    "DEFAULT_MEDIA_URL",
    "AudioSource",
    "FetchedAudio",
    "JavaScript",
    "NotYetError",
    "OnProgress",
    "Progress",
    "ffmpeg_path",
    "javascript_runtime",
]
