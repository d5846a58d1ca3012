"""Channels that begin to be watched: looked up as people name them, line by line or all at once.

Where a list is read, one wrong line stops no other (``add``). What somebody types by hand is taken
as a whole or not at all (``add_all``).
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from db.queries.catalog import channels, watchlist
from services.context import Context
from services.crawl.channels import watch
from services.crawl.sources import NamedChannel
from services.errors import PermanentError, TubeGraderError, UsageError
from services.naming import parse_channel
from services.transactions import RefusedByDatabaseError, refusing, write_apart
from services.youtube.facts import ChannelFacts
from services.youtube.failures import ApiKeyError, Streak
from services.youtube.identifiers import (
    ChannelReference,
    ReferenceKind,
)

ADDED, KNOWN, SAME, NOT_FOUND, MALFORMED, NOT_ASKED, REFUSED = (
    "added",
    "known",
    "the same",
    "not found",
    "malformed",
    "not asked",
    "refused",
)
STATUSES = (ADDED, KNOWN, SAME, NOT_FOUND, MALFORMED, NOT_ASKED, REFUSED)
IDS_AT_ONCE = 50
"""So many are written at once: what was asked for stays when the next call fails."""
_NAMED_IN_ERROR = 5


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
        return self.status not in (ADDED, KNOWN, SAME)


@dataclass(frozen=True)
class AddedChannels:
    """The channels a user named, and how many of them are new."""

    channel_ids: list[str]
    new: int


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
        One outcome a line, in the order of the lines; a channel that an earlier line named, in
        whatever way, is ``SAME``.

    Raises:
        UsageError: A tag or the language is malformed.
    """
    check_tags(tags)
    if language is not None:
        language = _checked_language(language)
    outcomes: dict[int, Outcome] = {}
    references: dict[int, ChannelReference] = {}
    for index, entry in enumerate(named):
        try:
            references[index] = parse_channel(entry.text)
        except UsageError as error:
            outcomes[index] = _outcome(entry, MALFORMED, message=error.hint or str(error))
    found, problems = _add_found(context, set(references.values()), tags, language)
    new = {channel_id for channel_id, is_new in found.values() if is_new}
    seen: set[str] = set()
    for index, reference in references.items():
        entry = named[index]
        if reference in found:
            channel_id, _ = found[reference]
            status = SAME if channel_id in seen else ADDED if channel_id in new else KNOWN
            seen.add(channel_id)
            outcomes[index] = _outcome(entry, status, channel_id=channel_id)
        else:
            problem = problems[reference]
            outcomes[index] = _outcome(entry, problem.status, message=str(problem.error))
    return [outcomes[index] for index in range(len(named))]


def add_all(context: Context, typed: Sequence[str]) -> AddedChannels:
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
    wanted = {parse_channel(text) for text in typed}
    found: dict[str, ChannelFacts] = {}
    for answer in _look_up(context, wanted):
        if answer.problems:
            raise _refusal(answer.problems)
        found |= {facts.channel_id: facts for facts in answer.found.values()}
    with refusing(), context.transaction() as session:
        new = watch(session, list(found.values()), now=context.clock())
    return AddedChannels(channel_ids=sorted(found), new=len(new))


@dataclass(frozen=True)
class _Problem:
    """Why a reference led to no channel."""

    status: str
    error: TubeGraderError


@dataclass(frozen=True)
class _Answer:
    """What came of a few references: for each either the channel or a problem."""

    found: dict[ChannelReference, ChannelFacts]
    problems: dict[ChannelReference, _Problem]


_Found = dict[ChannelReference, tuple[str, bool]]
"""The channel of a reference, and whether it is new."""


def _add_found(
    context: Context,
    wanted: Collection[ChannelReference],
    tags: Collection[str],
    language: str | None,
) -> tuple[_Found, dict[ChannelReference, _Problem]]:
    """Watch what is found, as soon as it is; return it, and what was not."""
    found = _known(context, wanted)
    with context.transaction() as session:
        _note(session, {channel_id for channel_id, _ in found.values()}, tags, language)
    problems: dict[ChannelReference, _Problem] = {}

    def write(session: Session, some: Sequence[tuple[ChannelReference, ChannelFacts]]) -> _Found:
        new = set(watch(session, [facts for _, facts in some], now=context.clock()))
        _note(session, {facts.channel_id for _, facts in some}, tags, language)
        return {r: (facts.channel_id, facts.channel_id in new) for r, facts in some}

    def refused(
        named: tuple[ChannelReference, ChannelFacts], error: RefusedByDatabaseError
    ) -> None:
        problems[named[0]] = _Problem(REFUSED, error)

    for answer in _look_up(context, set(wanted) - found.keys()):
        problems |= answer.problems
        for written in write_apart(context.transaction, [*answer.found.items()], write, refused):
            found |= written
    return found, problems


