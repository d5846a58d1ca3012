"""Services know tasks by name only: names, queues and registered tasks are held together here."""

import importlib
import inspect
import json
import re
import subprocess
import sys

import pytest
from celery.app.defaults import NAMESPACES, flatten

from db.models import learning
from db.models.schedules import PAUSE_SCOPE_PATTERN
from db.models.work import JOB_KIND_PATTERN, WORK_KIND_PATTERN
from db.queries.speech import selections
from services import queue, schedules
from services.learning import tasks
from services.policy import limits
from services.settings import Settings
from services.work import kinds
from services.work.kinds import HOSTS, JOB_KINDS, WORK_KINDS
from services.work.pauses import EVERYTHING
from services.youtube.quota import PURPOSES, daily_limits
from workers.app import app

app.loader.import_default_modules()
REGISTERED = {name for name in app.tasks if not name.startswith("celery.")}
STEPS = {"training": "train", "scoring": "score", "comparison": "compare", "promotion": "promote"}


def test_registered_tasks_and_known_names_are_the_same():
    names = [task.name for task in kinds.tasks()]
    assert sorted(names) == sorted(REGISTERED)  # and no name stands for two


def test_every_task_has_a_queue_that_exists():
    assert {task.queue for task in kinds.tasks()} == set(queue.QUEUES.values())
    for task in kinds.tasks():
        assert app.amqp.router.route({}, task.name)["queue"].name == task.queue.name


def test_every_kind_of_work_and_of_job_is_done_by_a_task():
    assert {kind.task.name for kind in WORK_KINDS.values()} <= REGISTERED
    # A crawl does nothing itself: it brings work forward.
    assert [kind.name for kind in JOB_KINDS.values() if kind.task is None] == ["crawl"]
    assert {kind.task.name for kind in JOB_KINDS.values() if kind.task} <= REGISTERED


def test_every_kind_of_work_has_a_host_with_a_breaker_and_a_name_of_its_form():
    for name, kind in WORK_KINDS.items():
        assert kind.host in HOSTS
        assert re.fullmatch(WORK_KIND_PATTERN, name)
        assert (kind.purpose is None) == (not kind.buckets)
    assert all(re.fullmatch(JOB_KIND_PATTERN, name) for name in JOB_KINDS)


def test_what_only_some_kinds_need_names_buckets_and_retentions_that_exist():
    for kind in WORK_KINDS.values():
        assert kind.buckets <= daily_limits().keys()
        assert kind.purpose in (None, *PURPOSES)
        assert kind.series in (None, *limits.KINDS)
    assert kinds.VIDEO_AUDIO.name == selections.KIND


def test_every_schedule_fires_a_job_that_exists():
    assert set(schedules.KINDS) <= set(JOB_KINDS)


def test_every_queue_can_be_paused():
    assert all(re.fullmatch(PAUSE_SCOPE_PATTERN, scope) for scope in (EVERYTHING, *queue.QUEUES))
    assert EVERYTHING not in queue.QUEUES


def test_tasks_of_work_take_a_token_and_tasks_of_jobs_an_id_too():
    for work in WORK_KINDS.values():
        assert list(inspect.signature(app.tasks[work.task.name].run).parameters) == ["token"]
    for job in JOB_KINDS.values():
        if job.task is not None:
            signature = inspect.signature(app.tasks[job.task.name].run)
            assert list(signature.parameters) == ["job_id", "token"]


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
