"""How the whole stands, as Prometheus reads it: everything here follows from the database.

One process of an installation tells it, whichever is asked; what each process did itself is counted
there (:mod:`services.metrics`). Nothing reads a table that grows from its beginning to its end, and
answers are remembered for a while: whoever asks more often gets the same once more.
"""

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.orm import Session

from db.models.learning import TASKS
from db.queries.policy import sizes as size_rows
from db.queries.work import breakers, figures, overview
from db.queries.work import fleet as fleet_rows
from db.queries.work import quota as quota_rows
from services.context import Context
from services.crawl.spending import spending
from services.errors import TubeGraderError
from services.metrics.recording import PREFIX
from services.queue import CRAWL, DISPATCHER, QUEUES
from services.work import admission, fleet, pauses
from services.work.kinds import HOSTS, JOB_KINDS, WORK_KINDS

REMEMBERED_S: Final = 10.0
SLOWLY_S: Final = 60.0
"""For so long is remembered what takes longer to find out, or costs somebody else something."""
LATE: Final = timedelta(minutes=15)
LATELY: Final = timedelta(hours=1)
SILENT_S: Final = 60.0
GONE_S: Final = 3_600.0
FIGURES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "database_up": ("Whether the database answers: 1, or 0.", ()),
    "broker_up": ("Whether Redis answers.", ()),
    "store_up": ("Whether the object store takes, returns and deletes an object.", ()),
    "oldest_due_seconds": ("For how long the oldest item has been due.", ("kind",)),
    "late_items": ("Items due for a quarter of an hour, counted up to 10,000.", ("kind",)),
    "queue_messages": ("Messages that wait for a worker.", ("queue",)),
    "dispatch_age_seconds": ("How long ago a dispatcher last handed out what was due.", ()),
    "workers": ("Processes that are heard of and take work.", ("role",)),
    "unfit_workers": ("Workers that take nothing: their machine lacks it.", ("role",)),
    "silent_processes": ("Processes not heard of for a minute that did not say that they end.", ()),
    "hanging_chores": (
        "Dispatchers at something for too long, or that ended for it within the hour.",
        (),
    ),
    "held_back": ("What holds work back.", ("kind", "what")),
    "kind_held_back": ("Whether nothing of a kind may be claimed now: 1, or 0.", ("kind",)),
    "breaker_open": ("Whether a host is asked nothing for a while: 1, or 0.", ("host",)),
    "quota_used_units": ("Units booked on this Pacific day.", ("bucket", "purpose")),
    "quota_limit_units": ("Units that a Pacific day has.", ("bucket",)),
    "quota_planned_units": ("Units that a day will cost, as of the last upkeep.", ("bucket",)),
    "quota_exhausted": ("Whether nothing of a bucket is left until the reset.", ("bucket",)),
    "jobs": ("Jobs that have not ended.", ("state",)),
    "job_oldest_seconds": (
        "For how long the oldest job is queued or runs that could go on.",
        ("kind", "state"),
    ),
    "jobs_failed": ("Jobs that failed within the last hour.", ("kind",)),
    "schedule_late_seconds": ("By how much a schedule's next slot is past.", ("schedule",)),
    "champion_age_seconds": ("How long ago the model in use was trained.", ("task",)),
    "training_age_seconds": ("How long ago any model of the task was trained.", ("task",)),
    "retraining_scheduled": ("Whether a schedule retrains: 1, or 0.", ()),
    "drift_found": ("Whether the newest report found drift: 1, or 0.", ()),
    "drift_age_seconds": ("How old that report is.", ()),
    "table_bytes": ("What tables take, with their indexes.", ("table",)),
    "store_bytes": ("What objects take, as of the last upkeep.", ("what",)),
    "growth_bytes_per_day": ("How much everything grew a day of late.", ()),
    "disk_free_bytes": ("Room on the disk of what is kept on this machine.", ("what",)),
    "disk_bytes": ("Size of that disk.", ("what",)),
    "connections": ("Connections of the database server, of all databases.", ()),
    "connections_limit": ("How many it admits.", ()),
}
"""Each figure's meaning and labels, by name without the prefix. All of them are gauges."""
_Values = dict[str, dict[tuple[str, ...], float]]


