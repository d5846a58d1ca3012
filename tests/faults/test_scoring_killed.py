"""Workers killed at random moments of a scoring, and its database away: the scores are the same."""

import random
import select
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from services.context import Context
from services.embedded import Endpoints
from services.errors import InfrastructureError
from services.learning.thumbnails import scoring
from services.learning.thumbnails import shards as thumbnail_shards
from tests.support.embedded import Python
from tests.support.scoring import LATER, VIDEOS, Scene, World, same, scene, worker, world

KILLS, WORKERS = 20, 3
ALL = VIDEOS + LATER


@pytest.fixture(scope="module")
def learned(endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(endpoints, tmp_path_factory.mktemp("killed-world")) as made:
        yield made


@pytest.fixture(scope="module")
def undisturbed(
    learned: World, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[object, ...]]:
    with scene(learned, tmp_path_factory.mktemp("calm"), "test_scoring_calm") as made:
        assert made.score().state == "succeeded"
        return made.scores()


@dataclass
class Crew:
    """Workers in processes of their own, started again as they are killed."""

    scene: Scene
    stack: ExitStack
    draw: random.Random
    workers: list[Python] = field(default_factory=list)
    kills: int = 0

    def start(self) -> None:
        made = worker(self.scene.context, rows=8, chunk=4, read_s=0.4)
        self.workers.append(self.stack.enter_context(made))

    def kill_one(self) -> None:
        """Kill one of those that work, if all do, and start another.

        On a busy machine one takes long to start. While it is alone all kills would be its, and
        whatever it has would rightly be taken for what workers die of.
        """
        working = [one for one in self.workers if self.is_ready(one)]
        if len(working) == WORKERS:
            victim = self.draw.choice(working)
            self.workers.remove(victim)
            victim.process.kill()
            victim.process.communicate()
            self.kills += 1
            self.start()

    def begun(self) -> object:
        """When a shard was begun last, or planned."""
        return self.scene.sql("SELECT max(begun_at), count(*) FROM shards")

    def is_ready(self, one: Python) -> bool:
        assert one.process.stdout is not None
        return bool(select.select([one.process.stdout], [], [], 0)[0])


@pytest.mark.slow
@pytest.mark.timeout(3_000)
def test_three_workers_killed_twenty_times_write_what_nobody_disturbed_writes(
    learned: World, undisturbed: list[tuple[object, ...]], tmp_path: Path
):
    with (
        scene(learned, tmp_path, "test_scoring_killed", lease_seconds=6.0) as made,
        ExitStack() as stack,
    ):
        crew = Crew(made, stack, random.Random(11))
        for _ in range(WORKERS):
            crew.start()
        while crew.kills < KILLS:
            made.sql("DELETE FROM scores")
            made.sql("DELETE FROM current_scores")
            job_id = made.submit()
            deadline = time.monotonic() + 900
            begun = crew.begun()
            while not made.view(job_id).ended:
                # Somewhere within the shard that was begun last, or just before.
                if crew.kills < KILLS and crew.begun() != begun:
                    time.sleep(crew.draw.uniform(0, 1.5))
                    crew.kill_one()
                    begun = crew.begun()
                time.sleep(0.05)
                assert time.monotonic() < deadline, made.shard_states()
            ended = made.view(job_id)
            assert ended.state == "succeeded", ended.error_message
            assert ended.result is not None
            assert "set_aside" not in ended.result
            assert ended.result["scored"] == ALL
            same(made.scores(), undisturbed)


class AwayContext(Context):
    """One whose database is away when a test says so."""

    away = threading.Event()

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        if self.away.is_set():
            raise InfrastructureError("the database is away", reason="databaseUnavailable")
        with super().transaction() as session:
            yield session


def test_a_database_that_is_away_while_scores_are_written_only_delays(
    learned: World,
    undisturbed: list[tuple[object, ...]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(scoring, "SHARD_ROWS", 64)
    monkeypatch.setattr(thumbnail_shards, "CHUNK", 16)
    with scene(learned, tmp_path, "test_scoring_away") as made:
        away = AwayContext(made.context.settings, made.clock)
        away.__dict__["queue"] = made.queue
        job_id = made.submit()
        made.begin(job_id)
        [message, *_] = made.tick()
        write = thumbnail_shards._write
        failures = 0

        def lost(context: Context, *args: object) -> None:
            """The second chunk finds no database, three times."""
            nonlocal failures
            written = made.sql("SELECT sum(n_done) FROM shards")[0][0]
            if written >= 16 and failures < 3:
                failures += 1
                away.away.set()
            try:
                write(context, *args)  # type: ignore[arg-type]
            finally:
                away.away.clear()

        monkeypatch.setattr(thumbnail_shards, "_write", lost)
        monkeypatch.setattr("services.work.jobs.BETWEEN_TRIES_S", 0.05)
        assert made.work(message, away) == "done"
        assert failures == 3
        ended = made.go_on(job_id)
        assert (ended.state, (ended.result or {})["scored"]) == ("succeeded", ALL)
        same(made.scores(), undisturbed)
        away.close()
