"""Channels: watched from a moment on, their counters read on a cadence."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from db.queries.catalog import channels, videos
from db.queries.work import work_items
from services.context import Context
from services.crawl import odd
from services.work import kinds, leases
from services.work.others import others
from services.youtube.facts import ChannelFacts
from services.youtube.moments import odd_publication

ASK_AGAIN_EVERY = timedelta(days=30)
NOT_FOUND = "channelNotFound"
NOT_SHOWN_REASONS = (NOT_FOUND, "channelClosed", "channelSuspended")


def watch(session: Session, found: Collection[ChannelFacts], *, now: datetime) -> list[str]:
    """Watch channels from now on; return the ids of those that were not watched before."""
    new = channels.add(session, [facts.channel_id for facts in found], now=now)
    for facts in found:
        _refresh(session, facts, now=now)
    channels.label_by_metadata(session, [facts.channel_id for facts in found])
    for kind in kinds.recurring("channel"):
        work_items.add_items(session, kind, [(f.channel_id, f.channel_id) for f in found], slot=now)
    imported = videos.shown_of(session, new)
    for kind in kinds.recurring("video"):
        work_items.add_items(session, kind, imported, slot=now)
    return new


def snapshot_channels(context: Context, token: uuid.UUID) -> int:
    """Read the counters of a leased batch of channels; return how many snapshots were added."""
    added = 0
    with leases.begin(context, token) as batch:
        youtube = context.youtube.for_purpose("statistics")
        answer = youtube.channels(batch.items, others(context, batch))
        batch.fail_unanswered(answer, missing=NOT_FOUND)
        now = context.clock()
        told = answer.items.values()
        published = (odd_publication(facts.published_at, now=now) for facts in told)
        odd.note(context, [o for facts in told for o in facts.odd] + [o for o in published if o])

        def write(session: Session, channel_ids: Sequence[str]) -> int:
            at = {c: answer.answered_at[c] for c in channel_ids}
            new = channels.append_snapshots(
                session,
                [
                    {
                        "channel_id": facts.channel_id,
                        "slot": batch.items[facts.channel_id].slot,
                        "captured_at": at[facts.channel_id],
                        "subscriber_count": facts.subscriber_count,
                        "view_count": facts.view_count,
                        "video_count": facts.video_count,
                    }
                    for facts in map(answer.items.__getitem__, channel_ids)
                ],
            )
            for channel_id in channel_ids:
                _refresh(session, answer.items[channel_id], now=now)
            note_shown(session, channel_ids, now=now)
            channels.label_by_metadata(session, channel_ids)
            intervals = dict.fromkeys(channel_ids, context.cadence.channel_every)
            batch.complete(session, intervals, now=now, answered_at=at)
            return new

        added = sum(batch.write(answer.items, write))
        with context.transaction() as session:
            gone = [c for c, reason in batch.believed(session).items() if reason == NOT_FOUND]
            if gone:
                channels.mark_not_shown(session, gone, "gone", ask_again_at=now + ASK_AGAIN_EVERY)
    return added


def note_shown(session: Session, channel_ids: Collection[str], *, now: datetime) -> None:
    """Note that channels are shown; whatever work on those that come back had ended goes on."""
    returned = channels.mark_shown(session, channel_ids)
    work_items.retry(
        session,
        kinds.recurring("channel"),
        reasons=NOT_SHOWN_REASONS,
        entity_ids=returned,
        now=now,
        refuted=True,
    )


def ask_again(context: Context) -> int:
    """Make those channels due that YouTube has not shown for long; return how many.

    Channels that were closed, suspended or gone do come back, but rarely.
    """
    now = context.clock()
    with context.transaction() as session:
        found = channels.take_to_ask_again(session, now=now, next_at=now + ASK_AGAIN_EVERY)
        work_items.retry(
            session,
            kinds.recurring("channel"),
            reasons=NOT_SHOWN_REASONS,
            entity_ids=found,
            now=now,
        )
    return len(found)


def _refresh(session: Session, facts: ChannelFacts, *, now: datetime) -> None:
    values = asdict(facts)
    for not_a_fact in ("subscriber_count", "view_count", "video_count", "odd"):
        del values[not_a_fact]
    if odd_publication(facts.published_at, now=now) is not None:
        values["published_at"] = None
    channels.refresh(session, values, now=now)
