"""Behind the scenes, for tests and operators: the true numbers, the quota used, the requests."""

from collections import Counter
from datetime import datetime

from services.emulator.catalog import Catalog
from services.emulator.faults import Fault
from services.emulator.quota import Ledger
from services.emulator.resources import broadcast_state, timestamp
from services.emulator.sound import spoken_language
from services.emulator.videos import DAY, Video


def truth(catalog: Catalog, at: datetime) -> dict[str, object]:
    """Return every channel and visible video with its true values at ``at``.

    Subscribers are exact and shown even when hidden; views a day are the lifetime average.
    """
    return {
        "at": timestamp(at),
        "epoch": timestamp(catalog.epoch),
        "facts": dict(catalog.facts),
        "channels": [
            {
                "channel_id": channel.channel_id,
                "title": channel.title,
                "handle": channel.handle,
                "subscribers": catalog.subscribers(channel, at),
                "hidden_subscribers": catalog.hides_subscribers(channel, at),
                "standing": catalog.standing(channel, at),
                "videos": len(catalog.uploads(channel.channel_id, at)),
            }
            for channel in catalog.channels.values()
        ],
        "hidden_videos": {
            video.video_id: visibility
            for video in catalog.videos.values()
            if (visibility := catalog.visibility(video, at)) not in ("public", "coming")
        },
        "videos": [
            _true_video(catalog, video, at)
            for video in catalog.videos.values()
            if catalog.visible(video, at)
        ],
    }


def _true_video(catalog: Catalog, video: Video, at: datetime) -> dict[str, object]:
    views = catalog.views(video, at)
    version = catalog.thumbnail(video, at)
    return {
        "video_id": video.video_id,
        "channel_id": video.channel_id,
        "published_at": timestamp(video.published_at),
        "views": views,
        "likes": catalog.likes(video, at),
        "comments": catalog.comments(video, at),
        "views_per_day": views / max((at - video.published_at) / DAY, 1.0),
        "has_thumbnail": version is not None,
        "thumbnail_since": None if version is None else timestamp(version.since),
        "thumbnail_key": None if version is None else version.key,
        "thumbnail_reencoded": version is not None and version.reencoded,
        "short": video.short,
        "spoken": spoken_language(video),
        "language": video.language,
        "live": broadcast_state(video, at),
        "appeal": video.appeal if version is None else version.appeal,
    }


def quota_report(ledger: Ledger) -> dict[str, object]:
    """Return the calls booked, one row a key, Pacific day and bucket."""
    return {"quota": ledger.report()}


def request_report(
    served: Counter[tuple[str, int]], struck: Counter[tuple[str, Fault]]
) -> dict[str, object]:
    """Return the answers given by endpoint and status (0: none), and the faults among them."""
    requests: dict[str, dict[str, int]] = {}
    for (endpoint, status), count in sorted(served.items()):
        requests.setdefault(endpoint, {})[str(status)] = count
    faults: dict[str, dict[str, int]] = {}
    for (endpoint, fault), count in sorted(struck.items()):
        faults.setdefault(endpoint, {})[fault] = count
    return {"requests": requests, "faults": faults}


def welcome(catalog: Catalog, base_url: str) -> str:
    """Return the front page: what this is and how to point TubeGrader at it."""
    lines = [
        "TubeGrader's offline YouTube.",
        f"{len(catalog.channels):,} channels, {len(catalog.videos):,} videos, no network.",
        "",
        *exports(base_url),
        "",
        "Behind the scenes: /emulator/truth  /emulator/quota  /emulator/requests",
        "Under control: /emulator/clock  /emulator/faults",
    ]
    return "\n".join(lines) + "\n"


def exports(base_url: str, *, key: str = "offline") -> list[str]:
    """Return the shell lines that make TubeGrader read from here."""
    url = base_url.rstrip("/")
    return [
        f"export TUBEGRADER_YOUTUBE_ENDPOINT={url}",
        f"export TUBEGRADER_THUMBNAIL_URL={url}",
        f"export TUBEGRADER_FEED_URL={url}",
        f"export TUBEGRADER_MEDIA_URL='{url}/watch?v={{video_id}}'",
        f"export TUBEGRADER_YOUTUBE_API_KEY={key}",
    ]
