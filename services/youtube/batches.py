"""Any number of ids, fifty a call: each is accounted for, and one that spoils its call is found."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Generic

import structlog

from services.clock import Clock
from services.errors import (
    InfrastructureError,
    PermanentError,
    TransientError,
    TubeGraderError,
    UsageError,
)
from services.youtube import failures
from services.youtube.facts import Answer, Refusal
from services.youtube.items import Body, FactsT, note_oddities, sorted_items
from services.youtube.parsing import clean_text

if TYPE_CHECKING:
    from datetime import datetime

IDS_PER_CALL = 50
"""YouTube's limit, for ids and for entries of a page alike."""
UNANSWERABLE = "unanswerable"
"""The reason of an id that spoils each call that names it, while others are answered well."""
FRUITLESS = 4
"""Calls without an answer after which a host that worked lately is taken to be down."""
PAUSE_S = 1.0
"""Before what is left is asked for once more: one pause for all of it."""

log = structlog.get_logger()


@dataclass(frozen=True)
class Tries:
    """How often a call is tried.

    Attributes:
        most: At most so many times; None: as often as usual.
        pauses: Tells whether to pause after a failure and before the next try.
    """

    most: int | None = None
    pauses: Callable[[TubeGraderError], bool] = lambda _error: True


USUAL, ONCE = Tries(), Tries(1)


class Fares(Enum):
    """What is known of how a host answers others, when a call to it failed."""

    UNKNOWN = "unknown"  # nothing speaks for it: it may be down
    LATELY = "lately"  # it answered minutes ago
    SINCE = "since"  # it answered others of the kind after these failed


@dataclass(frozen=True)
class Others:
    """What is known beside the ids that are asked for.

    Attributes:
        apart: Of the ids, those that spoiled a call before: each is asked for alone.
        fare: Tells how others fare, once a call has failed.
    """

    apart: Collection[str] = ()
    fare: Callable[[], Fares] = lambda: Fares.UNKNOWN


@dataclass(frozen=True)
class Method(Generic[FactsT]):
    """How one kind of thing is asked for.

    Attributes:
        ask: Asks for ids in one call.
        parse: Makes facts of an item, or refuses it.
        clock: The present moment.
        wait: Pauses for so many seconds.
    """

    ask: Callable[[list[str], Tries], Body]
    parse: Callable[[Body], FactsT]
    clock: Clock
    wait: Callable[[float], None]


def spoils(error: TubeGraderError) -> bool:
    """Tell whether one id may be the cause of an error: the host answered, and badly."""
    ours = failures.ApiKeyError | UsageError | InfrastructureError
    return (
        isinstance(error, TransientError | PermanentError)
        and not isinstance(error, ours)
        and error.reason not in failures.NO_ANSWER_REASONS
    )


def spoils_in_passing(error: TubeGraderError) -> bool:
    """Tell the same of an error that may be gone in a moment."""
    return isinstance(error, TransientError) and spoils(error)


def unanswerable(error: TubeGraderError) -> str:
    """Return the line that says of one id that calls for it fail."""
    return f"calls that ask for it fail, and others are answered: {error}"


def by_ids(
    ids: Iterable[str],
    is_valid: Callable[[str], bool],
    method: Method[FactsT],
    others: Others,
) -> Answer[FactsT]:
    """Ask for any number of ids, 50 a call, and account for each of them.

    A call that fails for one of its ids is narrowed by halves until that one is alone, where others
    are known to fare well: about log2(50) calls, without a pause, and after one pause for all of
    them each that is alone by then once more. Where nothing is answered, nothing is narrowed.

    Raises:
        TubeGraderError: The first call failed, and nothing was answered.
    """
    wanted = list(dict.fromkeys(ids))
    valid = [item_id for item_id in wanted if is_valid(item_id)]
    asking = _Asking(method, others)
    for item_id in wanted:
        if not is_valid(item_id):
            asking.refuse(item_id, "malformedId", "not an id of YouTube's form")
    apart = [item_id for item_id in valid if item_id in others.apart]
    together = [item_id for item_id in valid if item_id not in others.apart]
    failure: TubeGraderError | None = None
    try:
        for start in range(0, len(together), IDS_PER_CALL):
            asking.ask_or_narrow(together[start : start + IDS_PER_CALL])
    except TubeGraderError as error:
        if not asking.answered:
            if not apart:
                raise
            asking.leave_apart(apart, error)
        asking.acquit()
        failure = error
    if failure is None:
        failure = asking.ask_suspects()
    if failure is None:
        asking.ask_again()
        failure = asking.ask_apart(apart)
    return asking.answer(valid, failure)


