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

    def call_repeatedly(self, every_s: float, turn: Any) -> Any:
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
