"""Video counters over time: one snapshot a slot, fifty videos a call, whatever their channels."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy.orm import Session

from db.partitions import ensure_partitions_of
from db.queries.catalog import videos
from db.queries.speech import selections
from services import cadence
from services.context import Context
from services.crawl import odd
from services.crawl.formats import video_format
from services.errors import TubeGraderError
from services.work import admission, leases
from services.work.others import others
from services.youtube.facts import Oddity, VideoFacts, VideoStatistics
from services.youtube.moments import odd_publication
from services.youtube.view_counts import view_definition

log = structlog.get_logger()

GONE = "videoGone"
ASK_UNKNOWN_EVERY = timedelta(days=1)
"""A video whose live state YouTube gave in a word that is new to us is asked for in full so often.
"""


def snapshot_videos(context: Context, token: uuid.UUID) -> int:
    """Read the counters of a leased batch of videos; return how many snapshots were added.

    Videos seen for the first time, and streams that are not over, are asked for in full (title,
    duration, language); the others for their counts only, but once a day, while there is room, one
    of which it is not known whether it is a stream. One that YouTube no longer shows is
    marked gone once that is believed.
    """
    added = 0
    with leases.begin(context, token) as batch:
        found = _ask(context, batch)
        now = context.clock()
        odd.note(context, found.odd(now=now))

        def write(session: Session, video_ids: Sequence[str]) -> int:
            some = found.only(video_ids)
            new = ingest(session, batch, some, now=now, policy=context.cadence)
            if some.facts:
                # Selections ask for lengths, which are known now.
                selections.choose(session, now=now, video_ids=list(some.facts))
            return new

        added = sum(batch.write([*found.counts, *found.facts], write))
        with context.transaction() as session:
            gone = [v for v, reason in batch.believed(session).items() if reason == GONE]
            if gone:
                videos.mark_gone(session, gone, now=now)
                # Who is gone makes room.
                selections.choose(session, now=now, video_ids=gone)
    return added


@dataclass(frozen=True)
class Found:
    """What YouTube told of a batch of videos.

    Attributes:
        counts: What was asked for in short.
        answered_at: When each of the videos in ``counts`` and ``facts`` was answered for.
        facts: What was asked for in full.
    """

    counts: Mapping[str, VideoStatistics]
    answered_at: Mapping[str, datetime]
    facts: Mapping[str, VideoFacts] = field(default_factory=dict)

    def odd(self, *, now: datetime) -> Iterable[Oddity]:
        """Yield what of it cannot be kept."""
        for counts in self.counts.values():
            yield from counts.odd
        for facts in self.facts.values():
            yield from facts.odd
            if (published := odd_publication(facts.published_at, now=now)) is not None:
                yield published

    def only(self, video_ids: Sequence[str]) -> "Found":
        """Return what was told of some of them."""
        return Found(
            {v: self.counts[v] for v in video_ids if v in self.counts},
            {v: self.answered_at[v] for v in video_ids},
            {v: self.facts[v] for v in video_ids if v in self.facts},
        )


def ingest(
    session: Session,
    batch: leases.Batch,
    found: Found,
    *,
    now: datetime,
    policy: cadence.Policy = cadence.DEFAULT,
) -> int:
    """Write what was read of videos, each for its slot, and end their work.

    Args:
        session: The unit of work.
        batch: The videos.
        found: What was read.
        now: The present moment.
        policy: When they are read again.

    Returns:
        How many snapshots are new.
    """
    slots = {v: batch.items[v].slot for v in (*found.counts, *found.facts)}
    if not slots:
        return 0
    ensure_partitions_of(session.connection(), slots.values())
    videos.refresh(session, list(_columns(found.facts.values(), now=now)), now=now)
    videos.mark_shown(session, list(found.counts))  # one that was gone may have come back
    traits, at = videos.traits(session, slots), found.answered_at
    added = videos.append_snapshots(
        session,
        [
            {
                "video_id": s.video_id,
                "slot": slots[s.video_id],
                "captured_at": at[s.video_id],
                "view_count": s.view_count,
                "like_count": s.like_count,
                "comment_count": s.comment_count,
                "view_definition": view_definition(at[s.video_id], traits[s.video_id].format),
            }
            for s in (*found.counts.values(), *(f.statistics for f in found.facts.values()))
        ],
    )
    intervals = {
        v: policy.video_interval(at[v] - traits[v].began_at, traits[v].format) for v in slots
    }
    batch.complete(session, intervals, now=now, answered_at=at)
    return added


def _ask(context: Context, batch: leases.Batch) -> Found:
    """Return the counts of settled videos and the facts of the others."""
    now = context.clock()
    with context.transaction() as session:
        # A word that is new to us may be on every video: they are not to lose their counts for it.
        has_room = admission.blocker_of_unread(context, session, now=now) is None
        unsettled = videos.unsettled(
            session, batch.items, unknown_before=now - ASK_UNKNOWN_EVERY if has_room else None
        )
    youtube, beside = context.youtube.for_purpose("statistics"), others(context, batch)
    in_full = sorted(unsettled)
    counts: dict[str, VideoStatistics] = {}
    answered_at: dict[str, datetime] = {}
    borne_out: set[str] = set()
    settled = [video_id for video_id in batch.items if video_id not in unsettled]
    if settled:
        answer = youtube.statistics(settled, beside)
        batch.fail_unanswered(answer, missing=None)
        counts, answered_at = answer.items, answer.answered_at
        # The quick call is not atomic: what it lacks is asked for again in full before it counts
        # as gone.
        in_full += answer.missing
        borne_out = set(answer.missing) - answer.alone
    if not in_full:
        return Found(counts, answered_at)
    try:
        full = youtube.videos(in_full, beside)
    except TubeGraderError as error:
        batch.fail_together(in_full, error)  # what the first call paid for is kept
        return Found(counts, answered_at)
    # What the first call lacked beside others that it had is not alone with its word.
    batch.fail_unanswered(replace(full, alone=full.alone - borne_out), missing=GONE)
    return Found(counts, answered_at | full.answered_at, full.items)


def _columns(facts: Iterable[VideoFacts], *, now: datetime) -> Iterable[Mapping[str, Any]]:
    """Yield the columns of ``videos`` that an answer fills; what it left out stays as it was."""
    for f in facts:
        unlikely = odd_publication(f.published_at, now=now)
        if unlikely is not None:
            example = f"{f.video_id}: {unlikely.message}"
            log.warning("youtube.odd_value", reason=unlikely.reason, items=1, example=example)
        columns = {
            "title": f.title,
            "published_at": None if unlikely is not None else f.published_at,
            "duration_s": f.duration_s,
            "category_id": f.category_id,
            "default_language": f.default_language,
            "default_audio_language": f.default_audio_language,
            "live_broadcast_content": f.live_broadcast_content,
            "actual_start_at": f.actual_start_at,
            "format": video_format(f),
        }
        answered: dict[str, Any] = {
            name: value for name, value in columns.items() if value is not None
        }
        if f.is_live_state_unknown:
            # What it was before is not what YouTube says of it now: that it is live, or is not,
            # would be a claim that nobody made.
            answered["live_broadcast_content"] = None
        yield {"video_id": f.video_id, **answered}
