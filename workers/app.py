"""The Celery application: ``celery -A workers.app worker -Q crawl``."""

from typing import Any

from celery import Celery
from celery.schedules import schedule
from celery.signals import setup_logging, worker_process_init

from services import log
from services.clock import clock_at
from services.context import Context
from services.queue import DISPATCH, MAKE_PARTITIONS, celery_config
from services.settings import Settings
from services.work import kinds

settings = Settings()
app = Celery(
    "tubegrader", include=["workers.crawl", "workers.learning", "workers.media", "workers.control"]
)
app.conf.update(celery_config(settings.redis_url or "redis://127.0.0.1:6379/0"))
app.conf.task_routes = {task.name: {"queue": task.queue.name} for task in kinds.tasks()}
app.conf.beat_schedule = {
    # A tick that nobody took in time is worthless: the next one does the same.
    "dispatch": {"task": DISPATCH.name, "schedule": schedule(1.0), "options": {"expires": 5}},
    "make partitions": {"task": MAKE_PARTITIONS.name, "schedule": schedule(6 * 3600.0)},
}

context = Context(settings, clock_at(settings.clock_url))
"""What this process's tasks work with; connections open on first use, after the fork."""


def _set_up_logging(**_: Any) -> None:
    log.configure(level=settings.log_level, log_format=settings.log_format)


def _start_child(**_: Any) -> None:
    """Set up a pool process: a spawned one has no logging, a forked one inherits connections."""
    _set_up_logging()
    if "engine" in context.__dict__:
        context.engine.dispose(close=False)


setup_logging.connect(_set_up_logging)
worker_process_init.connect(_start_child)
