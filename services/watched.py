"""Which watched channels people mean, by what they type."""

from collections.abc import Sequence

from db.queries.catalog import channels
from services.context import Context
from services.errors import NotFoundError
from services.naming import parse_channel
from services.youtube.identifiers import ReferenceKind


def named_ids(context: Context, typed: Sequence[str]) -> list[str]:
    """Return the ids of channels that are named, sorted; an id need not be watched yet.

    Raises:
        UsageError: A handle or address is not of a watched channel, or cannot be a channel's name.
    """
    ids, others = set(), []
    for text in typed:
        reference = parse_channel(text)
        if reference.kind is ReferenceKind.ID:
            ids.add(reference.value)
        else:
            others.append(text)
    return sorted(ids.union(find(context, others)))


def find(context: Context, typed: Sequence[str]) -> list[str]:
    """Return the ids of watched channels that are named by id, @handle or address.

    YouTube is not asked.

    Raises:
        UsageError: One of them is not watched, or cannot be a channel's name.
    """
    found = []
    for text in typed:
        reference = parse_channel(text)
        with context.transaction() as session:
            if reference.kind is ReferenceKind.ID:
                matching = channels.known(session, [reference.value])
            else:
                handle = "@" + reference.value.lower()
                matching = set(channels.by_handles(session, [handle]).values())
        if not matching:
            raise NotFoundError(
                f"{text} is not watched",
                hint="`tubegrader channels list` shows what is; `channels add` adds one",
                reason="notWatched",
            )
        found += sorted(matching)
    return list(dict.fromkeys(found))