def _known(context: Context, wanted: Collection[ChannelReference]) -> _Found:
    handles: dict[str, list[ChannelReference]] = {}
    for reference in wanted:
        if reference.kind is ReferenceKind.HANDLE:
            handles.setdefault("@" + reference.value.lower(), []).append(reference)
    ids = {r.value: r for r in wanted if r.kind is ReferenceKind.ID}
    with context.transaction() as session:
        by_handle = channels.by_handles(session, list(handles))
        watched = channels.watched(session, {*ids, *by_handle.values()})
    found = {ids[channel_id]: (channel_id, False) for channel_id in watched & ids.keys()}
    for handle, channel_id in by_handle.items():
        if channel_id in watched:
            found |= dict.fromkeys(handles[handle], (channel_id, False))
    return found


def _look_up(context: Context, wanted: Collection[ChannelReference]) -> Iterator[_Answer]:
    """Ask YouTube for channels, up to fifty ids or one of another kind at a time.

    Once there is no use in asking on, the rest has the problem of what was asked for last.
    """
    ordered = sorted(wanted, key=lambda r: (r.kind, r.value))
    ids = [r for r in ordered if r.kind is ReferenceKind.ID]
    others = [r for r in ordered if r.kind is not ReferenceKind.ID]
    batches = [ids[i : i + IDS_AT_ONCE] for i in range(0, len(ids), IDS_AT_ONCE)]
    streak, stopped = Streak(), False
    problem: _Problem | None = None
    for batch in [*batches, *([reference] for reference in others)]:
        if not stopped:
            try:
                answer = _ask(context, batch)
            except TubeGraderError as error:
                stopped = streak.ends_with(error)
                about_item = isinstance(error, PermanentError) and not isinstance(
                    error, ApiKeyError | UsageError
                )
                problem = _Problem(NOT_FOUND if about_item else NOT_ASKED, error)
            else:
                streak.broken()
                yield answer
                continue
        assert problem is not None, "set before anything stops"
        yield _Answer({}, dict.fromkeys(batch, problem))


def _ask(context: Context, batch: Sequence[ChannelReference]) -> _Answer:
    if batch[0].kind is not ReferenceKind.ID:
        [reference] = batch
        return _Answer({reference: context.youtube.resolve(_as_typed(reference))}, {})
    by_id = {reference.value: reference for reference in batch}
    answer = context.youtube.channels(by_id)
    if answer.failure is not None:
        raise answer.failure
    unknown = PermanentError("YouTube knows no such channel", reason="channelNotFound")
    problems = {by_id[channel_id]: _Problem(NOT_FOUND, unknown) for channel_id in answer.missing}
    for refusal in answer.refused:
        error = PermanentError(refusal.message, reason=refusal.reason)
        problems[by_id[refusal.item_id]] = _Problem(NOT_ASKED, error)
    return _Answer({by_id[c]: facts for c, facts in answer.items.items()}, problems)


def _refusal(problems: dict[ChannelReference, _Problem]) -> TubeGraderError:
    """Return one error for what led to no channel."""
    first = next(iter(problems.values())).error
    if first.reason != "channelNotFound":
        return first
    wrong = [_as_typed(reference) for reference in problems]
    return PermanentError(
        f"YouTube knows no channel {', '.join(wrong[:_NAMED_IN_ERROR])}"
        + (f" and {len(wrong) - _NAMED_IN_ERROR} more" if len(wrong) > _NAMED_IN_ERROR else ""),
        reason=first.reason,
        hint="Open the channel's page and copy its @handle, or its id (UC…).",
    )


def _as_typed(reference: ChannelReference) -> str:
    match reference.kind:
        case ReferenceKind.ID:
            return reference.value
        case ReferenceKind.USERNAME:
            return f"youtube.com/user/{reference.value}"
        case ReferenceKind.CUSTOM:
            return f"youtube.com/c/{reference.value}"
        case _:
            return "@" + reference.value


def _note(
    session: Session, channel_ids: Collection[str], tags: Collection[str], language: str | None
) -> None:
    watchlist.add_tags(session, channel_ids, tags)
    if language is not None:
        channels.label_by_hand(session, channel_ids, language)


def _outcome(
    entry: NamedChannel, status: str, *, channel_id: str | None = None, message: str | None = None
) -> Outcome:
    shown = "".join(c if c.isprintable() else "?" for c in entry.text[:200])
    return Outcome(entry.line, shown, status, channel_id, message)


def check_tags(tags: Collection[str]) -> None:
    """Refuse words that cannot be tags.

    Raises:
        UsageError: One of them is too long, or has a comma or something unprintable in it.
    """
    for tag in tags:
        if not (0 < len(tag) <= 100 and tag.isprintable() and "," not in tag):  # noqa: PLR2004
            raise UsageError(
                f"{ascii(tag)[:120]} cannot be a tag",
                hint="a tag has 1 to 100 printable characters and no comma",
            )


def _checked_language(language: str) -> str:
    checked = language.strip().lower()
    if not (checked.isascii() and checked.isalpha() and len(checked) in (2, 3)):
        raise UsageError(
            f"{ascii(language)[:40]} is no language", hint="write it as ISO 639: en, zh, …"
        )
    return checked
