"""One time for all machines: the database's, told on when it is away."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from services import clock as clocks
from services import joining
from services.clock import SharedClock
from services.context import Context
from services.errors import InfrastructureError, PermanentError
from services.settings import Settings

MOMENT = datetime(2026, 7, 15, 12, tzinfo=UTC)


@dataclasses.dataclass
class World:
    """A database with its clock, a machine whose own is wrong, and what passed."""

    elapsed_s: float = 1_000.0
    off: timedelta = timedelta(seconds=150)
    away: bool = False
    asked: int = 0
    takes_s: float = 0.0
    paused: timedelta = timedelta(0)

    def ask(self) -> datetime:
        self.asked += 1
        self.elapsed_s += self.takes_s
        if self.away:
            raise InfrastructureError("away", reason="databaseUnavailable")
        return self.true()

    def true(self) -> datetime:
        return MOMENT + self.paused + timedelta(seconds=self.elapsed_s)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(clocks, "_elapsed", lambda: made.elapsed_s)
    monkeypatch.setattr(clocks, "system_clock", lambda: made.true() + made.off)
    return made


def test_a_machine_that_is_fast_tells_the_databases_time(world: World):
    clock = SharedClock(world.ask)
    assert clock() == world.true()
    world.elapsed_s += 12
    assert (clock(), world.asked) == (world.true(), 1)
    world.elapsed_s += 20
    assert (clock(), world.asked) == (world.true(), 2)


def test_it_goes_on_while_the_database_is_away_whatever_the_machine_thinks(world: World):
    clock = SharedClock(world.ask)
    clock()
    world.away, world.off = True, timedelta(days=3)
    world.elapsed_s += 3_600
    assert clock() == world.true()
    assert world.asked == 2
    clock()
    assert world.asked == 2, "it is not asked at every call"


def test_an_answer_that_took_long_moves_no_time(world: World):
    clock = SharedClock(world.ask)
    clock()
    world.elapsed_s, world.takes_s = world.elapsed_s + 31, 20.0
    assert clock() == world.true()
    assert world.asked == 2
    world.elapsed_s, world.takes_s = world.elapsed_s + 4, 0.0
    assert (clock(), world.asked) == (world.true(), 3)


def test_a_slow_answer_is_believed_where_what_was_known_cannot_be_true(world: World):
    clock = SharedClock(world.ask)
    clock()
    # As after a pause of the whole machine, which its own clocks know nothing of.
    world.paused, world.takes_s = timedelta(hours=1), 2.0
    world.elapsed_s += 31
    assert abs(clock() - world.true()) <= timedelta(seconds=1)


def test_a_slow_first_answer_does_not_make_a_machines_clock_wrong(world: World):
    world.off = timedelta(0)
    connecting_s = iter((70.0, 0.0))

    def ask() -> datetime:
        world.elapsed_s += next(connecting_s)
        return world.true()

    assert SharedClock(ask).offset_s() == 0


def test_before_the_first_answer_it_is_the_machines(world: World):
    world.away = True
    assert SharedClock(world.ask)() == world.true() + world.off


@pytest.mark.parametrize(("off_s", "said"), [(150, "150 s ahead of"), (-3_600, "3,600 s behind")])
def test_a_worker_whose_machine_is_off_does_not_begin(world: World, off_s: float, said: str):
    world.off = timedelta(seconds=off_s)
    context = Context(Settings(), SharedClock(world.ask))
    with pytest.raises(PermanentError, match=said) as caught:
        joining.prepare(context)
    assert caught.value.reason == "clockOff"
    assert "set-ntp" in str(caught.value.hint)


def test_a_worker_waits_for_the_database_with_growing_pauses(world: World):
    world.away, slept = True, []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        world.away = len(slept) < 7

    context = Context(Settings(), SharedClock(world.ask))
    context.__dict__["queue"] = type("Queue", (), {"make_room": lambda _: 0})()
    world.off = timedelta(seconds=29)
    joining.prepare(context, sleep=sleep)
    assert slept == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
