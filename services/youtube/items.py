"""The items of one answer about several ids: sorted, and what is odd in them counted."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import structlog

from services.youtube import failures
from services.youtube.facts import ChannelFacts, Refusal, VideoFacts, VideoStatistics
from services.youtube.parsing import MalformedItemError

log = structlog.get_logger()

FactsT = TypeVar("FactsT", ChannelFacts, VideoFacts, VideoStatistics)
Body = Mapping[str, Any]


def sorted_items(
    body: Body, batch: set[str], parse: Callable[[Body], FactsT]
) -> tuple[dict[str, FactsT], dict[str, Refusal]]:
    """Sort the items of one answer into found and refused; what nobody asked for is neither.

    Raises:
        TransientError: The answer is about others only. That says nothing about these ids, least
            of all that they are gone.
    """
    found: dict[str, FactsT] = {}
    refused: dict[str, Refusal] = {}
    for item in body.get("items", ()):
        item_id = _id_in(item)
        if item_id not in batch or item_id in found or item_id in refused:
            continue
        try:
            found[item_id] = parse(item)
        except MalformedItemError as error:
            refused[item_id] = error.refusal(item_id)
    if body.get("items") and not found and not refused:
        raise failures.malformed_answer()
    if any(not _id_in(item) for item in body.get("items", ())):
        # One of those that are missing is there, and does not say that it is.
        for item_id in batch - found.keys() - refused.keys():
            refused[item_id] = Refusal(item_id, "malformedItem", "an item came without an id")
    return found, refused


def note_oddities(found: Mapping[str, ChannelFacts | VideoFacts | VideoStatistics]) -> None:
    """Count what is odd in an answer, with an example of each reason."""
    counts: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for item_id, facts in found.items():
        for odd in facts.odd:
            counts[odd.reason] += 1
            examples.setdefault(odd.reason, f"{item_id}: {odd.message}")
    for reason, n in counts.items():
        log.warning("youtube.odd_value", reason=reason, items=n, example=examples[reason])


def _id_in(item: object) -> str:
    value = item.get("id") if isinstance(item, dict) else None
    return value if isinstance(value, str) else ""
