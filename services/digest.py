"""The digest of a night: what came of it, and what to look at, for a page, a message, a terminal.

A night is a retraining that ended; the digest of one tells of the day up to its end, and of what
was collected on the last UTC day that was over by then: that much is added up already.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import structlog

from db.models import Job
from db.models.learning import THUMBNAILS
from db.queries.work import nights as rows
from db.queries.work import notifications
from db.queries.work.notifications import Event
from services.context import Context
from services.crawl import completeness
from services.formatting import counted
from services.notify import LOOK_BACK, targets
from services.work import admission, jobs

log = structlog.get_logger()

EVENT = "night.digest"
DAY = timedelta(days=1)
_REASONS = 3
"""Named at most, of why something is missing."""


@dataclass(frozen=True)
class Night:
    """One retraining.

    Attributes:
        task: ``thumbnails`` or ``speech``.
        job_id: Its job.
        state: ``succeeded``, ``failed`` or ``cancelled``.
        ended_at: When.
        trained: What was trained, in words; None: it did not come so far.
        compared: How the models compare, in a sentence.
        decided: Whether there is another champion, and why.
        drift: Whether new videos differ from those learned from, in a sentence.
        has_drifted: Whether they do.
        problem: Why it ended badly.
    """

    task: str
    job_id: str
    state: str
    ended_at: datetime
    trained: str | None
    compared: str | None
    decided: str | None
    drift: str | None
    has_drifted: bool
    problem: str | None

    @property
    def line(self) -> str:
        """Say in a line what came of it."""
        if self.problem is not None:
            return f"{self.task}: {self.problem}"
        # Why it was decided so is a sentence of its own.
        first = (self.decided or self.trained or self.state).partition(". ")[0].rstrip(".")
        drifted = f" {self.drift}" if self.drift and self.has_drifted else ""
        return f"{self.task}: {first}.{drifted}"


@dataclass(frozen=True)
class LookAt:
    """Something for a person, and the page where it is."""

    what: str
    page: str


@dataclass(frozen=True)
class Digest:
    """What came of a day and its nights.

    Attributes:
        since: From then on.
        until: Up to then.
        day: The last UTC day that was over by then, of which the four figures that follow are.
        expected: Snapshots that fell due.
        collected: Those that were taken.
        late: Those of them that were more than an hour late.
        missing: How many are missing, by reason, the most frequent first.
        nights: Retrainings that ended, the oldest first.
        look_at: What needs a person, as it stands when the digest is made.
    """

    since: datetime
    until: datetime
    day: date
    expected: int
    collected: int
    late: int
    missing: dict[str, int]
    nights: Sequence[Night]
    look_at: Sequence[LookAt]

    @property
    def sentence(self) -> str:
        """Say it in a line."""
        return f"{self.collecting} {told(self.nights)}"

    @property
    def collecting(self) -> str:
        """Say how much was collected of what fell due."""
        if not self.expected:
            return f"Nothing fell due to be collected on {self.day}."
        share = self.collected / self.expected
        # Not rounded up to all of it.
        shown = "all" if self.collected == self.expected else f"{int(share * 1000) / 10:.1f} %"
        due = f"{counted(self.expected, 'snapshot')} that fell due on {self.day}"
        return f"Collected {shown} of {due}."

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``--json`` and messages."""
        values = asdict(self) | {"sentence": self.sentence}
        nights = [
            {**asdict(night), "ended_at": night.ended_at.isoformat()} for night in self.nights
        ]
        return values | {
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            "day": self.day.isoformat(),
            "nights": nights,
        }

    def as_text(self) -> str:
        """Return the body of a message."""
        lines = [f"{self.since:%Y-%m-%d %H:%M} to {self.until:%Y-%m-%d %H:%M} UTC", ""]
        lines.append(self.collecting)
        if self.late:
            lines.append(f"{counted(self.late, 'snapshot')} of them were late.")
        lines += [f"Missing: {n:,} × {reason}" for reason, n in self.missing.items()]
        for night in self.nights:
            lines += ["", f"{night.task}, ended {night.ended_at:%H:%M} UTC: {night.state}"]
            facts = (night.problem, night.trained, night.compared, night.decided, night.drift)
            lines += [f"  {fact}" for fact in facts if fact]
        lines += ["", "To look at:" if self.look_at else "Nothing needs a hand."]
        lines += [f"- {each.what} ({each.page})" for each in self.look_at]
        return "\n".join(lines) + "\n"


def told(nights: Sequence[Night]) -> str:
    """Say in a line what came of retrainings."""
    return " ".join(night.line for night in nights) or "Nothing was retrained."


def last_nights(context: Context, *, until: datetime | None = None) -> list[Night]:
    """Return the last retraining of each task within a day."""
    until = until or context.clock()
    with context.transaction() as session:
        ended = [_night(job) for job in rows.ended(session, since=until - DAY)]
    last = {night.task: night for night in ended if night.ended_at <= until}
    return sorted(last.values(), key=lambda night: night.ended_at)