@dataclass
class _Asking(Generic[FactsT]):
    """What was asked for so far, and what came of it.

    Attributes:
        suspects: Who failed alone, and whether others were answered since.
    """

    method: Method[FactsT]
    others: Others
    found: dict[str, FactsT] = field(default_factory=dict)
    refused: dict[str, Refusal] = field(default_factory=dict)
    answered_at: "dict[str, datetime]" = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)
    alone: set[str] = field(default_factory=set)
    lasting: set[str] = field(default_factory=set)
    suspects: dict[str, bool] = field(default_factory=dict)
    has_paused: bool = False

    def refuse(self, item_id: str, reason: str, message: str) -> None:
        self.refused[item_id] = Refusal(clean_text(item_id), reason, message)

    def take(self, batch: list[str], tries: Tries) -> None:
        """Ask for some in one call."""
        method = self.method
        taken, not_taken = sorted_items(method.ask(batch, tries), set(batch), method.parse)
        self.answered.update(batch)
        self.alone.update([] if taken else batch)
        self.answered_at |= dict.fromkeys(taken, method.clock())
        self.found |= taken
        self.refused |= not_taken
        self.suspects = dict.fromkeys(self.suspects, True)

    def ask_or_narrow(self, batch: list[str]) -> None:
        def tells_nothing(fares: Fares) -> bool:
            return fares is Fares.UNKNOWN or (len(batch) == 1 and fares is not Fares.SINCE)

        try:
            self.take(batch, Tries(pauses=lambda error: tells_nothing(self._fares(error))))
        except TubeGraderError as error:
            fares = self._fares(error)
            if tells_nothing(fares):
                raise
            narrowing = _Narrowing(self, error, is_proven=fares is Fares.SINCE)
            try:
                narrowing.go(batch)
            except TubeGraderError as other:
                if not spoils(other):
                    raise
                # It is the host after all: perhaps it is better in a moment.
                self.acquit()
                self._pause()
                self.take([i for i in batch if i not in self.answered | self.suspects.keys()], ONCE)

    def acquit(self) -> None:
        """Suspect nobody after whom nothing was answered: it was the host."""
        self.suspects = {item_id: since for item_id, since in self.suspects.items() if since}

    def ask_suspects(self) -> TubeGraderError | None:
        """Ask for each once more, after a pause; return why the rest was not asked for, if so.

        Who fails again is refused if somebody is answered after that: else it may be the host,
        which fell meanwhile.
        """
        failed: dict[str, TubeGraderError] = {}
        for item_id in list(self.suspects):
            self._pause()
            try:
                self.take([item_id], ONCE)
            except TubeGraderError as error:
                if not spoils(error):
                    return error
                failed[item_id] = error
            else:
                self._blame(failed)
        if failed and (failure := self._witnessed()) is not None:
            return failure
        self._blame(failed)
        return None

    def _witnessed(self) -> TubeGraderError | None:
        """Ask once more for one that was answered; return why it is not now."""
        witness = next(iter(self.found), None) or next(iter(self.answered), None)
        if witness is None:
            return None  # others bear it out, or nobody would be suspected
        try:
            self.take([witness], ONCE)
        except TubeGraderError as error:
            return error
        return None

    def _blame(self, failed: dict[str, TubeGraderError]) -> None:
        for item_id, error in failed.items():
            log.warning("youtube.spoils_its_call", item=item_id, problem=str(error))
            self.refuse(item_id, UNANSWERABLE, unanswerable(error))
        failed.clear()

    def _fares(self, error: TubeGraderError) -> Fares:
        """Return how the host fares otherwise, as far as that concerns an error."""
        if not spoils(error):
            return Fares.UNKNOWN
        known = self.others.fare()
        return Fares.LATELY if known is Fares.UNKNOWN and self.answered else known

    def _pause(self) -> None:
        if not self.has_paused:
            self.method.wait(PAUSE_S)
        self.has_paused = True

    def ask_again(self) -> None:
        """Ask once more for what was refused: what chance did to an answer is mended at once."""
        odd = [i for i, r in self.refused.items() if r.reason not in (UNANSWERABLE, "malformedId")]
        odd = [item_id for item_id in odd if item_id in self.answered]
        for start in range(0, len(odd), IDS_PER_CALL):
            batch = odd[start : start + IDS_PER_CALL]
            try:
                body = self.method.ask(batch, ONCE)
                taken, refused = sorted_items(body, set(batch), self.method.parse)
            except TubeGraderError as error:
                log.warning("youtube.not_asked_again", items=len(batch), problem=str(error))
                return
            self.answered_at |= dict.fromkeys(taken, self.method.clock())
            self.found |= taken
            self.refused = {i: r for i, r in self.refused.items() if i not in taken} | refused
            self.lasting |= refused.keys()

    def ask_apart(self, apart: list[str]) -> TubeGraderError | None:
        """Ask for each alone; return why the rest was not asked for, if so."""
        for item_id in apart:
            try:
                self.take([item_id], ONCE)
            except TubeGraderError as error:
                if not spoils(error):
                    return error
                self.refuse(item_id, UNANSWERABLE, unanswerable(error))
        return None

    def leave_apart(self, apart: list[str], error: TubeGraderError) -> None:
        for item_id in apart:
            self.refuse(item_id, UNANSWERABLE, f"calls for it failed; not asked for now: {error}")

    def answer(self, valid: list[str], failure: TubeGraderError | None) -> Answer[FactsT]:
        note_oddities(self.found)
        known = self.found.keys() | self.refused.keys()
        missing = tuple(i for i in valid if i in self.answered and i not in known)
        return Answer(
            items={item_id: self.found[item_id] for item_id in valid if item_id in self.found},
            missing=missing,
            alone=frozenset(self.alone.intersection(missing)),
            refused=tuple(self.refused.values()),
            lasting=frozenset(self.lasting),
            unasked=tuple(i for i in valid if i not in self.answered and i not in known),
            failure=failure,
            answered_at=self.answered_at,
        )


