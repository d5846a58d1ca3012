"""A batch that is asked for one by one: who fails while others are answered is asked once more."""

from collections.abc import Callable

from services.context import Context
from services.errors import TubeGraderError
from services.transactions import refusing
from services.work import leases
from services.work.others import blamed, fare_well, is_blamed
from services.youtube.batches import ONCE, Tries, spoils_in_passing
from services.youtube.failures import Streak


class Rounds:
    """What came of a batch so far.

    Attributes:
        new: How many things are new.
    """

    def __init__(
        self,
        context: Context,
        batch: leases.Batch,
        read: Callable[[str, Tries], int],
        ask: Callable[[str], object],
    ) -> None:
        """Make one that has read nothing yet.

        Args:
            context: What is worked with.
            batch: The items.
            read: Reads one and ends it; returns how many things are new.
            ask: Makes one call for an item and keeps nothing of it.
        """
        self.new = 0
        self._context, self._batch = context, batch
        self._read, self._ask = read, ask
        self._streak = Streak()
        self._later: list[str] = []
        self._suspects: dict[str, TubeGraderError] = {}  # of those, who failed again
        self._witness: str | None = None  # who was answered last

    def read_all(self) -> None:
        """Read each of the batch, or note why not.

        Raises:
            TubeGraderError: Those that follow would fail alike.
        """
        for item_id in list(self._batch.items):
            self._read_one(item_id)
        if self._later:
            self._context.youtube.pause()
            self._read_later()

    def _is_passing(self, error: TubeGraderError) -> bool:
        """Tell whether others are answered, so that a failure may be the one item's."""
        return spoils_in_passing(error) and (
            self._witness is not None or fare_well(self._context, self._batch, error)
        )

    def _read_one(self, item_id: str) -> None:
        context, batch = self._context, self._batch
        try:
            with refusing():
                self.new += self._read(
                    item_id, Tries(pauses=lambda error: not self._is_passing(error))
                )
        except TubeGraderError as error:
            if is_blamed(context, batch, item_id, error):
                batch.fail([item_id], blamed(error))
            elif self._streak.ends_with(error):
                raise
            elif self._is_passing(error):
                self._later.append(item_id)
            else:
                batch.fail([item_id], error)
        else:
            self._note_answer(item_id)

    def _read_later(self) -> None:
        """Read who was put off; who fails again is blamed if the host answers after that."""
        self._streak.broken()
        for item_id in self._later:
            try:
                with refusing():
                    self.new += self._read(item_id, ONCE)
            except TubeGraderError as error:
                would_end = self._streak.ends_with(error)
                if self._is_passing(error):
                    self._suspects[item_id] = error
                    would_end = would_end and not self._blame_suspects()
                if would_end:
                    raise
                if item_id not in self._suspects:
                    self._batch.fail([item_id], error)  # the first reason of an item stays
            else:
                if self._note_answer(item_id):
                    self._blame()
        self._blame_suspects()
        for item_id, problem in self._suspects.items():
            self._batch.fail([item_id], problem)

    def _note_answer(self, item_id: str) -> bool:
        """Note that one went well; tell whether the host was asked for it."""
        self._streak.broken()
        was_asked = item_id in self._batch.items  # one whose feed sufficed is left out
        if was_asked:
            self._witness = item_id
        return was_asked

    def _blame_suspects(self) -> bool:
        """Blame them if the host still gives what it gave in this batch; tell whether it does."""
        if not self._suspects or self._witness is None:
            return False
        try:
            self._ask(self._witness)
        except TubeGraderError:
            return False
        self._blame()
        return True

    def _blame(self) -> None:
        for item_id, error in self._suspects.items():
            self._batch.fail([item_id], blamed(error))
        self._suspects = {}
        self._streak.broken()
