"""Channels: added by what users type, and their counters read on a cadence."""

import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from db.queries import channels, work
from db.session import unit_of_work
from services.context import Context
from services.crawl import cadence, leases
from services.errors import PermanentError, UsageError
from services.youtube.facts import ChannelFacts
from services.youtube.identifiers import ReferenceKind, parse_channel_reference


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
    with unit_of_work(context.sessions) as session:
        new = channels.add(session, list(found), now=now)
        for facts in found.values():
            _refresh(session, facts, now=now)
        for kind in ("channel.snapshot", "channel.discover"):
            work.add_items(session, kind, [(c, c) for c in found], slot=now)
    return AddedChannels(channel_ids=sorted(found), new=len(new))


def overview(context: Context) -> list[dict[str, Any]]:
    """Return the channels that are watched, with their newest counts."""
    with unit_of_work(context.sessions) as session:
        return [dict(row) for row in channels.overview(session)]


def snapshot_channels(context: Context, token: uuid.UUID) -> int:
    """Read the counters of a leased batch of channels; return how many snapshots were added."""
    items = {item.entity_id: item for item in leases.begin(context, token)}
    added = 0
    with leases.failing(context, token, items.values()) as failures:
        answer = context.youtube.for_purpose("statistics").channels(items)
        failures.add_answer(answer, missing="channelNotFound")
        now = context.clock()
        with unit_of_work(context.sessions) as session:
            added = channels.append_snapshots(
                session,
                [
                    {
                        "channel_id": facts.channel_id,
                        "slot": items[facts.channel_id].slot,
                        "captured_at": now,
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
            channels.mark_not_shown(session, answer.missing, "gone")
            next_slots = {
                c: cadence.next_slot(items[c].slot, context.cadence.channel_every, now=now)
                for c in answer.items
            }
            work.complete(session, token, next_slots, now=now)
    return added


def _refresh(session: Session, facts: ChannelFacts, *, now: datetime) -> None:
    values = asdict(facts)
    for counter in ("subscriber_count", "view_count", "video_count"):
        del values[counter]
    channels.refresh(session, values, now=now)
