"""Jobs: submitted, taken once, kept alive, ended; and everything that can come between."""

import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from db.queries.work import jobs as rows
from services.context import Context
from services.errors import BlockedError, PermanentError, QuotaError, TransientError, UsageError
from services.queue import Task
from services.tick import dispatch
from services.work import jobs, waiting
from services.work.jobs import JobHandle
from tests.support.crawl import NOW, TurnableClock
from tests.support.embedded import wait_until

KIND, TASK = "compare", "learning.compare"
LEASE = timedelta(seconds=120)
MINUTE = timedelta(minutes=1)
Work = Callable[[Context, JobHandle], dict[str, Any]]


@dataclass
class Mailbox:
    """In place of the network: messages wait here until the test does their work."""

    messages: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)

    def lengths(self) -> dict[str, int]:
        return {}

    def send(self, task: Task, *args: str) -> None:
        self.messages.append((task.name, args))

    def take(self) -> tuple[uuid.UUID, uuid.UUID]:
        """The job and the token of the only message."""
        [(name, (job_id, token))] = self.messages
        assert name == TASK
        self.messages.clear()
        return uuid.UUID(job_id), uuid.UUID(token)


@dataclass
class Office:
    """A context with a clock to turn and a mailbox."""

    context: Context
    clock: TurnableClock
    mailbox: Mailbox

    def submit(self, **params: object) -> uuid.UUID:
        return jobs.submit(self.context, KIND, params)

    def dispatched(self) -> tuple[uuid.UUID, uuid.UUID]:
        dispatch(self.context)
        return self.mailbox.take()

    def run(self, work: Work) -> str:
        """Dispatch the one job that is ready and do its work."""
        return jobs.run(self.context, *self.dispatched(), work)

    def state(self, job_id: uuid.UUID) -> str:
        return jobs.view(self.context, job_id).state


@pytest.fixture
def office(context: Context) -> Iterator[Office]:
    clock, mailbox = TurnableClock(), Mailbox()
    # Short, so that the thread that keeps it writes often; by the clock it never ends.
    settings = context.settings.model_copy(update={"lease_seconds": 0.1})
    own = Context(settings, clock)
    with own.engine.begin() as connection:
        connection.execute(text("DELETE FROM schedules"))
    own.__dict__["queue"] = mailbox
    yield Office(own, clock, mailbox)
    own.close()


def nothing(_context: Context, _job: JobHandle) -> dict[str, Any]:
    return {}


def test_a_job_goes_from_submission_to_its_result(office: Office):
    job_id = office.submit(answer=42)
    assert office.state(job_id) == "queued"

    def work(context: Context, job: JobHandle) -> dict[str, Any]:
        assert context is office.context
        assert (job.job_id, job.params) == (job_id, {"answer": 42})
        assert office.state(job_id) == "running"
        job.progress(3, 4, "nearly there")
        office.clock.advance(MINUTE)
        return {"found": job.params["answer"]}

    assert office.run(work) == "succeeded"
    found = jobs.view(office.context, job_id)
    assert (found.state, found.result, found.ended) == ("succeeded", {"found": 42}, True)
    assert (found.progress_done, found.progress_total) == (4, 4)  # whole, whatever was said last
    assert (found.created_at, found.started_at, found.finished_at) == (NOW, NOW, NOW + MINUTE)
    assert jobs.succeeded(found) is found
    assert dispatch(office.context) == 0


def test_a_second_message_does_nothing(office: Office):
    office.submit()
    job_id, token = office.dispatched()
    seen = []

    def work(_context: Context, job: JobHandle) -> dict[str, Any]:
        seen.append(job.token)
        # It comes again while the work is under way...
        assert jobs.run(office.context, job_id, token, work) == "taken"
        return {}

    assert jobs.run(office.context, job_id, token, work) == "succeeded"
    # ... and after its end.
    assert jobs.run(office.context, job_id, token, work) == "taken"
    assert len(seen) == 1
    assert jobs.run(office.context, uuid.uuid4(), token, work) == "taken"


def test_a_job_is_dispatched_once_until_its_lease_is_over(office: Office):
    job_id = office.submit()
    first = office.dispatched()
    assert dispatch(office.context) == 0
    office.clock.advance(LEASE)
    second = office.dispatched()
    assert first[0] == second[0] == job_id
    assert jobs.run(office.context, *first, nothing) == "taken"
    assert jobs.run(office.context, *second, nothing) == "succeeded"


