"""A catalogue from a folder of recorded speech: ``clips.csv`` and the files that it names.

Each speaker is a channel, each clip a video whose sound is the file, byte for byte. What else a
video has, its thumbnail and its counts, is invented.
"""

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from services.emulator import folder
from services.emulator.catalog import Catalog
from services.emulator.drawing import draw_thumbnail
from services.emulator.labels import audio_label
from services.emulator.listing import Line, lines
from services.emulator.sound import RECORDED_TYPES, RecordedSound
from services.emulator.videos import Channel, DecayingViews, ThumbnailVersion, Video
from services.errors import UsageError

CSV_NAME = "clips.csv"
COLUMNS = ("clip_file", "language", "speaker_id", "source", "duration_s")
LANGUAGES = ("en", "zh")

_ONE_YEAR = timedelta(days=365)


def recordings_catalog(directory: Path, *, epoch: datetime) -> Catalog:
    """Return the clips of ``directory`` as videos, uploaded in the year before ``epoch``.

    Args:
        directory: Holds ``clips.csv`` (UTF-8, columns ``COLUMNS``, others ignored) and the audio
            files that its ``clip_file`` names relative to the folder.
        epoch: Aware; its fraction of a second is dropped.

    Raises:
        UsageError: If anything is missing or unreadable: file, row and what to do, on one line.
    """
    epoch = epoch.replace(microsecond=0)
    clips = [_clip(line) for line in lines(directory / CSV_NAME, COLUMNS)]
    if not clips:
        raise UsageError(f"{directory / CSV_NAME} lists no clips. Add a row for each clip.")
    channels: dict[str, Channel] = {}
    videos: dict[str, Video] = {}
    for clip in clips:
        video = clip.video(epoch)
        if video.video_id in videos:
            clip.line.refuse(f"{clip.name} is listed twice. Remove one")
        videos[video.video_id] = video
        channels.setdefault(video.channel_id, clip.channel(epoch))
    return Catalog.of(
        channels.values(),
        videos.values(),
        epoch=epoch,
        picture=lambda key: draw_thumbnail(_number(key), 0.0),
        facts={"kind": "recordings", "directory": str(directory.resolve())},
        sound=RecordedSound({clip.video_id: (clip.file, clip.duration_s) for clip in clips}),
    )


def is_recordings(directory: Path) -> bool:
    """Tell whether a folder holds speech; one that lists videos is served as that."""
    return (directory / CSV_NAME).is_file() and not (directory / folder.CSV_NAME).exists()


@dataclass(frozen=True, slots=True)
class _Clip:
    """One row of the file, read and checked."""

    line: Line
    name: str
    file: Path
    language: str
    speaker: str
    duration_s: float

    @property
    def video_id(self) -> str:
        return _token(f"video {self.name}", 11)

    @property
    def channel_id(self) -> str:
        return "UC" + _token(f"channel {self.speaker}", 22)

    def video(self, epoch: datetime) -> Video:
        number = _number(self.name)
        published_at = epoch - timedelta(seconds=3_600 + number % round(_ONE_YEAR.total_seconds()))
        return Video(
            video_id=self.video_id,
            channel_id=self.channel_id,
            title=f"Recording {self.name}",
            published_at=published_at,
            views=DecayingViews(10 ** (number % 4)),
            duration=timedelta(seconds=max(1, round(self.duration_s))),
            language=audio_label(self.video_id, self.language),
            spoken=self.language,
            thumbnails=(ThumbnailVersion(published_at, self.video_id),),
        )

    def channel(self, epoch: datetime) -> Channel:
        return Channel(
            channel_id=self.channel_id,
            title=f"Speaker {self.speaker}",
            published_at=epoch - 2 * _ONE_YEAR,
            subscribers=10 ** (2 + _number(self.speaker) % 4),
        )


def _clip(line: Line) -> _Clip:
    if line["language"] not in LANGUAGES:
        line.refuse(f"language {line['language']!r} is not one of {', '.join(LANGUAGES)}")
    if not line["speaker_id"]:
        line.refuse("speaker_id is empty. Write any word that tells speakers apart")
    try:
        duration_s = float(line["duration_s"])
    except ValueError:
        duration_s = 0.0
    if not 0 < duration_s < 1e6:  # noqa: PLR2004 - eleven days; infinity and NaN fail as well
        line.refuse(f"duration_s {line['duration_s']!r} is no length. Write seconds")
    return _Clip(
        line=line,
        name=line["clip_file"],
        file=_file(line),
        language=line["language"],
        speaker=f"{line['speaker_id']} ({line['source']})",
        duration_s=duration_s,
    )


def _file(line: Line) -> Path:
    file = line.file("clip_file")
    if file.suffix[1:].lower() not in RECORDED_TYPES:
        line.refuse(f"{line['clip_file']} is of no kind we serve: {', '.join(RECORDED_TYPES)}")
    if not file.is_file():
        line.refuse(f"{line['clip_file']} is no file. Correct or remove the row")
    return file


def _token(text: str, length: int) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(digest).decode()[:length]


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7])
