"""Names that several rooms share: tasks, kinds of jobs and of work, and their queues."""

from db.models.schedules import PAUSE_SCOPES, SCHEDULE_KINDS
from db.models.work import JOB_KINDS, WORK_KINDS
from services import notify
from services.queue import QUEUE_OF_TASK, QUEUES, TASK_OF_JOB, TASK_OF_WORK
from services.tick import BATCH_SIZE
from services.work.breakers import HOST_OF_WORK, HOSTS


def test_every_task_that_is_sent_is_registered_and_the_other_way_round():
    from workers.app import app

    app.loader.import_default_modules()
    registered = {name for name in app.tasks if not name.startswith("celery.")}
    assert registered == set(QUEUE_OF_TASK)
    assert {*TASK_OF_JOB.values(), *TASK_OF_WORK.values(), notify.TASK} <= registered
    assert set(QUEUE_OF_TASK.values()) == set(QUEUES)


def test_every_kind_of_job_is_done_by_somebody():
    assert {*TASK_OF_JOB, "crawl"} == set(JOB_KINDS)  # a crawl is followed, not run
    assert set(SCHEDULE_KINDS) <= set(JOB_KINDS)


def test_every_kind_of_work_has_a_task_a_size_and_a_host_with_a_breaker():
    assert set(TASK_OF_WORK) == set(BATCH_SIZE) == set(HOST_OF_WORK) == set(WORK_KINDS)
    assert set(HOST_OF_WORK.values()) <= set(HOSTS)


def test_every_queue_can_be_paused():
    assert set(PAUSE_SCOPES) == {"everything", *QUEUES}
