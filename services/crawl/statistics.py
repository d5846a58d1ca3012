"""Video counters over time: one snapshot a slot, fifty videos a call, whatever their channels."""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from db.partitions import ensure_partitions
from db.queries import videos, work
from db.session import unit_of_work
from services.context import Context
from services.crawl import cadence, leases
from services.youtube.facts import VideoFacts, VideoStatistics


def snapshot_videos(context: Context, token: uuid.UUID) -> int:
    """Read the counters of a leased batch of videos; return how many snapshots were added.

    Videos seen for the first time are asked for in full (title, duration, language); the others
    for their counts only. One that YouTube no longer shows is marked gone.
    """
    items = {item.entity_id: item for item in leases.begin(context, token)}
    with leases.failing(context, token, items.values()) as failures:
        with unit_of_work(context.sessions) as session:
            unknown = videos.never_refreshed(session, items)
        known = [video_id for video_id in items if video_id not in unknown]
        counts = context.youtube.statistics(known) if known else None
        # The quick call is not atomic: what it lacks is asked for again in full before it counts
        # as gone.
        in_full = [*unknown, *(counts.missing if counts else ())]
        facts = context.youtube.videos(in_full) if in_full else None

        found: dict[str, VideoStatistics] = {}
        gone: tuple[str, ...] = ()
        if counts is not None:
            failures.add_answer(counts, missing=None)
            found.update(counts.items)
        if facts is not None:
            failures.add_answer(facts, missing="videoGone")
            found.update({v: f.statistics for v, f in facts.items.items()})
            gone = facts.missing
        now = context.clock()
        with unit_of_work(context.sessions) as session:
            slots = [items[video_id].slot for video_id in found]
            if slots:
                ensure_partitions(session.connection(), start=min(slots), end=max(slots))
            added = videos.append_snapshots(
                session,
                [
                    {**asdict(s), "slot": items[video_id].slot, "captured_at": now}
                    for video_id, s in found.items()
                ],
            )
            videos.refresh(session, list(_columns(facts.items.values() if facts else ())), now=now)
            videos.set_state(session, gone, "gone")
            published = videos.published_at(session, list(found))
            work.complete(
                session,
                token,
                {v: _next_slot(items[v].slot, published[v], now=now) for v in found},
                now=now,
            )
    return added


def _next_slot(slot: datetime, published_at: datetime, *, now: datetime) -> datetime:
    interval = cadence.video_interval(now - published_at)
    return cadence.next_slot(slot, interval, now=now)


def _columns(facts: Iterable[VideoFacts]) -> Iterable[Mapping[str, Any]]:
    """Yield the columns of ``videos`` that an answer fills; what it left out stays as it was."""
    for f in facts:
        columns = {
            "title": f.title,
            "duration_s": f.duration_s,
            "category_id": f.category_id,
            "default_language": f.default_language,
            "default_audio_language": f.default_audio_language,
            "live_broadcast_content": f.live_broadcast_content or "none",
            "actual_start_at": f.actual_start_at,
        }
        if f.published_at is not None:
            columns["published_at"] = f.published_at
        yield {"video_id": f.video_id, "state": "public", **columns}
