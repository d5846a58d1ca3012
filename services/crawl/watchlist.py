"""The list of watched channels: looked at, tagged, paused, forgotten."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from db.models.channels import CHANNEL_STATES
from db.queries.catalog import channels, thumbnails, watchlist
from db.queries.learning import embeddings
from db.queries.policy import objects
from db.queries.speech import clips
from db.queries.work import claims
from services.context import Context
from services.crawl.intake import check_tags
from services.errors import UsageError
from services.policy.deleting import let_go
from services.watched import find


@dataclass(frozen=True)
class Forgotten:
    """What a channel leaves when it is forgotten, or would leave."""

    channel_id: str
    title: str | None
    videos: int
    video_snapshots: int
    channel_snapshots: int
    scores: int
    thumbnails: int
    kept_for_datasets: int
    """Pictures of its own whose bytes a dataset or a model lists by name."""
    datasets: int
    """Frozen datasets, which keep their own copies of what they took from it."""
    audio_clips: int = 0
    """Audio of its videos, all versions."""

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        return asdict(self)


def overview(
    context: Context, *, tag: str | None = None, state: str | None = None
) -> list[dict[str, Any]]:
    """Return the channels that are watched or were imported, with their newest counts.

    Raises:
        UsageError: There is no such state.
    """
    check_state(state)
    with context.transaction() as session:
        return [dict(row) for row in watchlist.overview(session, tag=tag, state=state)]


def check_state(state: str | None) -> None:
    """See that lists of channels can be narrowed to a state; None narrows nothing.

    Raises:
        UsageError: There is no such state.
    """
    known = (*CHANNEL_STATES, "paused", "watched", "imported")
    if state is not None and state not in known:
        raise UsageError(f"no channel is “{state}”", hint=f"use {', '.join(known)}")


def facts(context: Context, typed: str) -> dict[str, Any]:
    """Return all that is known of a watched channel.

    Raises:
        UsageError: It is not watched.
    """
    [channel_id] = find(context, [typed])
    with context.transaction() as session:
        return watchlist.facts(session, channel_id)


def tag(context: Context, typed: Sequence[str], tags: Collection[str], *, remove: bool) -> int:
    """Tag channels, or take tags off; return how many tags changed.

    Raises:
        UsageError: A channel is not watched, or a tag is malformed.
    """
    check_tags(tags)
    found = find(context, typed)
    change = watchlist.remove_tags if remove else watchlist.add_tags
    with context.transaction() as session:
        return change(session, found, tags)


def set_paused(context: Context, typed: Sequence[str], *, paused: bool) -> list[str]:
    """Pause or resume channels; return the ids of those that were not so already.

    What is under way of a paused channel finishes; what falls due meanwhile is done once it is
    resumed, and what was missed is noted with this reason.

    Raises:
        UsageError: A channel is not watched.
    """
    changed = []
    for channel_id in find(context, typed):
        # Each by itself: a channel has tens of thousands of items, and nobody waits for all.
        with context.transaction() as session:
            done = channels.set_paused(session, [channel_id], paused=paused, now=context.clock())
            if done or not paused:  # resumed by an earlier release they may still be held
                claims.set_held(session, channel_id, held=paused)
            changed += done
    return changed


def forget(context: Context, typed: str, *, dry_run: bool = False) -> Forgotten:
    """Delete a channel with its videos and all that was collected of them.

    Objects go with it that nothing else needs: pictures and audio of no other channel's video.
    Frozen datasets are what they are: their shards keep what they took.

    Raises:
        UsageError: It is not watched.
        TransientError: The store did not answer; the rows are deleted, some pictures are left.
    """
    [channel_id] = find(context, [typed])
    with context.transaction() as session:
        if not dry_run:
            thumbnails.hold(session)  # nobody shows one of its pictures anew meanwhile
        rows = watchlist.belongings(session, channel_id)
        own = watchlist.own_thumbnails(session, channel_id)
        sounds = clips.objects_of(session, clips.clips_of_channel(session, channel_id))
        channel = channels.get(session, channel_id)
        title = channel.title if channel else None
        datasets = watchlist.count_datasets(session)
        listed = watchlist.listed_objects(session, own)
        listed_sounds = watchlist.listed_objects(session, sounds)
        if not dry_run:
            watchlist.delete_channel(session, channel_id, own)
            embeddings.forget(session, own)
    if not dry_run:
        with context.transaction() as session:
            # Another channel may have shown one of them in the meantime, but none does now.
            thumbnails.hold(session)
            needed = listed | watchlist.with_rows(session, own)
            needed_sounds = listed_sounds | objects.referenced_objects(session, sounds)
            unneeded = (set(own) - needed) | (set(sounds) - needed_sounds)
            let_go(session, context.store, unneeded)
    return Forgotten(
        channel_id,
        title,
        rows.videos,
        rows.video_snapshots,
        rows.channel_snapshots,
        rows.scores,
        len(own) - len(listed),
        len(listed),
        datasets,
        rows.audio_clips,
    )
