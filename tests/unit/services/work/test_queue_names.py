"""Services know tasks by name only: names, queues and registered tasks are held together here."""

import importlib
import inspect
import json
import subprocess
import sys

import pytest
from celery.app.defaults import NAMESPACES, flatten

from db.models import learning
from db.models import work as models
from services import queue, tick
from services.learning import tasks
from services.settings import Settings
from workers.app import app

app.loader.import_default_modules()
REGISTERED = {name for name in app.tasks if not name.startswith("celery.")}
STEPS = {"training": "train", "scoring": "score", "comparison": "compare", "promotion": "promote"}


def test_registered_tasks_and_known_names_are_the_same():
    assert set(queue.QUEUE_OF_TASK) == REGISTERED


def test_every_task_has_a_queue_that_exists():
    assert set(queue.QUEUE_OF_TASK.values()) <= set(queue.QUEUES)
    for name in REGISTERED:
        assert app.amqp.router.route({}, name)["queue"].name == queue.QUEUE_OF_TASK[name]


def test_every_kind_of_work_and_of_job_is_done_by_a_task():
    assert set(queue.TASK_OF_WORK) == set(models.WORK_KINDS) == set(tick.BATCH_SIZE)
    assert set(queue.TASK_OF_WORK.values()) <= REGISTERED
    # A crawl does nothing itself: it brings work forward.
    assert set(queue.TASK_OF_JOB) == set(models.JOB_KINDS) - {"crawl"}
    assert set(queue.TASK_OF_JOB.values()) <= REGISTERED


def test_tasks_of_work_take_a_token_and_tasks_of_jobs_an_id_too():
    for name in queue.TASK_OF_WORK.values():
        assert list(inspect.signature(app.tasks[name].run).parameters) == ["token"]
    for name in queue.TASK_OF_JOB.values():
        assert list(inspect.signature(app.tasks[name].run).parameters) == ["job_id", "token"]


def test_beat_sends_tasks_that_exist_and_need_nothing():
    assert app.conf.beat_schedule
    for entry in app.conf.beat_schedule.values():
        assert entry["task"] in REGISTERED
        assert not inspect.signature(app.tasks[entry["task"]].run).parameters


def test_learning_tasks_lead_to_services_that_exist():
    for package in ("services.learning.thumbnails", "services.learning.speech"):
        for name, step in STEPS.items():
            module = importlib.import_module(f"{package}.{name}")
            assert list(inspect.signature(getattr(module, step)).parameters) == ["context", "job"]
    assert set(learning.TASKS) == set(tasks.TASKS)
    for task in tasks.TASKS.values():
        for step in task.night().values():
            assert list(inspect.signature(step).parameters) == ["context", "job"]


def test_options_of_the_broker_are_set_where_its_transport_reads_them():
    config = queue.celery_config("redis://127.0.0.1:1/0")
    timeout = queue.VISIBILITY_TIMEOUT_S
    assert config["visibility_timeout"] == timeout
    for options in ("broker_transport_options", "result_backend_transport_options"):
        assert config[options]["visibility_timeout"] == timeout
        assert config[options]["socket_timeout"]
    assert timeout > Settings().lease_seconds


def test_every_option_is_one_that_celery_knows():
    """Celery says nothing about a misspelt one."""
    known = {name for name, _ in flatten(NAMESPACES)} | {"visibility_timeout"}
    assert set(queue.celery_config("redis://127.0.0.1:1/0")) <= known


@pytest.mark.parametrize("module", ["workers.app", "services.cli.main"])
def test_neither_crawl_workers_nor_the_command_line_import_torch(module: str):
    code = (
        f"import sys, json, {module}\n"
        "app = getattr(sys.modules.get('workers.app'), 'app', None)\n"
        "app and app.loader.import_default_modules()\n"
        "heavy = {'torch', 'sklearn', 'matplotlib', 'scipy', 'pandas'}\n"
        "print(json.dumps(sorted(heavy & set(sys.modules))))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    assert json.loads(done.stdout) == []
