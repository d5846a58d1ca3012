"""The dispatcher: ``python -m workers.dispatcher``. Any number may run; one is elected."""

import os
import signal
import sys
import threading
from pathlib import Path

import structlog

from services import joining, log
from services.context import Context
from services.dispatcher import Dispatcher
from services.errors import TubeGraderError
from services.metrics import serving
from services.metrics.instruments import INSTRUMENTS
from services.queue import DISPATCHER
from services.settings import Settings
from services.work.fleet import Member


def main() -> int:
    """Run until SIGTERM or SIGINT; return the exit code."""
    settings = Settings()
    log.configure(level=settings.log_level, log_format=settings.log_format)
    context = Context.of_process(settings)
    stop = threading.Event()
    served = None
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: stop.set())
    try:
        served = serving.serve(settings, counted=INSTRUMENTS)
        joining.prepare(context, sleep=lambda seconds: _wait(stop, seconds))
        run(context, stop)
    except _StoppedError:
        return 0
    except TubeGraderError as error:
        what = "dispatcher.ends" if error.reason == "choreHangs" else "dispatcher.refused"
        structlog.get_logger().error(what, problem=str(error), hint=error.hint)
        return 1
    finally:
        if served is not None:
            served.close()
        context.close()
    return 0


def run(context: Context, stop: threading.Event) -> None:
    """Be a dispatcher of the fleet until ``stop`` is set."""
    ready = os.environ.get("TUBEGRADER_READY_FILE")
    dispatcher: Dispatcher | None = None
    member = Member(
        context,
        DISPATCHER,
        alive=lambda: dispatcher is None or dispatcher.is_alive(),
        late=lambda: None if dispatcher is None else dispatcher.late(),
        ready_file=None if ready is None else Path(ready),
    )
    dispatcher = Dispatcher(context, member)
    member.join()
    try:
        dispatcher.run(stop)
    finally:
        member.leave()


class _StoppedError(Exception):
    """Told to stop while it waited."""


def _wait(stop: threading.Event, seconds: float) -> None:
    if stop.wait(seconds):
        raise _StoppedError


if __name__ == "__main__":
    sys.exit(main())