@dataclass(eq=False)
class Standing(Collector):
    """Reads the figures of one installation.

    Attributes:
        context: The database and all else.
        remembered_s: For how long an answer is remembered.
        slowly_s: The same of what is looked at less often.
    """

    context: Context
    remembered_s: float = REMEMBERED_S
    slowly_s: float = SLOWLY_S
    _known: dict[str, tuple[float, _Values]] = field(default_factory=dict)
    _one_reads: threading.Lock = field(default_factory=threading.Lock)

    def describe(self) -> list[GaugeMetricFamily]:
        """Return nothing, so that registering it reads nothing."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield every figure of which there is one."""
        with self._one_reads:
            values: _Values = {
                **self._remembered("database", self.remembered_s, self._database),
                **self._remembered("broker", self.remembered_s, self._broker),
                **self._remembered("slow", self.slowly_s, self._slow),
                **self._remembered("store", self.slowly_s, self._store),
                **_disks(self.context),
            }
        for name, (said, labels) in FIGURES.items():
            family = GaugeMetricFamily(PREFIX + name, said, labels=labels)
            for of, value in values.get(name, {}).items():
                family.add_metric(of, value)
            yield family

    def _remembered(self, what: str, for_s: float, read: Callable[[], _Values]) -> _Values:
        known = self._known.get(what)
        if known is None or time.monotonic() - known[0] >= for_s:
            known = self._known[what] = (time.monotonic(), read())
        return known[1]

    def _database(self) -> _Values:
        try:
            with self.context.transaction() as session:
                found = {**_work(self.context, session), **_learning(self.context, session)}
            return {"database_up": {(): 1.0}, **found, **_quota(self.context)}
        except TubeGraderError:
            return {"database_up": {(): 0.0}}

    def _broker(self) -> _Values:
        try:
            lengths = self.context.queue.lengths()
        except TubeGraderError:
            return {"broker_up": {(): 0.0}}
        return {
            "broker_up": {(): 1.0},
            "queue_messages": {(name,): float(n) for name, n in lengths.items()},
        }

    def _store(self) -> _Values:
        try:
            self.context.store.check()
        except TubeGraderError:
            return {"store_up": {(): 0.0}}
        return {"store_up": {(): 1.0}}

    def _slow(self) -> _Values:
        try:
            with self.context.transaction() as session:
                return _sizes(self.context, session)
        except TubeGraderError:
            return {}


def _work(context: Context, session: Session) -> _Values:
    now = context.clock()
    due = dict(overview.oldest_due(session, now=now))
    processes = fleet.seen(session)
    fit, unfit = Counter[str](), Counter[str]()
    for process in processes:
        for role in process.role.split(",") if process.is_alive else ():
            (fit if process.is_fit else unfit)[role] += 1
    jobs = figures.open_jobs(session)
    states = Counter(dict.fromkeys(("queued", "running"), 0))
    for each in jobs:
        states[each.state] += each.count
    ago = fleet_rows.done_s_ago(session, DISPATCHER)
    failed = figures.jobs_failed(session, since=now - LATELY)
    late = figures.overdue(session, WORK_KINDS, before=now - LATE)
    blocked = admission.blocked_work(context, session, now=now)
    paused = pauses.paused_queues(session)
    opened = {breaker.host for breaker in breakers.not_closed(session)}
    connections, most = figures.connections(session)
    silent = [each for each in processes if each.silent_s > SILENT_S]
    return {
        "oldest_due_seconds": {
            (kind,): (now - due[kind]).total_seconds() if kind in due else 0.0
            for kind in WORK_KINDS
        },
        "late_items": {(kind,): float(n) for kind, n in late.items()},
        "dispatch_age_seconds": {} if ago is None else {(): ago},
        "workers": {(role,): float(fit[role]) for role in (*QUEUES, DISPATCHER)},
        "unfit_workers": {(role,): float(unfit[role]) for role in QUEUES},
        "silent_processes": {(): float(len(silent))},
        "hanging_chores": {
            (): float(sum(e.late_chore is not None and e.silent_s < GONE_S for e in processes))
        },
        "kind_held_back": {(kind,): float(kind in blocked) for kind in WORK_KINDS},
        "breaker_open": {(host,): float(host in opened) for host in HOSTS},
        "jobs": {(state,): float(n) for state, n in states.items()},
        "job_oldest_seconds": {
            (each.kind, each.state): (now - each.oldest).total_seconds()
            for each in jobs
            if each.oldest is not None and _queue_of(each.kind) not in paused
        },
        "jobs_failed": {(kind,): float(failed.get(kind, 0)) for kind in JOB_KINDS},
        "connections": {(): float(connections)},
        "connections_limit": {(): float(most)},
    }


