"""Pictures scored end to end, against the same models in memory, DataLoader and Ray Data.

Ray is no dependency. To hold it against ours, bring it in an interpreter of its own:

    python3 -m venv /tmp/ray && /tmp/ray/bin/pip install 'ray[data]'
    RAY_PYTHON=/tmp/ray/bin/python python -m benchmarks peers
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import text

from benchmarks.measure import Measurement, Median
from benchmarks.peer_model import PeerModel, decode, describe
from db.queries.learning import unscored
from db.queries.work import jobs as job_rows
from ml.runtime.files import file_sha256
from ml.thumbnails.backbones.embeddings import RECIPE, WIDTH
from ml.thumbnails.backbones.weights import wheel_file
from ml.thumbnails.features.catalogue import FEATURES, MEASUREMENT_VERSION
from services import embedded
from services.context import Context
from services.emulator.synthetic import synthetic_catalog
from services.learning.thumbnails import scoring
from services.packs import Packs
from services.settings import Settings
from services.work import jobs
from tests.support.report import SMALL, learn, store_world
from tests.support.scoring import NOW

LEARNED, SCORED, FULL_SCORED = 128, 128, 1_024
KEPT, AT_ONCE, PACKED = 1_024, 256, 64
"""Pictures whose features are kept: a few would pay for a job's plan and shards alone. A pack holds
as many as are decoded at a time."""
ROUNDS, FULL_ROUNDS = 3, 7
BATCH = 32
RAY_PYTHON = os.environ.get("RAY_PYTHON", sys.executable)
"""An interpreter that has Ray; ours need not."""
IN_MEMORY, OF_RAY, AGAIN = 0.85, 1.2, 20.0
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Spent:
    """Seconds a picture: on the clock, and of processors."""

    wall_s: float
    processor_s: float


Side = Callable[[], Spent]


def measure(*, full: bool) -> list[Measurement]:
    """Score the same pictures in each way in turn."""
    with _world(FULL_SCORED if full else SCORED) as (context, folder, kept):
        model = PeerModel(folder)
        sides: dict[str, Side] = {
            "ours": partial(_ours, context, model.names, new=True),
            "the same computations on arrays in memory": _in_memory(model, folder),
            "a DataLoader loop": partial(_data_loader, model, folder),
            "a DataLoader loop, torch": partial(
                _data_loader, PeerModel(folder, "torch"), folder
            ),
            "ours again": partial(_ours, context, kept, new=False),
        }  # fmt: skip
        if _has_ray():
            sides["Ray Data"] = partial(_ray, folder, "compiled")
            sides["Ray Data, torch"] = partial(_ray, folder, "torch")
        else:
            print("  no Ray: RAY_PYTHON names no interpreter that has it", file=sys.stderr)
        spent = _in_turn(sides, FULL_ROUNDS if full else ROUNDS)
    return list(_measurements(spent))


def _measurements(spent: dict[str, list[Spent]]) -> Iterator[Measurement]:
    for kind, unit in (("processor_s", "CPU ms"), ("wall_s", "ms")):
        of = {
            name: 1000 * Median([getattr(one, kind) for one in found])
            for name, found in spent.items()
        }
        what = f"a picture scored end to end, {'processor' if unit == 'CPU ms' else 'clock'}"
        ours, again = of.pop("ours"), of.pop("ours again")
        for name, theirs in of.items():
            # What the clock says of two who share cores with others is for information.
            budget = {"the same computations on arrays in memory": IN_MEMORY, "Ray Data": OF_RAY}
            yield Measurement(
                what,
                f"{ours:.1f} {unit}",
                f"{name}, {theirs:.1f} {unit}",
                theirs / ours,
                at_least=budget.get(name),
            )
        yield Measurement(
            f"{what}, features kept and a new model",
            f"{again:.1f} {unit}",
            f"new pictures, {ours:.1f} {unit}",
            ours / again,
            at_least=AGAIN,
        )


@contextmanager
def _world(videos: int) -> Iterator[tuple[Context, Path, list[str]]]:
    """A database whose models use the pretrained network, and videos that wait for scores.

    With it come a peer's folder and the pictures of further videos, whose features are kept.
    """
    with tempfile.TemporaryDirectory(prefix="tubegrader-bench-") as made, ExitStack() as stack:
        folder = Path(made)
        settings = Settings(home=folder / "home")
        endpoints = stack.enter_context(embedded.stack(settings, durable=False))
        applied = endpoints.applied_to(settings)
        as_owner = applied.model_copy(update={"database_url": endpoints.owner_url})
        context = stack.enter_context(closing(Context(as_owner, lambda: NOW)))
        store_world(context, synthetic_catalog(seed=4, epoch=NOW, channels=32, videos=LEARNED))
        learn(context, config=replace(SMALL, backbone=True))
        with context.transaction() as session:
            known = set(session.scalars(text("SELECT video_id FROM videos")))
        store_world(context, synthetic_catalog(seed=5, epoch=NOW, channels=8, videos=videos))
        with context.transaction() as session:
            models = list(session.scalars(text("SELECT model_version_id FROM model_versions")))
            everything = list(session.scalars(text("SELECT video_id FROM videos")))
            asked = [video_id for video_id in everything if video_id not in known]
            rows = unscored.to_score(session, asked, model_version_ids=models, now=NOW)
        (folder / "peer").mkdir()
        describe(folder / "peer", context, models, rows)
        yield context, folder / "peer", _with_features(context)


def _with_features(context: Context) -> list[str]:
    """Store more videos, and features for their pictures; what they are takes no longer or less."""
    shown = text(
        "SELECT DISTINCT thumbnail_sha256 FROM video_thumbnails WHERE thumbnail_sha256 IS NOT NULL"
    )
    with context.transaction() as session:
        before = set(session.scalars(shown))
    for seed in range(KEPT // AT_ONCE):
        store_world(
            context, synthetic_catalog(seed=6 + seed, epoch=NOW, channels=8, videos=AT_ONCE)
        )
    with context.transaction() as session:
        names = sorted(set(session.scalars(shown)) - before)
    random, packs = np.random.default_rng(0), Packs(context)
    recipes = {
        f"{RECIPE}-{file_sha256(wheel_file())[:16]}": WIDTH,
        f"measurements-v{MEASUREMENT_VERSION}": len(FEATURES),
    }
    for recipe, width in recipes.items():
        for start in range(0, len(names), PACKED):
            some = names[start : start + PACKED]
            packs.put(recipe, some, random.normal(size=(len(some), width)).astype(np.float16))
    return names


def _in_turn(sides: dict[str, Side], rounds: int) -> dict[str, list[Spent]]:
    """Measure in turn, so that a busy moment hits all; the first round warms up."""
    found: dict[str, list[Spent]] = {name: [] for name in sides}
    for turn in range(rounds + 1):
        for name, side in sides.items():
            spent = side()
            if turn:
                found[name].append(spent)
            print(f"  {name}: {spent}", file=sys.stderr, flush=True)
    return found


def _timed(work: Callable[[], object], n: int, beside: Callable[[], float] = lambda: 0.0) -> Spent:
    used, started = time.process_time() + beside(), time.perf_counter()
    work()
    took = time.perf_counter() - started
    return Spent(took / n, (time.process_time() + beside() - used) / n)


def _ours(context: Context, names: Sequence[str], *, new: bool) -> Spent:
    """Do a scoring job from its plan to the last row, the database's processes counted, too."""
    of_these = (
        "WHERE video_id IN (SELECT video_id FROM video_thumbnails WHERE thumbnail_sha256 = ANY(:n))"
    )
    with context.engine.begin() as connection:
        for table in ("scores", "current_scores"):
            connection.execute(text(f"DELETE FROM {table} {of_these}"), {"n": list(names)})
        if new:
            kept = "DELETE FROM embeddings WHERE encode(picture, 'hex') = ANY(:n)"
            connection.execute(text(kept), {"n": list(names)})

    def work() -> None:
        job_id = jobs.submit(context, "score", {})
        with context.transaction() as session:
            (job,) = job_rows.claim(
                session, kinds=["score"], limit=1, now=context.clock(), lease=context.lease
            )
        assert job.lease_token is not None
        assert jobs.run(context, job_id, job.lease_token, scoring.score_in_use) == "succeeded"

    spent = _timed(work, len(names), partial(_of_database, context))
    scored = text(
        "SELECT count(DISTINCT thumbnail_sha256) FROM scores WHERE thumbnail_sha256 = ANY(:n)"
    )
    with context.transaction() as session:
        found = session.execute(scored, {"n": list(names)}).scalar_one()
    assert found == len(set(names)), f"{found} of {len(names)} scored"
    return spent


