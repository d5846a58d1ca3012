"""The list of watched channels: added in bulk with a report per line, tagged, paused, forgotten."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from db.models.channels import CHANNEL_STATES
from db.queries.catalog import channels, thumbnails, watchlist
from db.queries.policy import objects
from db.queries.speech import clips
from services.context import Context
from services.crawl.channels import watch
from services.crawl.sources import NamedChannel
from services.errors import (
    BlockedError,
    PermanentError,
    QuotaError,
    TransientError,
    TubeGraderError,
    UsageError,
)
from services.watched import find
from services.youtube.facts import ChannelFacts
from services.youtube.failures import ApiKeyError
from services.youtube.identifiers import (
    ChannelReference,
    ReferenceKind,
    channel_in_feed,
    parse_channel_reference,
)

ADDED, KNOWN, NOT_FOUND, MALFORMED, NOT_ASKED = (
    "added",
    "known",
    "not found",
    "malformed",
    "not asked",
)
STATUSES = (ADDED, KNOWN, NOT_FOUND, MALFORMED, NOT_ASKED)
IDS_AT_ONCE = 50
"""So many are written at once: what was asked for stays when the next call fails."""
MOST_TRANSIENT = 2
"""After so many failures in passing in a row, the rest is not asked for."""


@dataclass(frozen=True)
class Outcome:
    """What became of one line."""

    line: int
    text: str
    status: str
    channel_id: str | None = None
    message: str | None = None

    @property
    def failed(self) -> bool:
        """The channel is not watched."""
        return self.status not in (ADDED, KNOWN)


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


def add(
    context: Context,
    named: Sequence[NamedChannel],
    *,
    tags: Collection[str] = (),
    language: str | None = None,
) -> list[Outcome]:
    """Watch the channels that lines name; one that fails does not stop the others.

    Channels known already cost nothing; fifty ids cost one unit, a handle or an address one.

    Args:
        context: Database and YouTube.
        named: The lines.
        tags: Words to tag every one of them with, those known before as well.
        language: The language of all of them, as ISO 639 (``en``, ``zh``).

    Returns:
        One outcome a line, in the order of the lines.

    Raises:
        UsageError: A tag or the language is malformed.
    """
    _check_tags(tags)
    if language is not None:
        language = _checked_language(language)
    outcomes: dict[int, Outcome] = {}
    references: dict[int, ChannelReference] = {}
    for index, entry in enumerate(named):
        try:
            references[index] = parse_channel_reference(channel_in_feed(entry.text))
        except UsageError as error:
            outcomes[index] = _outcome(entry, MALFORMED, message=error.hint or str(error))
    found, problems = _find(context, set(references.values()), tags, language)
    seen: set[str] = set()
    for index, reference in references.items():
        entry = named[index]
        if reference in found:
            channel_id, is_new = found[reference]
            status = ADDED if is_new and channel_id not in seen else KNOWN
            seen.add(channel_id)
            outcomes[index] = _outcome(entry, status, channel_id=channel_id)
        else:
            status, message = problems[reference]
            outcomes[index] = _outcome(entry, status, message=message)
    return [outcomes[index] for index in range(len(named))]


_Found = dict[ChannelReference, tuple[str, bool]]
"""The channel of a reference, and whether it is new."""
_Problems = dict[ChannelReference, tuple[str, str]]
"""Status and message of a reference that led to no channel."""


def _find(
    context: Context,
    wanted: Collection[ChannelReference],
    tags: Collection[str],
    language: str | None,
) -> tuple[_Found, _Problems]:
    found = _known(context, wanted)
    _note(context, {channel_id for channel_id, _ in found.values()}, tags, language)
    problems: _Problems = {}
    open_ones = sorted(set(wanted) - found.keys(), key=lambda r: (r.kind, r.value))
    ids = [r for r in open_ones if r.kind is ReferenceKind.ID]
    others = [r for r in open_ones if r.kind is not ReferenceKind.ID]
    batches = [ids[i : i + IDS_AT_ONCE] for i in range(0, len(ids), IDS_AT_ONCE)]
    stopped: TubeGraderError | None = None
    in_a_row = 0
    for batch in [*batches, *([reference] for reference in others)]:
        if stopped is not None:
            problems |= dict.fromkeys(batch, (NOT_ASKED, str(stopped)))
            continue
        try:
            facts = dict(_ask(context, batch, problems))
        except TubeGraderError as error:
            status = NOT_FOUND if _is_about_the_item(error) else NOT_ASKED
            problems |= dict.fromkeys(batch, (status, str(error)))
            in_a_row = in_a_row + 1 if isinstance(error, TransientError) else 0
            if isinstance(error, ApiKeyError | QuotaError | BlockedError | UsageError) or (
                in_a_row == MOST_TRANSIENT
            ):
                stopped = error
            continue
        in_a_row = 0
        with context.transaction() as session:
            new = set(watch(session, list(facts.values()), now=context.clock()))
        _note(context, {f.channel_id for f in facts.values()}, tags, language)
        found |= {r: (f.channel_id, f.channel_id in new) for r, f in facts.items()}
    return found, problems


def _is_about_the_item(error: TubeGraderError) -> bool:
    return isinstance(error, PermanentError) and not isinstance(error, ApiKeyError | UsageError)


def _known(context: Context, wanted: Collection[ChannelReference]) -> _Found:
    handles = {"@" + r.value.lower(): r for r in wanted if r.kind is ReferenceKind.HANDLE}
    ids = {r.value: r for r in wanted if r.kind is ReferenceKind.ID}
    with context.transaction() as session:
        found = {
            ids[channel_id]: (channel_id, False) for channel_id in channels.known(session, ids)
        }
        for handle, channel_id in channels.by_handles(session, list(handles)).items():
            found[handles[handle]] = (channel_id, False)
    return found


def _ask(
    context: Context, batch: Sequence[ChannelReference], problems: _Problems
) -> Iterator[tuple[ChannelReference, ChannelFacts]]:
    """Yield what YouTube knows of references: up to fifty ids, or one of another kind."""
    if batch[0].kind is not ReferenceKind.ID:
        [reference] = batch
        yield reference, context.youtube.resolve(_as_typed(reference))
        return
    by_id = {reference.value: reference for reference in batch}
    answer = context.youtube.channels(by_id)
    for channel_id in answer.missing:
        problems[by_id[channel_id]] = (NOT_FOUND, "YouTube knows no such channel")
    for refusal in answer.refused:
        problems[by_id[refusal.item_id]] = (NOT_ASKED, refusal.message)
    for channel_id, facts in answer.items.items():
        yield by_id[channel_id], facts


def _as_typed(reference: ChannelReference) -> str:
    match reference.kind:
        case ReferenceKind.USERNAME:
            return f"youtube.com/user/{reference.value}"
        case ReferenceKind.CUSTOM:
            return f"youtube.com/c/{reference.value}"
        case _:
            return "@" + reference.value


def _note(
    context: Context, channel_ids: Collection[str], tags: Collection[str], language: str | None
) -> None:
    with context.transaction() as session:
        watchlist.add_tags(session, channel_ids, tags)
        if language is not None:
            channels.label_by_hand(session, channel_ids, language)


def _outcome(
    entry: NamedChannel, status: str, *, channel_id: str | None = None, message: str | None = None
) -> Outcome:
    shown = "".join(c if c.isprintable() else "?" for c in entry.text[:200])
    return Outcome(entry.line, shown, status, channel_id, message)


def overview(
    context: Context, *, tag: str | None = None, state: str | None = None
) -> list[dict[str, Any]]:
    """Return the channels that are watched, with their newest counts.

    Raises:
        UsageError: There is no such state.
    """
    known = (*CHANNEL_STATES, "paused")
    if state is not None and state not in known:
        raise UsageError(f"no channel is “{state}”", hint=f"use {', '.join(known)}")
    with context.transaction() as session:
        return [dict(row) for row in watchlist.overview(session, tag=tag, state=state)]


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
    _check_tags(tags)
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
    found = find(context, typed)
    with context.transaction() as session:
        return channels.set_paused(session, found, paused=paused, now=context.clock())


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
    if not dry_run:
        with context.transaction() as session:
            # Another channel may have shown one of them in the meantime, but none does now.
            thumbnails.hold(session)
            needed = listed | watchlist.with_rows(session, own)
            heard = listed_sounds | objects.referenced_objects(session, sounds)
            context.store.delete_many((set(own) - needed) | (set(sounds) - heard))
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


def _check_tags(tags: Collection[str]) -> None:
    for tag_ in tags:
        if not (0 < len(tag_) <= 100 and tag_.isprintable() and "," not in tag_):  # noqa: PLR2004
            raise UsageError(
                f"{ascii(tag_)[:120]} cannot be a tag",
                hint="a tag has 1 to 100 printable characters and no comma",
            )


def _checked_language(language: str) -> str:
    checked = language.strip().lower()
    if not (checked.isascii() and checked.isalpha() and len(checked) in (2, 3)):
        raise UsageError(
            f"{ascii(language)[:40]} is no language", hint="write it as ISO 639: en, zh, …"
        )
    return checked
