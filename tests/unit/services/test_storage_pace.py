"""A store far away is asked for more at once, one that fails for less."""

import pytest
from obstore.exceptions import BaseError

from services.errors import TransientError
from services.storage import IN_FLIGHT, ObjectStore
from services.storage_pace import LEAST, MOST, Pace


def test_a_store_that_answers_late_is_asked_for_more_at_once():
    pace = Pace(64)
    for expected in (128, MOST, MOST):
        pace.learn([0.15] * 512, failed=False)
        assert pace.at_once == expected


def test_a_near_store_and_a_few_reads_change_nothing():
    pace = Pace(64)
    pace.learn([0.001] * 512, failed=False)
    pace.learn([0.15] * 10, failed=False)
    assert pace.at_once == 64


def test_a_store_that_fails_is_spared_until_it_does_not():
    pace = Pace(64)
    for _ in range(5):
        pace.learn([0.15] * 512, failed=True)
    assert pace.at_once == LEAST
    seen = []
    for _ in range(4):
        pace.learn([0.001] * 512, failed=False)
        seen.append(pace.at_once)
    assert seen == [16, 32, 64, 64]


def test_the_pace_learns_of_a_failure_of_reads_that_fail_as_one(monkeypatch: pytest.MonkeyPatch):
    store = ObjectStore.from_url("memory://")
    names = store.put_many([b"one", b"other"])

    async def failing(*_: object, **__: object) -> None:
        raise BaseError("reset by peer")

    monkeypatch.setattr("services.storage.obstore.get_async", failing)
    with pytest.raises(TransientError):
        store.get_many(names)
    assert store._pace.at_once == IN_FLIGHT // 2
