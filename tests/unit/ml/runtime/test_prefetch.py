"""Preparing the next item while the caller works on this one."""

import threading

import pytest

from ml.runtime.prefetch import prefetch


def test_the_next_item_is_drawn_while_the_caller_works_and_never_two_ahead():
    begun = [threading.Event() for _ in range(4)]

    def draw():
        for number, event in enumerate(begun):
            event.set()
            yield number

    items = prefetch(draw())
    assert next(items) == 0
    assert begun[1].wait(10)
    assert not begun[2].is_set()
    assert list(items) == [1, 2, 3]


def test_items_are_drawn_in_one_thread_that_is_not_the_callers():
    threads = list(prefetch(threading.get_ident() for _ in range(5)))

    assert len(set(threads)) == 1
    assert threading.get_ident() not in threads


def test_nothing_to_draw_yields_nothing():
    assert list(prefetch([])) == []


def test_an_error_comes_in_the_place_of_its_item():
    items = prefetch(1 // number for number in (1, 0, 1))

    assert next(items) == 1
    with pytest.raises(ZeroDivisionError):
        next(items)


def test_whoever_stops_early_waits_for_the_item_that_is_under_way_and_no_more_are_drawn():
    drawn = []
    items = prefetch(drawn.append(number) for number in range(100))
    next(items)
    items.close()

    assert drawn == [0, 1]
    assert all(thread.name.split("_")[0] != "prefetch" for thread in threading.enumerate())
