"""``kill -9`` in mid-training: whoever takes the job goes on, to the bits of one that lived."""

import os
import signal
import uuid
from collections.abc import Iterator

import psutil
import pytest

from services import embedded
from services.context import Context
from services.learning.thumbnails import training
from services.settings import Settings
from services.work import jobs
from tests.support.embedded import home, made_home, supervised, wait_until
from tests.support.training import (
    another_worker,
    claim,
    collected,
    left_in_cache,
    models,
    submit_training,
    train,
)

__all__ = ["home", "made_home"]

LEASE_S = 3.0


def states(context: Context) -> list[str]:
    """The states that trainings have kept."""
    return [name.name for name in context.settings.home.glob("cache/training/*/*.state")]


@pytest.fixture
def crawled(context: Context) -> Iterator[Context]:
    collected(context)
    made = Context(context.settings.model_copy(update={"lease_seconds": LEASE_S}))
    yield made
    made.close()


def claimed_again(context: Context, job_id: uuid.UUID) -> uuid.UUID:
    """Wait for the lease of a job to end, as a dispatcher does, and take it."""
    tokens: list[uuid.UUID] = []

    def is_ready() -> bool:
        found = claim(context, job_id)
        tokens.extend([] if found is None else [found])
        return found is not None

    wait_until(is_ready, "the end of its lease")
    return tokens[0]


def test_a_killed_training_goes_on_to_the_same_models(crawled: Context):
    job_id = submit_training(crawled)
    token = claim(crawled, job_id)
    assert token is not None
    with another_worker(crawled, job_id, token) as worker:
        pid = worker.next_report()
        assert isinstance(pid, int)
        wait_until(lambda: len(states(crawled)) >= 3, "one network finished, the next begun")
        os.kill(pid, signal.SIGKILL)
        worker.process.wait(30)
    killed = jobs.view(crawled, job_id)
    assert (killed.state, models(crawled, job_id)) == ("running", {})
    assert len(states(crawled)) < 6, "it was killed too late to say anything"
    with another_worker(crawled, job_id, claimed_again(crawled, job_id)) as worker:
        worker.next_report()
        assert worker.next_report() == "succeeded"
    assert states(crawled) == []
    whole = train(crawled, force=True)
    assert whole.state == "succeeded", whole.error_message
    assert models(crawled, job_id) == models(crawled, whole.job_id) != {}
    # The scratch folder of the one that was killed is swept in time.
    assert len(left_in_cache(crawled.settings.home)) == 1


def test_a_worker_that_dies_before_saying_it_is_done_records_nothing_twice(crawled: Context):
    job_id = submit_training(crawled, force=True)
    token = claim(crawled, job_id)
    assert token is not None

    def died(context: Context, job: jobs.JobHandle) -> dict[str, object]:
        training.train(context, job)
        raise jobs.LeaseLostError

    jobs.run(crawled, job_id, token, died)
    before = models(crawled, job_id)
    jobs.run(crawled, job_id, claimed_again(crawled, job_id), training.train)
    ended = jobs.view(crawled, job_id)
    assert ended.result is not None
    assert (ended.state, ended.result["trained"]) == ("succeeded", False)
    assert set(ended.result["versions"].values()) == {1}
    assert models(crawled, job_id) == before


@pytest.mark.slow
def test_the_learning_worker_killed_in_mid_training(home):
    """The real worker of a real stack; its supervisor starts another one."""
    settings = Settings(home=home, lease_seconds=LEASE_S)
    with embedded.stack(settings, durable=False) as endpoints:
        context = Context(endpoints.applied_to(settings))
        try:
            collected(context, channels=48, videos=480)
            with embedded.stack(settings, workers=True):
                job_id = submit_training(context)
                wait_until(lambda: len(states(context)) >= 1, "one network finished", 180)
                found = supervised(home, "learning")
                assert found is not None
                worker = psutil.Process(found.pid)
                for process in [*worker.children(recursive=True), worker]:
                    process.send_signal(signal.SIGKILL)
                assert not jobs.view(context, job_id).ended
                wait_until(lambda: jobs.view(context, job_id).ended, "the end of the training", 240)
            assert jobs.view(context, job_id).state == "succeeded"
            whole = train(context, force=True)
            assert models(context, job_id) == models(context, whole.job_id) != {}
        finally:
            context.close()