def _of_database(context: Context) -> float:
    """Return what the database's processes have had of processors."""
    with context.transaction() as session:
        pids = list(session.scalars(text("SELECT pid FROM pg_stat_activity")))
    paths = [Path(f"/proc/{pid}/schedstat") for pid in pids]
    return sum(int(path.read_text().split()[0]) for path in paths if path.exists()) / 1e9


def _in_memory(model: PeerModel, folder: Path) -> Side:
    """Have everything decoded before."""
    decoded = [decode((folder / "pictures" / name).read_bytes()) for name in model.names]
    batches = [
        _collated(list(enumerate(decoded))[start : start + BATCH])
        for start in range(0, len(decoded), BATCH)
    ]

    def score() -> None:
        for places, arrays in batches:
            model.score(places, arrays)

    return lambda: _timed(score, len(decoded))


def _data_loader(model: PeerModel, folder: Path) -> Spent:
    """Read and decode in a process of its own, as torch does, and score batch by batch."""
    from torch.utils.data import DataLoader

    names = model.names
    files = [folder / "pictures" / name for name in names]
    pictures: Any = _Pictures(files)
    loader: Any = DataLoader(
        pictures, batch_size=BATCH, num_workers=1, collate_fn=_collated,
    )  # fmt: skip

    def score() -> None:
        for places, arrays in loader:
            model.score(places, arrays)

    before = os.times()
    spent = _timed(score, len(names))
    after = os.times()
    children = (after[2] + after[3] - before[2] - before[3]) / len(names)
    return replace(spent, processor_s=spent.processor_s + children)


class _Pictures:
    """A dataset as DataLoader takes it."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, place: int) -> tuple[int, dict[str, Any]]:
        return place, decode(self.files[place].read_bytes())


def _collated(items: list[tuple[int, dict[str, Any]]]) -> tuple[list[int], dict[str, Any]]:
    places = [place for place, _ in items]
    return places, {key: np.stack([decoded[key] for _, decoded in items]) for key in items[0][1]}


def _has_ray() -> bool:
    argv = [RAY_PYTHON, "-c", "import ray.data"]
    return subprocess.run(argv, check=False, capture_output=True, env=_ray_env()).returncode == 0


def _ray(folder: Path, runtime: str) -> Spent:
    argv = [RAY_PYTHON, "-m", "benchmarks.peer_ray", str(folder), runtime, "4"]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, env=_ray_env())
    if done.returncode:
        raise RuntimeError(f"Ray failed: {done.stderr[-2000:]}")
    return Spent(**json.loads(done.stdout.splitlines()[-1]))


def _ray_env() -> dict[str, str]:
    """Let Ray's interpreter find our packages: both sides have the same runtimes."""
    ours = [path for path in sys.path if path.endswith("site-packages")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *ours]),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "disabled",
        "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    }