def digest(context: Context, *, until: datetime | None = None) -> Digest:
    """Return the digest of the day up to a moment, now by default."""
    until = until or context.clock()
    since = until - DAY
    day = until.astimezone(UTC).date() - DAY
    found = completeness.of_day(context, day, until=until)
    nights = last_nights(context, until=until)
    missing = dict(list(found.reasons.items())[:_REASONS])
    look_at = [
        *_of_nights(nights),
        *(
            LookAt(f"{blocker.what} is held back: {blocker.message}", "/")
            for blocker in admission.blockers(context)
        ),
        *_failed_jobs(context, nights, since=since, until=until),
        *(
            LookAt(f"{counted(n, 'snapshot')} of {day} missing: {reason}", "/completeness?days=3")
            for reason, n in missing.items()
        ),
        *(
            LookAt(f"uploads of {counted(n, 'channel')} are overdue to be read: {reason}", "/")
            for reason, n in found.not_listed.items()
        ),
    ]
    return Digest(
        since, until, day, found.expected, found.collected, found.late, missing, nights, look_at
    )


def note(context: Context) -> int:
    """Note a digest for each retraining that has ended and was not told yet; return how many.

    One that cannot be made is logged and tried again the next time; the others are noted.
    """
    recipients = targets(context.settings)
    if not recipients:
        return 0
    now = context.clock()
    with context.transaction() as session:
        ended = {_key(job): job.finished_at for job in rows.ended(session, since=now - LOOK_BACK)}
        untold = {t: ended.keys() - rows.told(session, ended.keys(), t) for t in recipients}
    noted = 0
    for key in sorted(set().union(*untold.values())):
        try:
            event = _event(context, key, ended[key] or now)
            with context.transaction() as session:
                noted += sum(
                    notifications.note(session, [event], target, now=now)
                    for target, keys in untold.items()
                    if key in keys
                )
        except Exception:
            log.exception("digest.failed", key=key)
    return noted


def _key(job: Job) -> str:
    assert job.finished_at is not None, "it has ended"
    # With its end: one that is tried again ends again.
    return f"digest:{job.job_id}:{job.finished_at.isoformat()}"


def _event(context: Context, key: str, until: datetime) -> Event:
    found = digest(context, until=until)
    payload = {"subject": f"TubeGrader: {found.sentence}", "message": found.as_text()}
    return Event(key, EVENT, payload | {"digest": found.as_json()})


def _night(job: Job) -> Night:
    assert job.finished_at is not None, "it has ended"
    try:
        told_of = _told_of(job)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        # Written by another release, or by hand: that it ended is told all the same.
        log.warning("digest.odd_night", job_id=str(job.job_id), problem=repr(error))
        told_of = _ToldOf()
    failed = job.state != "succeeded"
    why = job.error_message or job.error_reason or ""
    return Night(
        task=str(job.params.get("task", THUMBNAILS)),
        job_id=str(job.job_id),
        state=job.state,
        ended_at=job.finished_at,
        **asdict(told_of),
        problem=f"the retraining {job.state}{': ' + why if why else ''}." if failed else None,
    )


@dataclass(frozen=True)
class _ToldOf:
    """What the steps of a night tell, named as in ``Night``."""

    trained: str | None = None
    compared: str | None = None
    decided: str | None = None
    drift: str | None = None
    has_drifted: bool = False


def _told_of(job: Job) -> _ToldOf:
    steps = {**job.steps, **(job.result or {})}
    drift = steps.get("drift") or {}
    return _ToldOf(
        trained=_trained(steps.get("train")),
        compared=(steps.get("compare") or {}).get("sentence"),
        decided=_decided(steps.get("contest")),
        drift=drift.get("sentence"),
        has_drifted=drift.get("status") == "drift",
    )


def _trained(step: dict[str, Any] | None) -> str | None:
    if step is None:
        return None
    models = counted(len(step["versions"]), "model")
    if not step["trained"]:
        return f"Nothing new to learn from; there are {models} already."
    return f"Trained {models} on dataset {step['dataset_id'][:12]}."


def _decided(step: dict[str, Any] | None) -> str | None:
    if step is None:
        return None
    challenger, champion = step["challenger"], step["champion"]
    if step["decision"] == "kept":
        who = f"{champion} stays champion" if champion else "There is no champion"
        return f"{who}. {step['reason']}"
    instead = f" instead of {champion}" if champion else ""
    return f"{challenger} is champion{instead}. {step['reason']}"


def _of_nights(nights: Sequence[Night]) -> list[LookAt]:
    found = []
    for night in nights:
        if night.problem is not None:
            found.append(LookAt(night.line, f"/jobs/{night.job_id}"))
        if night.has_drifted and night.drift is not None:
            found.append(LookAt(night.drift, "/models"))
    if not nights:
        found.append(LookAt("nothing was retrained within a day", "/schedules"))
    return found


def _failed_jobs(
    context: Context, nights: Sequence[Night], *, since: datetime, until: datetime
) -> list[LookAt]:
    told_already = {night.job_id for night in nights}
    return [
        LookAt(f"a {job.kind} job failed: {job.error_message}", f"/jobs/{job.job_id}")
        for job in jobs.newest(context, limit=5, state="failed")
        if job.job_id not in told_already and job.finished_at and since <= job.finished_at <= until
    ]
