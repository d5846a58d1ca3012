"""The process's own threads."""

import os
import threading
from functools import partial

import pytest

from ml.runtime import pools
from ml.runtime.pools import Pool


@pytest.fixture
def pool():
    made = Pool("test", 2)
    yield made
    made.close()


def test_results_come_in_order_from_the_same_few_threads(pool):
    seen = set()

    def task(number):
        seen.add(threading.get_ident())
        return number

    for _ in range(20):
        assert pool.run([partial(task, number) for number in range(10)]) == list(range(10))
    assert len(seen) <= 2
    assert threading.get_ident() not in seen


def test_a_task_may_have_tasks(pool):
    def outer():
        return sum(pool.run([lambda: 1, lambda: 2, lambda: 3]))

    assert pool.run([outer] * 8) == [6] * 8


def test_the_first_failure_is_raised_when_all_have_ended(pool):
    ended = []

    def fail(number):
        if number in {1, 2}:
            raise ValueError(number)
        ended.append(number)

    with pytest.raises(ValueError, match="1"):
        pool.run([partial(fail, number) for number in range(6)])
    assert sorted(ended) == [0, 3, 4, 5]


def test_each_is_called_from_no_more_threads_than_asked():
    pool, seen = Pool("wide", 8), set()
    pool.each(lambda _item: seen.add(threading.get_ident()), range(100), width=1)
    pool.close()
    assert len(seen) == 1


def test_a_closed_pool_opens_again(pool):
    assert pool.run([int, int]) == [0, 0]
    pool.close()
    assert pool.run([int, int]) == [0, 0]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own(pool):
    pool.run([int, int])
    child = os.fork()
    if child == 0:
        os._exit(0 if pool.run([int, int]) == [0, 0] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    ("content", "expected"), [("max 100000", 4), ("150000 100000", 2), ("900000 100000", 4)]
)
def test_cores_are_those_of_the_container(tmp_path, monkeypatch, content, expected):
    (tmp_path / "cpu.max").write_text(content)
    monkeypatch.setattr(pools, "_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {0, 1, 2, 3})
    assert pools.cores() == expected


def test_pools_are_the_processs():
    assert pools.computing() is pools.computing()
    assert pools.computing().width == pools.cores()
    assert pools.decoding() is not pools.computing()
