"""A worker is heard of while it works, and while it can do nothing but wait."""

from types import SimpleNamespace
from typing import Any

import pytest

from services.context import Context
from services.settings import Settings
from workers import pulse
from workers.pulse import Pulse


class Timer:
    """An event loop's, of a loop that stands still."""

    def call_repeatedly(self, every_s: float, turn: Any, args: tuple[Any, ...]) -> Any:
        return SimpleNamespace(cancel=lambda: None)


def test_a_worker_that_waits_for_its_broker_is_well_and_one_that_hangs_is_not(
    monkeypatch: pytest.MonkeyPatch,
):
    amqp = SimpleNamespace(queues=SimpleNamespace(consume_from={"crawl": None}))
    app = SimpleNamespace(tubegrader=Context(Settings()), amqp=amqp)
    consumer = SimpleNamespace(timer=Timer(), app=app)
    step = Pulse(consumer)
    monkeypatch.setattr(pulse, "HANGING_S", 0.0)
    step.start(consumer)
    assert not step.is_alive()
    step.stop(consumer)  # as Celery does where the broker is lost, before it waits for it
    assert step.is_alive()
    step.start(consumer)
    assert not step.is_alive()
    step._leave()


def test_a_worker_takes_no_shards_while_its_machine_lacks_something():
    taken = {"learning": None, "scoring": None}
    amqp = SimpleNamespace(queues=SimpleNamespace(consume_from=taken))
    app = SimpleNamespace(tubegrader=Context(Settings()), amqp=amqp)
    consumer = SimpleNamespace(
        timer=Timer(),
        app=app,
        cancel_task_queue=taken.pop,
        add_task_queue=lambda name: taken.setdefault(name, None),
    )
    step = Pulse(consumer)
    step.start(consumer)
    member = step._member
    assert member is not None
    for fit in (True, False, False, True):
        member._unfit_until = 0.0 if fit else float("inf")
        step._look(consumer)
        assert set(taken) == ({"learning", "scoring"} if fit else {"learning"})
    step._leave()
