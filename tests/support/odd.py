"""What came of a world that is bent here and there, held against what must come of it."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from services.context import Context
from tests.support.crawl import rows

COLUMNS = {
    "viewCount": "view_count",
    "likeCount": "like_count",
    "commentCount": "comment_count",
    "duration": "duration_s",
    "live": "live_broadcast_content",
    "subscribers": "subscriber_count",
    "videos": "video_count",
}
WORK = {
    "video": "video.snapshot",
    "picture": "video.thumbnail",
    "channel": "channel.snapshot",
    "page": "channel.discover",
}
_NEWEST = """
    SELECT v.video_id, s.view_count, s.like_count, s.comment_count, v.duration_s,
        v.live_broadcast_content, v.published_at IS NOT NULL AS is_dated, s.video_id IS NOT NULL,
        EXISTS (SELECT FROM video_thumbnails t WHERE t.video_id = v.video_id), s.captured_at
    FROM videos v LEFT JOIN video_snapshots s USING (video_id)
"""
_CHANNELS = """
    SELECT c.channel_id, s.subscriber_count, s.video_count, s.channel_id IS NOT NULL
    FROM channels c LEFT JOIN channel_snapshots s USING (channel_id)
"""


Truth = Mapping[str, Any]


def deviations(context: Context, truth_at: Callable[[datetime], Truth], now: datetime) -> list[str]:
    """Return what is otherwise than it must be, a line each; nothing where all is as it must be.

    Args:
        context: The database.
        truth_at: Returns the truth of the offline YouTube at a moment.
        now: The present moment.
    """
    truth_at = cache(truth_at)
    truth = truth_at(now)
    bent = truth["bent"]

    def counts_at(moment: datetime) -> Truth:
        return {v["video_id"]: v for v in truth_at(moment)["videos"]}

    lines = _of_videos(context, truth, bent, cache(counts_at)) + _of_channels(context, truth, bent)
    return lines + _of_work(context, bent, truth)


def _of_videos(
    context: Context, truth: Truth, bent: Truth, counts_at: Callable[[datetime], Truth]
) -> list[str]:
    found = {row[0]: row[1:] for row in rows(context, _NEWEST)}
    names = ("view_count", "like_count", "comment_count", "duration_s", "live_broadcast_content",
             "is_dated", "is_read", "has_picture", "at")  # fmt: skip
    lines = []
    for video in truth["videos"]:
        video_id, how = video["video_id"], bent.get(video["video_id"], {})
        outcome, place = how.get("outcome", "exact"), how.get("place")
        if bent.get(video["channel_id"], {}).get("how") == "channelCalls500":
            continue  # nobody was told of its videos
        if place == "entry" and outcome == "refused":
            if video_id in found:
                lines.append(f"{video_id} ({how['how']}) is known")
            continue
        if video_id not in found:
            lines.append(f"{video_id} ({how.get('how')}) is not known")
            continue
        has = dict(zip(names, found[video_id], strict=True))
        is_gone = place == "video" and outcome in ("refused", "set aside")
        no_picture = place == "picture" and outcome in ("refused", "set aside")
        must = {"is_dated": True, "is_read": not is_gone, "has_picture": not no_picture}
        if not is_gone and has["is_read"]:
            counts = counts_at(has["at"])[video_id]
            must |= {
                "view_count": counts["views"],
                "like_count": counts["likes"],
                "comment_count": counts["comments"],
            }
            must |= {COLUMNS[name]: None for name in how.get("unknown", ())}
            unknown = [COLUMNS[name] for name in how.get("unknown", ())]
            lines += [
                f"{video_id} ({how.get('how')}): {name} is unknown"
                for name in ("duration_s", "live_broadcast_content")
                if name not in unknown and has[name] is None
            ]
        lines += _differences(video_id, how, must, has)
    return lines


def _of_channels(context: Context, truth: Mapping[str, Any], bent: Mapping[str, Any]) -> list[str]:
    found = {row[0]: row[1:] for row in rows(context, _CHANNELS)}
    lines = []
    for channel in truth["channels"]:
        channel_id, how = channel["channel_id"], bent.get(channel["channel_id"], {})
        has = dict(
            zip(("subscriber_count", "video_count", "is_read"), found[channel_id], strict=True)
        )
        is_gone = how.get("place") == "channel" and how["outcome"] in ("refused", "set aside")
        must: dict[str, object] = {"is_read": not is_gone}
        if not is_gone:
            must["video_count"] = channel["videos"]
            must |= {COLUMNS[name]: None for name in how.get("unknown", ())}
        lines += _differences(channel_id, how, must, has)
    return lines


def _of_work(context: Context, bent: Mapping[str, Any], truth: Mapping[str, Any]) -> list[str]:
    """Compare who is put off, or ended badly, with who must be: each has a reason."""
    must = {
        (WORK[how["place"]], item_id)
        for item_id, how in bent.items()
        if how["outcome"] in ("refused", "set aside") and how["place"] in WORK
    }
    silent = {c for c, how in bent.items() if how["how"] == "channelCalls500"}
    must |= {("channel.discover", channel_id) for channel_id in silent}
    channel_of = {v["video_id"]: v["channel_id"] for v in truth["videos"]}
    must = {(work, i) for work, i in must if channel_of.get(i) not in silent}
    have = {
        (kind, item_id): (reason, error_kind)
        for kind, item_id, reason, error_kind in rows(
            context,
            "SELECT kind, entity_id, error_reason, error_kind FROM work_items "
            "WHERE done_at IS NULL OR error_reason IS NOT NULL",
        )
    }
    lines = [f"{kind} of {i} ended well" for kind, i in sorted(must - have.keys())]
    for (kind, item_id), (reason, error_kind) in sorted(have.items()):
        how = bent.get(item_id, {}).get("how")
        if (kind, item_id) not in must:
            lines.append(f"{kind} of {item_id} ({how}) is not done: {reason}")
        elif reason is None:
            lines.append(f"{kind} of {item_id} ({how}) has no reason")
        elif error_kind != "permanent":
            lines.append(f"{kind} of {item_id} ({how}) is tried on and on: {reason}")
        elif bent[item_id]["outcome"] == "set aside" and reason != "unanswerable":
            lines.append(f"{kind} of {item_id} ({how}) is not set aside but {reason}")
        elif bent[item_id]["outcome"] == "refused" and reason == "unanswerable":
            lines.append(f"{kind} of {item_id} ({how}) is set aside and not refused")
    return lines


def _differences(
    item_id: str, how: Mapping[str, Any], must: Mapping[str, object], has: Mapping[str, object]
) -> list[str]:
    return [
        f"{item_id} ({how.get('how')}): {name} is {has[name]!r} instead of {value!r}"
        for name, value in must.items()
        if has[name] != value
    ]
