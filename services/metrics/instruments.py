"""Everything that processes count of their own work. What the database knows is not counted here.

A name that is here is a promise: rules, dashboards and other people's queries are written with it.
"""

from typing import Final

from services.metrics.recording import Ages, Counter, Gauge, Instrument, Seconds

ATTEMPTS: Final = Counter("work_attempts", "Items of work that were begun.", ("kind", "host"))
DONE: Final = Counter("work_done", "Items of work that ended well.", ("kind",))
FAILED: Final = Counter(
    "work_failed", "Items of work that ended badly, whatever the reason.", ("kind", "host")
)
FAILURES: Final = Counter("work_failures", "The same by reason.", ("kind", "host", "reason"))
LEASES_LOST: Final = Counter(
    "leases_lost", "Leases that another worker had by the end of the work.", ("kind",)
)
SNAPSHOTS: Final = Ages(
    "snapshots_within",
    "Counts that were read at most `le` seconds after they fell due.",
    ("kind", "le"),
)
LATENESS: Final = Counter(
    "snapshot_lateness_seconds", "By how much counts were read late, added up.", ("kind",)
)
UNITS: Final = Counter("quota_booked_units", "Units booked of the quota.", ("bucket", "purpose"))
TASKS: Final = Seconds(
    "task_seconds", "Messages that workers worked on, by how long.", ("task", "outcome")
)
JOBS: Final = Counter("job_ends", "Jobs that a worker ended, or gave back.", ("kind", "state"))
SHARDS: Final = Counter("shard_ends", "Shards of scorings that a worker ended.", ("state",))
SCORED: Final = Counter("scored", "Videos or segments that got their scores.", ("what",))
CHORES: Final = Seconds(
    "chore_seconds",
    "What a dispatcher does again and again, by how long.",
    ("chore",),
    bounds=(0.005, 0.02, 0.1, 0.5, 2, 10, 60),
)
CHORE_FAILURES: Final = Counter(
    "chore_failures", "Times that a dispatcher could not do a chore.", ("chore", "reason")
)
MESSAGES: Final = Counter("messages_sent", "Messages sent to workers.", ("task",))
ELECTED: Final = Gauge("elected", "Whether this dispatcher hands out work: 1, or 0.")

COUNTED: Final[tuple[Instrument, ...]] = (
    *(
        ATTEMPTS,
        DONE,
        FAILED,
        FAILURES,
        LEASES_LOST,
        SNAPSHOTS,
        LATENESS,
        UNITS,
        TASKS,
        JOBS,
        SHARDS,
    ),
    *(SCORED, CHORES, CHORE_FAILURES, MESSAGES),
)
INSTRUMENTS: Final = (*COUNTED, ELECTED)