def test_work_keeps_its_lease_and_tells_how_far_it_is(office: Office):
    job_id = office.submit()

    def work(_context: Context, job: JobHandle) -> dict[str, Any]:
        for step in (1, 2):
            office.clock.advance(LEASE)
            job.progress(step, 2, "under way")
            wait_until(
                lambda n=step: jobs.view(office.context, job_id).progress_done == n, "the progress"
            )
            assert dispatch(office.context) == 0  # the lease went along with the clock
        return {}

    assert office.run(work) == "succeeded"


def test_a_worker_that_lost_its_lease_stops_and_changes_nothing(office: Office):
    job_id = office.submit()

    def late(_context: Context, job: JobHandle) -> dict[str, Any]:
        # While this process slept, the lease ran out and another worker did the job.
        with office.context.transaction() as session:
            session.execute(
                text("UPDATE jobs SET ready_at = :t, lease_token = :other WHERE job_id = :j"),
                {"t": NOW, "other": uuid.uuid4(), "j": job_id},
            )
        assert office.run(lambda *_: {"by": "another"}) == "succeeded"
        for _ in range(2_000):
            job.progress(1, 2, "still at it")
            threading.Event().wait(0.02)
        return {"by": "me"}

    assert office.run(late) == "taken"
    assert jobs.view(office.context, job_id).result == {"by": "another"}


def test_a_late_end_changes_nothing(office: Office):
    job_id = office.submit()
    job_and_token = office.dispatched()

    def late(_context: Context, job: JobHandle) -> dict[str, Any]:
        with office.context.transaction() as session:
            rows.finish(session, job.job_id, job.token, "succeeded", now=NOW, result={"first": 1})
        return {"second": 2}

    assert jobs.run(office.context, *job_and_token, late) == "taken"
    assert jobs.view(office.context, job_id).result == {"first": 1}


def test_a_waiting_job_is_cancelled_at_once(office: Office):
    job_id = office.submit()
    assert jobs.cancel(office.context, job_id) == "cancelled"
    assert dispatch(office.context) == 0
    found = jobs.view(office.context, job_id)
    assert (found.state, found.finished_at) == ("cancelled", NOW)
    with pytest.raises(PermanentError, match="the job was cancelled"):
        jobs.succeeded(found)
    assert jobs.cancel(office.context, job_id) == "cancelled"


def test_a_running_job_learns_that_it_is_cancelled(office: Office):
    job_id = office.submit()

    def work(_context: Context, job: JobHandle) -> dict[str, Any]:
        assert jobs.cancel(office.context, job_id) == "running"
        for _ in range(2_000):
            job.check()
            threading.Event().wait(0.02)
        raise AssertionError("it was never told")

    assert office.run(work) == "cancelled"
    assert office.state(job_id) == "cancelled"


@pytest.mark.parametrize("taken", [True, False])
def test_a_cancelled_job_whose_worker_is_gone_is_not_started_again(office: Office, taken: bool):
    job_id = office.submit()
    job_and_token = office.dispatched()
    if taken:
        with office.context.transaction() as session:
            assert rows.take(session, *job_and_token, until=NOW + LEASE) is not None
    assert jobs.cancel(office.context, job_id) == "running"
    office.clock.advance(LEASE)
    assert dispatch(office.context) == 0
    assert office.state(job_id) == "cancelled"


def test_a_failure_in_passing_is_tried_again_and_in_the_end_given_up(office: Office):
    job_id = office.submit()

    def work(_context: Context, _job: JobHandle) -> dict[str, Any]:
        raise TransientError("the store is away", reason="storeFailed", hint="look at the disk")

    for attempt in (1, 2):
        assert office.run(work) == "queued"
        found = jobs.view(office.context, job_id)
        assert found.waiting_until == office.clock.now + MINUTE
        assert found.progress_message is not None
        assert found.progress_message.endswith("the store is away"), attempt
        assert dispatch(office.context) == 0
        office.clock.advance(MINUTE)
    assert office.run(work) == "failed"
    found = jobs.view(office.context, job_id)
    assert (found.error_reason, found.error_message) == (
        "storeFailed",
        "the store is away (look at the disk)",
    )
    with pytest.raises(PermanentError) as caught:
        jobs.succeeded(found)
    assert caught.value.reason == "storeFailed"


