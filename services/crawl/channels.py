"""Channels: added by what users type, and their counters read on a cadence."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from db.queries.catalog import channels
from db.queries.work import work_items
from services.context import Context
from services.errors import PermanentError, UsageError
from services.work import kinds, leases
from services.youtube.facts import ChannelFacts
from services.youtube.identifiers import ReferenceKind, parse_channel_reference

ASK_AGAIN_EVERY = timedelta(days=30)
NOT_SHOWN_REASONS = ("channelNotFound", "channelClosed", "channelSuspended")


@dataclass(frozen=True)
class AddedChannels:
    """What became of the channels a user named."""

    channel_ids: list[str]
    new: int


def add(context: Context, typed: Sequence[str]) -> AddedChannels:
    """Look up what the user typed (ids, @handles, URLs) and watch those channels.

    All are looked up before anything is written, so a wrong name leaves nothing half done.
    Fifty ids cost one unit; a handle costs one.

    Raises:
        UsageError: Nothing was named, or a name cannot be a channel's.
        PermanentError: YouTube knows no such channel, or refuses the key.
        TransientError, QuotaError, BlockedError: YouTube could not be asked.
    """
    if not typed:
        raise UsageError("no channel was named", hint="give an id (UC…), an @handle or a URL")
    found: dict[str, ChannelFacts] = {}
    ids = []
    for text in typed:
        reference = parse_channel_reference(text)
        if reference.kind is ReferenceKind.ID:
            ids.append(reference.value)
        else:
            facts = context.youtube.resolve(text)
            found[facts.channel_id] = facts
    if ids:
        answer = context.youtube.channels(ids)
        if answer.failure is not None:
            raise answer.failure
        if answer.missing or answer.refused:
            wrong = [*answer.missing, *(refusal.item_id for refusal in answer.refused)]
            raise PermanentError(
                f"YouTube knows no channel {', '.join(wrong[:5])}"
                + (f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""),  # noqa: PLR2004
                reason="channelNotFound",
                hint="Open the channel's page and copy its @handle, or its id (UC…).",
            )
        found.update(answer.items)
    now = context.clock()
    with context.transaction() as session:
        new = watch(session, list(found.values()), now=now)
    return AddedChannels(channel_ids=sorted(found), new=len(new))


def watch(session: Session, found: Collection[ChannelFacts], *, now: datetime) -> list[str]:
    """Watch channels from now on; return the ids of those that are new."""
    new = channels.add(session, [facts.channel_id for facts in found], now=now)
    for facts in found:
        _refresh(session, facts, now=now)
    channels.label_by_metadata(session, [facts.channel_id for facts in found])
    for kind in kinds.recurring("channel"):
        work_items.add_items(session, kind, [(f.channel_id, f.channel_id) for f in found], slot=now)
    return new


def snapshot_channels(context: Context, token: uuid.UUID) -> int:
    """Read the counters of a leased batch of channels; return how many snapshots were added."""
    added = 0
    with leases.begin(context, token) as batch:
        answer = context.youtube.for_purpose("statistics").channels(batch.items)
        batch.fail_unanswered(answer, missing="channelNotFound")
        now = context.clock()
        with context.transaction() as session:
            added = channels.append_snapshots(
                session,
                [
                    {
                        "channel_id": facts.channel_id,
                        "slot": batch.items[facts.channel_id].slot,
                        "captured_at": answer.answered_at[facts.channel_id],
                        "subscriber_count": facts.subscriber_count,
                        "view_count": facts.view_count,
                        "video_count": facts.video_count,
                    }
                    for facts in answer.items.values()
                ],
            )
            for facts in answer.items.values():
                _refresh(session, facts, now=now)
            channels.mark_shown(session, list(answer.items))
            channels.label_by_metadata(session, list(answer.items))
            channels.mark_not_shown(
                session, answer.missing, "gone", ask_again_at=now + ASK_AGAIN_EVERY
            )
            intervals = dict.fromkeys(answer.answered_at, context.cadence.channel_every)
            batch.complete(session, intervals, now=now, answered_at=answer.answered_at)
    return added


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
    for counter in ("subscriber_count", "view_count", "video_count"):
        del values[counter]
    channels.refresh(session, values, now=now)
