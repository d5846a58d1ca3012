"""Of which channels speech is collected: selected in bulk, listed, taken back."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from db.queries.catalog import watchlist
from db.queries.policy import approvals
from db.queries.speech import selections
from db.queries.work import overview
from services.context import Context
from services.errors import UsageError
from services.media.audio.labels import NamedLabel, video_id
from services.policy.permission import not_allowed, permissions
from services.watched import find

LEAST_WANTED_S, MOST_WANTED_S = 10, 4 * 3600
"""Segments have 3 to 15 seconds: less than some of them is not worth a download."""


@dataclass(frozen=True)
class AudioPolicy:
    """Which of a channel's videos, and how much of each.

    Attributes:
        seconds_wanted: Seconds of speech of a video, taken from all over what is kept of it.
        shortest_s: Shorter videos are left out.
        longest_s: Longer videos are left out.
        newest_videos: So many of the newest that fit.
    """

    seconds_wanted: int = 120
    shortest_s: int = 30
    longest_s: int = 3 * 3600
    newest_videos: int = 20


@dataclass(frozen=True)
class Selected:
    """What became of the channels that were named.

    Attributes:
        channels: ``added``, ``changed`` or ``known`` by channel.
        due: Videos whose audio is due now.
        not_allowed: Channels whose audio nothing allows to take so far; it waits for that.
    """

    channels: dict[str, str]
    due: int
    not_allowed: list[str]

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        return asdict(self)


def add(
    context: Context,
    typed: Sequence[str],
    *,
    tags: Collection[str] = (),
    policy: AudioPolicy | None = None,
) -> Selected:
    """Collect speech of channels from now on; adding the same again changes nothing.

    Args:
        context: The database.
        typed: Watched channels, by id, @handle or address.
        tags: Also every channel with one of these.
        policy: Which videos, and how much.

    Raises:
        UsageError: Nothing was named, a channel is not watched, or the policy cannot be.
    """
    policy = policy or AudioPolicy()
    _check(policy)
    ids = _named(context, typed, tags)
    now = context.clock()
    with context.transaction() as session:
        changed = selections.select_channels(session, ids, asdict(policy), now=now)
        due = selections.choose(session, now=now, channel_ids=ids)
        allowed = permissions(session, context.settings, ids, now=now)
    outcome = {channel_id: changed.get(channel_id, "known") for channel_id in ids}
    return Selected(outcome, due, [c for c in ids if c not in allowed])


def remove(
    context: Context, typed: Sequence[str], *, tags: Collection[str] = (), dry_run: bool = False
) -> list[str]:
    """Collect speech of channels no longer; return those that were selected.

    What was collected stays until its retention ends; work that is not begun is taken back.

    Raises:
        UsageError: Nothing was named, or a channel is not watched.
    """
    ids = set(_named(context, typed, tags))
    with context.transaction() as session:
        if dry_run:
            listed = selections.overview(session)
            return [s["channel_id"] for s in listed if s["enabled"] and s["channel_id"] in ids]
        return selections.unselect_channels(session, ids, now=context.clock())


def listed(context: Context) -> list[dict[str, Any]]:
    """Return each selection, how its videos stand, what is held, and what allows it."""
    with context.transaction() as session:
        found = selections.overview(session)
        allowed = permissions(
            session,
            context.settings,
            {s["channel_id"] for s in found},
            now=context.clock(),
        )
    for selection in found:
        permission = allowed.get(selection["channel_id"])
        selection["allowed_by"] = (
            None if permission is None else permission.reference or permission.allowed_by
        )
    return found


def status(context: Context) -> dict[str, Any]:
    """Return how collecting stands: what allows it, what waits or failed and why, what is held."""
    now = context.clock()
    with context.transaction() as session:
        references = [a.reference for a in approvals.approvals_in_force(session, "audio", now=now)]
        work = [asdict(c) for c in overview.counts(session, now=now) if c.kind == selections.KIND]
        held = selections.totals(session)
    return {
        "allowed_by_setting": context.settings.audio_allowed,
        "approvals": list(dict.fromkeys(references)),
        "work": [{k: v for k, v in entry.items() if k != "kind"} for entry in work],
        "held": held,
    }


@dataclass(frozen=True)
class Refetched:
    """What became of videos that are to be fetched again.

    Attributes:
        due: Videos that are fetched now, or would be.
        under_way: Those that were about to be fetched, or are being fetched.
        not_allowed: Channels whose audio nothing allows to take; theirs waits for that.
    """

    due: list[str]
    under_way: list[str]
    not_allowed: list[str]

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        return asdict(self)


def refetch(context: Context, typed: Sequence[str], *, dry_run: bool = False) -> Refetched:
    """Fetch audio again, collected or failed: the same changes nothing, other opens a new version.

    What comes anew has no scores, so the next scoring takes it.

    Args:
        context: The database.
        typed: Videos, by id or address, that selections took before.
        dry_run: Only tell which.

    Raises:
        UsageError: No video was named, or one that no selection took (``notSelected``).
    """
    ids = sorted({video_id(NamedLabel(text, "")) for text in typed})
    if not ids:
        raise UsageError("no video was named", hint="give ids or addresses")
    now = context.clock()
    with context.transaction() as session:
        channels = selections.selected_videos(session, ids)
        if missing := [video for video in ids if video not in channels]:
            raise UsageError(
                f"the audio of {', '.join(missing[:3])} was never chosen; nothing is fetched again",
                hint="`tubegrader audio add CHANNEL` chooses its newest videos",
                reason="notSelected",
            )
        due = selections.refetchable(session, ids, now=now)
        chosen = {channels[video] for video in due}
        allowed = permissions(session, context.settings, chosen, now=now)
        if not dry_run:
            selections.fetch_again(session, due, now=now)
    return Refetched(due, sorted(set(ids) - set(due)), sorted(chosen - set(allowed)))


def refuse_unless_allowed(context: Context, channel_ids: Sequence[str] | None) -> None:
    """Let a crawl that asks for audio go on only if something allows it for any of its channels.

    Raises:
        UsageError: No channel of them is selected.
        PermanentError: Nothing allows it (``noApproval``); the hint says what to run.
    """
    with context.transaction() as session:
        chosen = {s["channel_id"] for s in selections.overview(session) if s["enabled"]}
        if channel_ids is not None:
            chosen &= set(channel_ids)
        if not chosen:
            raise UsageError(
                "speech of none of these channels is collected",
                hint="`tubegrader audio add CHANNEL` selects one",
            )
        allowed = permissions(session, context.settings, chosen, now=context.clock())
    if not allowed:
        raise not_allowed(len(chosen))


def _named(context: Context, typed: Sequence[str], tags: Collection[str]) -> list[str]:
    if not typed and not tags:
        raise UsageError("no channel was named", hint="give ids, @handles or URLs, or --tag")
    ids = set(find(context, typed))
    if tags:
        with context.transaction() as session:
            tagged = watchlist.tagged(session, tags)
        if not tagged and not ids:
            raise UsageError(
                f"no channel has the tag {', '.join(sorted(tags))}",
                hint="`tubegrader channels tag add` gives it one",
            )
        ids |= tagged
    return sorted(ids)


def _check(policy: AudioPolicy) -> None:
    if not LEAST_WANTED_S <= policy.seconds_wanted <= MOST_WANTED_S:
        raise UsageError(f"of a video {LEAST_WANTED_S} to {MOST_WANTED_S} seconds can be wanted")
    if not 1 <= policy.shortest_s <= policy.longest_s:
        raise UsageError("the shortest video must have at least a second and fit the longest")
    if policy.newest_videos < 1:
        raise UsageError("at least one video must be wanted")
