"""Scoring of few and of many: as much memory, and nothing to do the second time.

Pictures come with image features that are kept, as nearly all do on a night with a new champion:
the network would take hours. ``--full`` also has some that are new to the network.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measure import Measurement
from services import embedded
from services.context import Context
from services.emulator.synthetic import synthetic_catalog
from services.settings import Settings
from tests.support import many_to_score, report, speech_jobs
from tests.support.memory import peak_megabytes
from tests.support.scoring import NOW

FEW, MANY, FULL_MANY = 2_000, 10_000, 100_000
NEW_FEW, NEW_MANY = 1_000, 4_000
SPOKEN_FEW, SPOKEN_MANY, FULL_SPOKEN = 250, 1_250, 10_000
BUDGET = 1.1
LEARNED = 128
Add = Callable[[Context, range], None]


def measure(*, full: bool) -> list[Measurement]:
    """Score few, then many more, then all of them once more, each in a process of its own."""
    kept = partial(many_to_score.add_pictures, keep_features=True)
    new = partial(many_to_score.add_pictures, keep_features=False)
    speech = many_to_score.add_segments
    with _place() as place:
        few, many = place.grown("thumbnails", kept, FEW, FULL_MANY if full else MANY)
        found = [_flat("pictures, features kept", few, many), _twice("pictures", place, many)]
        if full:
            few, many = place.grown("thumbnails", new, NEW_FEW, NEW_MANY)
            found.append(_flat("pictures new to the network", few, many))
        few, many = place.grown("speech", speech, SPOKEN_FEW, FULL_SPOKEN if full else SPOKEN_MANY)
        return [*found, _flat("speech segments", few, many), _twice("segments", place, many)]


@dataclass(frozen=True)
class _Scored:
    """What a job did in a process of its own.

    Attributes:
        task: ``thumbnails`` or ``speech``.
        n: How many waited for it.
        megabytes: The process's peak.
        read: Objects that were read, each as often as it was.
        rows: Scores that there were afterwards.
        changed: Whether any of them was written.
    """

    task: str
    n: int
    megabytes: float
    read: int
    rows: int
    changed: bool


@dataclass
class _Place:
    context: Context
    folder: Path
    n: int = 0

    def grown(self, task: str, add: Add, few: int, many: int) -> tuple[_Scored, _Scored]:
        """Add few and have them scored, then many."""
        return self._added(task, add, few), self._added(task, add, many)

    def _added(self, task: str, add: Add, n: int) -> _Scored:
        add(self.context, range(self.n, self.n + n))
        self.n += n
        scored = self.score(task, n)
        assert scored.read >= n, f"{n} were added, {scored.read} read"
        return scored

    def score(self, task: str, n: int) -> _Scored:
        """Score what lacks a score, in a process of its own."""
        settings = self.context.settings.model_dump_json(exclude_defaults=True)
        noted = self.folder / "noted.json"
        peak = peak_megabytes(many_to_score.WORK, settings, task, noted)
        said: dict[str, Any] = json.loads(noted.read_text("utf-8"))
        return _Scored(task, n, peak, said["read"], said["rows"], said["changed"])


def _flat(what: str, few: _Scored, many: _Scored) -> Measurement:
    return Measurement(
        f"memory of scoring {many.n:,} {what}",
        f"{many.megabytes:.0f} MB",
        f"{few.n:,} of them, {few.megabytes:.0f} MB",
        many.megabytes / few.megabytes,
        at_most=BUDGET,
    )


def _twice(what: str, place: _Place, many: _Scored) -> Measurement:
    again = place.score(many.task, many.n)
    assert not again.changed, "scores were written anew"
    return Measurement(
        f"{what} read when all of them are scored a second time",
        f"{again.read} read, no row of {again.rows:,} written",
        f"the first time, {many.read:,} read",
        again.read,
        at_most=0,
    )


@contextmanager
def _place() -> Iterator[_Place]:
    """A home where models of both tasks have learned a little."""
    with tempfile.TemporaryDirectory(prefix="tubegrader-bench-") as made:
        settings = Settings(home=Path(made) / "home")
        with embedded.stack(settings, durable=False) as endpoints:
            applied = endpoints.applied_to(settings)
            as_owner = applied.model_copy(update={"database_url": endpoints.owner_url})
            with closing(Context(as_owner, lambda: NOW)) as context:
                world = synthetic_catalog(seed=4, epoch=NOW, channels=32, videos=LEARNED)
                report.store_world(context, world)
                report.learn(context, config=replace(report.SMALL, backbone=True))
                speech_jobs.collect_all(context)
                trained = speech_jobs.run(context, "train")
                assert trained.state == "succeeded", trained.error_message
                speech_jobs.run(context, "score")
                yield _Place(context, Path(made))
