"""Stages of scoring: how far they are ahead, in which order they write, what of the store fails."""

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from services.context import Context
from services.errors import PermanentError, TransientError, TubeGraderError
from services.learning import stages


def context_with(**parts: object) -> Context:
    """What a stage uses of a context."""
    made: Any = SimpleNamespace(**parts)
    context: Context = made
    return context


def write_all(context: Context, write: Callable[[int], None]) -> None:
    with stages.behind(context, write) as writer:
        for item in range(20):
            writer.add(item)


def test_two_items_are_read_ahead_of_the_caller_and_no_more():
    read: list[int] = []
    arrived = threading.Semaphore(0)

    def note(item: int) -> int:
        read.append(item)
        arrived.release()
        return item

    made = stages.ahead(range(10), note, lambda raw: raw * 10)
    assert next(made) == 0
    for _ in range(1 + stages.AHEAD):
        assert arrived.acquire(timeout=30)
    assert next(made) == 10
    assert arrived.acquire(timeout=30)
    assert read == [0, 1, 2, 3]
    assert list(made) == list(range(20, 100, 10))


def test_the_first_chunk_is_small_and_all_rows_come_once():
    rows = list(range(3_000))
    found = list(stages.chunks(rows, 512))
    assert [len(chunk) for chunk in found] == [64, 128, 256, 512, 512, 512, 512, 504]
    assert [row for chunk in found for row in chunk] == rows
    assert [len(chunk) for chunk in stages.chunks(rows[:5], 4)] == [1, 2, 2]
    assert list(stages.chunks([], 4)) == []


def test_what_a_stage_raises_comes_in_the_place_of_its_item():
    def decode(raw: int) -> int:
        if raw == 2:
            raise ValueError("two")
        return raw

    made = stages.ahead(range(5), lambda item: item, decode)
    assert [next(made), next(made)] == [0, 1]
    with pytest.raises(ValueError, match="two"):
        next(made)


def test_writes_keep_their_order_and_are_all_done_when_the_block_has_ended():
    written: list[int] = []
    context = context_with(lease=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "patiently", lambda _context, write: write())
        write_all(context, written.append)
    assert written == list(range(20))


def test_a_failed_write_ends_the_work_and_nothing_is_written_after_it():
    written: list[int] = []

    def write(item: int) -> None:
        if item == 1:
            raise PermanentError("refused", reason="refused")
        written.append(item)

    context = context_with(lease=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "patiently", lambda _context, do: do())
        with pytest.raises(PermanentError, match="refused"):
            write_all(context, write)
    assert written[0] == 0
    assert 1 not in written
    assert len(written) < 20


class Store:
    """A store that fails on some names for some time."""

    def __init__(self, failures: dict[str, int]) -> None:
        self.failures = failures
        self.asked: list[list[str]] = []

    def get_apart(self, names: list[str]) -> dict[str, bytes | TubeGraderError]:
        self.asked.append(list(names))
        return {name: self._got(name) for name in names}

    def _got(self, name: str) -> bytes | TubeGraderError:
        if name == "missing":
            return PermanentError("it is not there", reason="objectMissing")
        if self.failures.get(name, 0) > 0:
            self.failures[name] -= 1
            return TransientError("reset", reason="storeFailed")
        return name.encode()


def test_reads_that_fail_in_passing_are_tried_again_alone(monkeypatch: pytest.MonkeyPatch):
    paused: list[float] = []
    monkeypatch.setattr(stages.time, "sleep", paused.append)
    store = Store({"b": 2, "never": 1_000})
    context = context_with(store=store)
    names: Any = ["a", "b", "b", "missing", "never"]
    contents = stages.read_contents(context, names)
    assert contents.found == {"a": b"a", "b": b"b"}
    assert {name: error.reason for name, error in contents.broken.items()} == {
        "missing": "objectMissing"
    }
    assert list(contents.later) == ["never"]
    assert store.asked[:4] == [
        ["a", "b", "missing", "never"],
        ["b", "never"],
        ["b", "never"],
        ["never"],
    ]
    assert len(store.asked) == stages.TRIES == len(paused) + 1
    assert sum(paused) < 10
