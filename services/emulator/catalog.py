"""The world the emulator serves: channels and videos whose numbers are functions of time.

Nothing here is random and nothing is stored: ask the same catalogue about the same moment and it
gives the same answer, so two starts of the emulator differ only by what time itself changes.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from services.emulator.videos import DAY, Channel, Standing, ThumbnailVersion, Video, Visibility

if TYPE_CHECKING:
    from services.emulator.sound import Sound


@dataclass(frozen=True, slots=True)
class Catalog:
    """All channels and videos, and the pictures behind their thumbnails.

    Attributes:
        epoch: The moment at which recorded or drawn numbers hold exactly (UTC, whole seconds).
        channels: By channel id.
        videos: By video id.
        picture: Gives the 320x180 JPEG of a ``ThumbnailVersion.key``; called once per key.
        facts: What the world was made with, for operators and tests.
        sound: What the videos sound like; None: they are spoken by a machine.
    """

    epoch: datetime
    channels: Mapping[str, Channel]
    videos: Mapping[str, Video]
    picture: Callable[[str], bytes]
    facts: Mapping[str, object] = field(default_factory=dict)
    sound: "Sound | None" = None
    _uploads: Mapping[str, Sequence[Video]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_channel: dict[str, list[Video]] = defaultdict(list)
        for video in self.videos.values():
            by_channel[video.channel_id].append(video)
        for uploads in by_channel.values():
            uploads.sort(key=lambda video: (video.published_at, video.video_id))
        object.__setattr__(self, "_uploads", dict(by_channel))

    @classmethod
    def of(
        cls,
        channels: Iterable[Channel],
        videos: Iterable[Video],
        *,
        epoch: datetime,
        picture: Callable[[str], bytes],
        facts: Mapping[str, object] | None = None,
        sound: "Sound | None" = None,
    ) -> "Catalog":
        """Return a catalogue of these channels and videos."""
        return cls(
            epoch=epoch,
            channels={channel.channel_id: channel for channel in channels},
            videos={video.video_id: video for video in videos},
            picture=picture,
            facts=facts or {},
            sound=sound,
        )

    def visible(self, video: Video, at: datetime) -> bool:
        """Return whether anyone can see ``video`` at ``at``."""
        return self.visibility(video, at) == "public"

    def visibility(self, video: Video, at: datetime) -> Visibility:
        """Return why nobody, or everybody, can see ``video`` at ``at``."""
        if video.published_at > at:
            return "coming"
        if self.standing(self.channels[video.channel_id], at) != "open":
            return "channel ended"
        if video.deleted_at is not None and video.deleted_at <= at:
            return "deleted"
        hidden = any(since <= at and (to is None or at < to) for since, to in video.private)
        return "private" if hidden else "public"

    def standing(self, channel: Channel, at: datetime) -> Standing:
        """Return whether the channel is open at ``at``."""
        return "open" if channel.ends_at is not None and at < channel.ends_at else channel.standing

    def hides_subscribers(self, channel: Channel, at: datetime) -> bool:
        """Return whether the owner hides the subscriber count at ``at``."""
        since = channel.hides_subscribers_at
        return channel.hidden_subscribers or (since is not None and since <= at)

    def video(self, video_id: str, at: datetime) -> Video | None:
        """Return the video if it exists and is visible at ``at``."""
        video = self.videos.get(video_id)
        return video if video is not None and self.visible(video, at) else None

    def uploads(self, channel_id: str, at: datetime) -> list[Video]:
        """Return the channel's visible videos, newest first."""
        uploads = self._uploads.get(channel_id, ())
        published = bisect_right(uploads, at, key=lambda video: video.published_at)
        return [video for video in reversed(uploads[:published]) if self.visible(video, at)]

    def views(self, video: Video, at: datetime) -> int:
        """Return the view count at ``at``; 0 before publication or a broadcast's start."""
        start = video.begins_at
        return 0 if start is None or at < start else int(video.views.total(at - start))

    def likes(self, video: Video, at: datetime) -> int | None:
        """Return the like count, or None when hidden."""
        ratio = video.like_ratio
        return None if ratio is None else int(self.views(video, at) * ratio)

    def comments(self, video: Video, at: datetime) -> int | None:
        """Return the comment count, or None when comments are off."""
        ratio = video.comment_ratio
        return None if ratio is None else int(self.views(video, at) * ratio)

    def subscribers(self, channel: Channel, at: datetime) -> int:
        """Return the true subscriber count, hidden or not; exact at the epoch."""
        days = (at - self.epoch) / DAY
        return int(channel.subscribers * (1.0 + channel.daily_growth) ** days)

    def thumbnail(self, video: Video, at: datetime) -> ThumbnailVersion | None:
        """Return the version in force at ``at``, or None when the video has no picture."""
        in_force = [version for version in video.thumbnails if version.since <= at]
        return in_force[-1] if in_force else None