def test_a_job_that_recovers_shows_nothing_of_the_failure(office: Office):
    job_id = office.submit()

    def work(_context: Context, _job: JobHandle) -> dict[str, Any]:
        raise TransientError("the store is away", reason="storeFailed")

    office.run(work)
    office.clock.advance(MINUTE)
    assert office.run(nothing) == "succeeded"
    found = jobs.view(office.context, job_id)
    assert (found.waiting_until, found.progress_message) == (None, None)
    assert (found.error_reason, found.error_message) == (None, None)


def test_a_used_up_quota_is_waited_for(office: Office):
    job_id = office.submit()
    midnight = NOW + timedelta(hours=19)

    def work(_context: Context, _job: JobHandle) -> dict[str, Any]:
        raise QuotaError("nothing left today", reset_at=midnight)

    assert office.run(work) == "queued"
    assert jobs.view(office.context, job_id).waiting_until == midnight


def test_a_job_that_is_cancelled_while_it_fails_in_passing_ends(office: Office):
    job_id = office.submit()

    def work(_context: Context, _job: JobHandle) -> dict[str, Any]:
        jobs.cancel(office.context, job_id)
        raise TransientError("the store is away", reason="storeFailed")

    assert office.run(work) == "cancelled"
    assert office.state(job_id) == "cancelled"


@pytest.mark.parametrize(
    ("error", "reason", "line"),
    [
        (UsageError("nothing to compare", hint="train first"), "usage", "compare (train first)"),
        (PermanentError("no such dataset", reason="gone"), "gone", "no such dataset"),
        (BlockedError("refused", reason="http403"), "http403", "refused"),
    ],
)
def test_an_expected_failure_is_one_line_in_the_row(
    office: Office, error: Exception, reason: str, line: str
):
    job_id = office.submit()

    def work(_context: Context, _job: JobHandle) -> dict[str, Any]:
        raise error

    assert office.run(work) == "failed"
    found = jobs.view(office.context, job_id)
    assert found.error_reason == reason
    assert found.error_message is not None
    assert found.error_message.endswith(line)
    assert found.finished_at == NOW


def test_a_defect_is_recorded_and_still_raised(office: Office):
    job_id = office.submit()

    def work(_context: Context, _job: JobHandle) -> dict[str, Any]:
        return {}["missing"]  # type: ignore[no-any-return]

    with pytest.raises(KeyError):
        office.run(work)
    found = jobs.view(office.context, job_id)
    assert (found.state, found.error_reason) == ("failed", "defect")
    assert found.error_message == "KeyError: 'missing'"


def test_a_job_that_kills_its_workers_fails(office: Office):
    job_id = office.submit()
    for _ in range(rows.MAX_ATTEMPTS):
        with office.context.transaction() as session:
            taken = rows.take(session, *office.dispatched(), until=office.clock.now + LEASE)
            assert taken is not None
        office.clock.advance(LEASE)
    assert dispatch(office.context) == 0
    found = jobs.view(office.context, job_id)
    assert (found.state, found.error_reason) == ("failed", "workerLost")


def test_a_job_that_waits_long_behind_another_is_not_given_up(office: Office):
    office.submit()
    for _ in range(10):
        office.dispatched()
        office.clock.advance(LEASE)
    assert office.run(nothing) == "succeeded"


def test_a_job_is_found_by_how_its_id_begins(office: Office):
    first, second = office.submit(), office.submit()
    assert jobs.find(office.context, str(first)).job_id == str(first)
    for prefix, problem in (("", "more than one job"), ("not-there", "no job")):
        with pytest.raises(UsageError, match=problem):
            jobs.find(office.context, prefix)
    with pytest.raises(UsageError):
        jobs.view(office.context, uuid.uuid4())
    with pytest.raises(UsageError):
        jobs.cancel(office.context, uuid.uuid4())
    assert {job.job_id for job in jobs.newest(office.context)} == {str(first), str(second)}
    assert len(jobs.newest(office.context, limit=1)) == 1


def test_a_job_can_be_watched_to_its_end(office: Office):
    job_id = office.submit()
    seen = []
    for standing in waiting.follow(office.context, job_id, pause=lambda _s: None):
        seen.append(standing.job.state)
        if standing.job.state == "queued":
            office.run(nothing)
    assert seen == ["queued", "succeeded"]
    as_json = jobs.view(office.context, job_id).as_json()
    assert datetime.fromisoformat(as_json["finished_at"]) == NOW
