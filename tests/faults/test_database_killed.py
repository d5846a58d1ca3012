"""PostgreSQL killed in the middle of each step of a night, of an import and of an export.

``kill -9`` of the server right before a commit, and started again as a supervisor would: whatever
is under way is late, and neither lost, doubled, nor a failure.
"""

import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from db import migrate
from db.queries.work import jobs as rows
from services import embedded
from services.context import Context
from services.embedded import postgres
from services.embedded.home import Home
from services.errors import InfrastructureError
from services.learning import pipeline
from services.settings import Settings
from services.transfer.export import export
from services.transfer.importing import import_folder
from services.work import jobs
from tests.support.databases import EMPTY, own_database, owned
from tests.support.embedded import recorded
from tests.support.training import collected, models

STEPS = ("train", "score", "compare", "promote")


class FrailContext(Context):
    """One whose database is killed before a commit of this thread, when a test says so."""

    dies: Callable[[], bool] = staticmethod(lambda: False)
    killed = 0

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        with super().transaction() as session:
            yield session
            if threading.current_thread() is threading.main_thread() and self.dies():
                self.kill()

    def kill(self) -> None:
        home = Home(self.settings.home)
        recorded(home.path, "postgres").stop(signal.SIGKILL, 10)
        self.killed += 1
        again = postgres.start(home, durable=True)
        assert again.url.rpartition("/")[0] in str(self.settings.database_url), "where it was"


@pytest.fixture
def frail(tmp_path: Path) -> Iterator[FrailContext]:
    settings = Settings(home=tmp_path / "home")
    with embedded.stack(settings, durable=True) as endpoints:
        context = FrailContext(endpoints.applied_to(settings))
        collected(context, channels=32, videos=160)
        yield context
        context.close()


def night(context: Context) -> uuid.UUID:
    return jobs.submit(context, "retrain", {"task": "thumbnails", "backbone": False})


def go_on(context: Context, job_id: uuid.UUID) -> jobs.JobView:
    """Do a job to its end, taking it again each time that it waits to be tried again."""
    for _ in range(20):
        later = context.clock() + timedelta(hours=2)
        with context.transaction() as session:
            claimed = rows.claim(
                session, kinds=["retrain"], limit=1, now=later, lease=context.lease
            )
            token = claimed[0].lease_token
        assert token is not None
        jobs.run(context, job_id, token, pipeline.retrain)
        view = jobs.view(context, job_id)
        if view.ended:
            return view
        assert view.state in ("queued", "running"), view  # or it waits for a shard of its own
    raise AssertionError("it is tried again without end")


def count(context: Context, table: str) -> int:
    with context.engine.connect() as connection:
        found: int = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
        return found


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_night_goes_on_after_its_database_died_in_every_step(frail: FrailContext):
    job_id = night(frail)
    died: set[tuple[str, ...]] = set()
    asked = 0

    def dies() -> bool:
        """Once in each step: before its fourth commit."""
        nonlocal asked
        with closing(Context(frail.settings)) as watching:
            done = tuple(sorted(jobs.view(watching, job_id).steps))
        asked = 0 if done in died else asked + 1
        if asked < 4 or done in died:
            return False
        died.add(done)
        asked = 0
        return True

    frail.dies = dies  # type: ignore[method-assign]
    ended = go_on(frail, job_id)
    frail.dies = lambda: False  # type: ignore[method-assign]
    assert (ended.state, ended.error_message) == ("succeeded", None)
    assert frail.killed >= len(STEPS) - 1, died
    made = models(frail, job_id)
    scores, evaluations = count(frail, "scores"), count(frail, "evaluations")
    # Another night on the same data, with nothing in its way, comes to the same.
    undisturbed = go_on(frail, night(frail))
    assert undisturbed.state == "succeeded"
    assert undisturbed.result is not None
    assert undisturbed.result["train"]["trained"] is False, "the same dataset: nothing to train"
    assert models(frail, job_id) == made != {}
    assert count(frail, "scores") == scores
    assert count(frail, "evaluations") >= evaluations


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_export_and_an_import_are_whole_or_not_there(frail: FrailContext, tmp_path: Path):
    tables = ("channels", "videos", "video_snapshots", "thumbnails", "video_thumbnails")
    whole = {table: count(frail, table) for table in tables}
    calls, at = 0, 0

    def dies() -> bool:
        nonlocal calls
        calls += 1
        return calls == at

    def until_it_lives(
        context: FrailContext, work: Callable[[], object], left: Callable[[], object]
    ) -> None:
        """Kill at the first commit, at the second, … until there are no more of them."""
        nonlocal calls, at
        context.dies = dies  # type: ignore[method-assign]
        for at in range(1, 30):
            calls, nothing = 0, left()
            try:
                work()
            except InfrastructureError:
                assert left() == nothing, "half of it is there"
            else:
                context.dies = lambda: False  # type: ignore[method-assign]
                assert at > 1, "the database was never killed"
                return
        raise AssertionError("it does not end")

    folder = tmp_path / "exported"
    until_it_lives(
        frail, lambda: export(frail, folder), lambda: sorted(tmp_path.glob("*exported*"))
    )
    address = str(frail.settings.database_url)
    with own_database(address, "other", template=EMPTY) as url:
        migrate.upgrade(owned(url))
        other = FrailContext(
            frail.settings.model_copy(
                update={"database_url": url, "storage_url": f"file://{tmp_path}/other"}
            )
        )
        until_it_lives(
            other,
            lambda: import_folder(other, folder),
            lambda: [count(other, table) for table in tables],
        )
        assert {table: count(other, table) for table in tables} == whole
        other.close()