@dataclass
class _Narrowing(Generic[FactsT]):
    """The search for the ids that spoil a call.

    Attributes:
        asking: Takes what is answered.
        error: What the call got for an answer.
        is_proven: The host answers others. Until then both halves are asked before either is cut.
        fruitless: Calls in a row without an answer.
        enough: How many of those there may be once the host is proven to answer.
    """

    asking: _Asking[FactsT]
    error: TubeGraderError
    is_proven: bool
    fruitless: int = 0
    enough: int = 0

    def go(self, batch: list[str]) -> None:
        """Narrow a call that failed.

        Raises:
            TubeGraderError: It was not one of the ids after all; what was answered is kept.
        """
        self.enough = max(FRUITLESS, 2 * len(batch).bit_length())
        rest = self._narrow(batch, is_asked=True)
        while rest:
            # Most likely there was only the one.
            rest = [] if self._answers(rest) else self._narrow(rest, is_asked=len(rest) == 1)
        if not self.is_proven:
            raise self.error

    def _narrow(self, bad: list[str], *, is_asked: bool) -> list[str]:
        """Find who spoils a call; return those that were not asked for meanwhile."""
        rest: list[str] = []
        while len(bad) > 1:
            is_asked = False
            left, right = bad[: len(bad) // 2], bad[len(bad) // 2 :]
            if self._answers(left):
                bad = right
            elif not self.is_proven and self._answers(right):
                bad = left
            else:
                bad, rest = left, right + rest
                is_asked = len(left) == 1
        if is_asked or not self._answers(bad):
            self.asking.suspects[bad[0]] = False
        return rest

    def _answers(self, batch: list[str]) -> bool:
        try:
            self.asking.take(batch, ONCE)
        except TubeGraderError as error:
            self.fruitless += 1
            most = self.enough if self.is_proven else FRUITLESS
            if not spoils(error) or self.fruitless >= most:
                raise
            self.error = error
            return False
        self.fruitless, self.is_proven = 0, True
        return True