def _queue_of(job_kind: str) -> str:
    """Return the queue whose pause keeps such jobs from going on."""
    task = JOB_KINDS[job_kind].task
    return CRAWL.name if task is None else task.queue.name


def _learning(context: Context, session: Session) -> _Values:
    now = context.clock()
    schedules = figures.schedules(session)
    drift = figures.newest_drift(session)
    champions, trainings = figures.champions(session), figures.newest_trainings(session)
    return {
        "schedule_late_seconds": {
            (name,): max((now - slot).total_seconds(), 0.0)
            for name, _, slot in schedules
            if slot is not None
        },
        "retraining_scheduled": {(): float(any(kind == "retrain" for _, kind, _ in schedules))},
        "champion_age_seconds": {
            (task,): (now - champions[task]).total_seconds() for task in TASKS if task in champions
        },
        "training_age_seconds": {
            (task,): (now - trainings[task]).total_seconds() for task in TASKS if task in trainings
        },
        "drift_found": {} if drift is None else {(): float(drift[0] == "drift")},
        "drift_age_seconds": {} if drift is None else {(): (now - drift[1]).total_seconds()},
    }


def _quota(context: Context) -> _Values:
    blocked = admission.blockers(context)
    held: _Values = {"held_back": {(each.kind, each.what): 1.0 for each in blocked}}
    if context.settings.youtube_api_key is None:
        return held
    buckets = spending(context, days=1).buckets
    used_up = {each.what for each in blocked if each.kind == "quota"}
    with context.transaction() as session:
        planned = Counter[str]()
        for bucket, _, units in quota_rows.planned(session):
            planned[bucket] += units
    return held | {
        "quota_used_units": {
            (each.bucket, purpose): float(units)
            for each in buckets
            for purpose, units in each.purposes.items()
        },
        "quota_limit_units": {(each.bucket,): float(each.limit) for each in buckets},
        "quota_planned_units": {(bucket,): float(n) for bucket, n in planned.items()},
        "quota_exhausted": {(each.bucket,): float(each.bucket in used_up) for each in buckets},
    }


def _sizes(context: Context, session: Session) -> _Values:
    from services.policy import sizes  # noqa: PLC0415  (with all that retention needs)

    tables = {name: size for name, _, size in size_rows.tables(session)}
    newest = figures.newest_sizes(session)
    growth = sizes.growth_of(session, tables, newest, now=context.clock())
    return {
        "table_bytes": {(name,): float(size) for name, size in tables.items()},
        "store_bytes": {(k,): float(n) for k, n in newest.items() if k not in tables},
        "growth_bytes_per_day": {} if growth is None else {(): growth},
    }


def _disks(context: Context) -> _Values:
    """Return the room on this machine's disks: of the home, and of a store that is a folder."""
    places = {"home": context.settings.home}
    store = context.settings.storage_url or ""
    if store.startswith("file://"):
        places["store"] = Path(unquote(urlsplit(store).path))
    disks = {}
    for what, path in places.items():
        # A disk that is away or broken tells nothing; all else is asked for then most of all.
        with suppress(OSError):
            disks[what] = shutil.disk_usage(path)
    return {
        "disk_free_bytes": {(what,): float(disk.free) for what, disk in disks.items()},
        "disk_bytes": {(what,): float(disk.total) for what, disk in disks.items()},
    }
