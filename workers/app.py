"""The Celery application: ``celery -A workers.app worker -Q crawl``."""

from typing import Any

import structlog
from billiard import current_process
from celery import Celery
from celery.signals import (
    celeryd_init,
    setup_logging,
    worker_init,
    worker_process_init,
    worker_shutdown,
)

from services import joining, log
from services.context import Context
from services.errors import TubeGraderError
from services.metrics import serving
from services.queue import celery_config
from services.settings import Settings
from services.work import kinds, telling
from workers.pulse import Pulse, name_process

settings = Settings()
app = Celery(
    "tubegrader",
    include=[
        "workers.crawl",
        "workers.learning",
        "workers.media",
        "workers.scoring",
        "workers.control",
    ],
)
_broker = settings.redis_url or "redis://127.0.0.1:6379/0"
app.conf.update(celery_config(_broker))
app.conf.task_routes = {task.name: {"queue": task.queue.name} for task in kinds.tasks()}
app.steps["consumer"].add(Pulse)

context = Context.of_process(settings)
"""What this process's tasks work with; connections open on first use, after the fork."""
app.tubegrader = context


def _prepare(**_: Any) -> None:
    """Before a worker connects to the broker: see that it may, and whose queues it works on."""
    try:
        joining.prepare(context)
    except TubeGraderError as error:
        structlog.get_logger().error("worker.refused", problem=str(error), hint=error.hint)
        raise SystemExit(1) from error
    app.conf.update(celery_config(_broker, prefix=context.queue.prefix))
    serving.prepare_pool(settings, _place)


def _place() -> str:
    """Name this process among those of its worker; who follows one that ended has its name."""
    index = getattr(current_process(), "index", None)
    return "worker" if index is None else f"pool-{index}"


def _serve_metrics(**_: Any) -> None:
    """Before the pool begins, so that its processes can let go of the port."""
    try:
        served = serving.serve_pool(settings)
    except TubeGraderError as error:
        structlog.get_logger().error("worker.refused", problem=str(error), hint=error.hint)
        raise SystemExit(1) from error
    if served is not None:
        worker_process_init.connect(lambda **_: served.let_go(), weak=False)
        worker_shutdown.connect(lambda **_: served.close(), weak=False)


def _set_up_logging(**_: Any) -> None:
    log.configure(level=settings.log_level, log_format=settings.log_format)


def _start_child(**_: Any) -> None:
    """Set up a pool process: a spawned one has no logging, a forked one inherits connections."""
    _set_up_logging()
    serving.count_in_pool(_place)
    telling.begin()
    if "engine" in context.__dict__:
        context.engine.dispose(close=False)


celeryd_init.connect(_prepare)
worker_init.connect(name_process)
worker_init.connect(_serve_metrics, weak=False)
setup_logging.connect(_set_up_logging)
worker_process_init.connect(_start_child)
