"""A scoring job: planned as shards, which workers do; the job waits for them without a worker.

Where nobody works on the queue of scoring the job does its shards itself, one after the other.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from db.locks import advisory_lock
from db.models import ModelVersion, Scoring
from db.models.scoring import IN_USE, NEWEST
from db.queries.learning import model_versions
from db.queries.work import scorings, shard_claims
from db.queries.work import shards as shard_rows
from db.queries.work.scorings import Outcome
from services.context import Context
from services.errors import InfrastructureError, PermanentError
from services.learning.errors import blaming_the_host
from services.learning.results import models_in_use, need_models
from services.queue import SCORING
from services.work import fleet, shards
from services.work.jobs import AwaitsShardsError, JobHandle

BETWEEN_S = 0.2
LINGER_S = 3.0
"""So long a shard that failed in passing is waited for here, before the job is given back."""


@dataclass(frozen=True)
class Page:
    """Rows to score, found by the key that they are planned in the order of.

    Attributes:
        is_own: Whether they are of the models' own dataset, to be scored as they were frozen.
        ids: Of videos or clips, each lacking a score.
    """

    is_own: bool
    ids: Sequence[str]


Models = Sequence[ModelVersion]
Plan = Callable[[Context, Models, str], Iterator[Page]]
"""Yields what lacks a score of models, for a purpose; each page in a transaction of its own."""


@dataclass(frozen=True)
class Way:
    """How a task is scored.

    Attributes:
        task: ``thumbnails`` or ``speech``.
        what: What is scored, for people.
        rows: In a shard.
        counted: Words of its result that are said even where there was nothing.
        plan: Finds them.
        work: Does a shard.
    """

    task: str
    what: str
    rows: int
    counted: Sequence[str]
    plan: Plan
    work: shards.ShardWork


def score(context: Context, job: JobHandle, way: Way) -> dict[str, Any]:
    """Score what the newest models learned from, and whatever the models in use lack.

    Returns:
        What was scored now, counted; how many were unreadable, why some were set aside and how many
        were ``refused`` by the database, if any; the models in use.

    Raises:
        AwaitsShardsError: Workers are at it: the job goes on when they are done.
        PermanentError: There is no model yet, or an artefact is damaged.
    """

    def choose() -> list[tuple[str, Models]]:
        latest, used = newest(context, way.task), in_use(context, way.task)
        same = {m.model_version_id for m in latest} == {m.model_version_id for m in used}
        return [(IN_USE, used)] if same else [(NEWEST, latest), (IN_USE, used)]

    return _told(context, job, way, choose, (NEWEST, IN_USE))


def score_newest(context: Context, job: JobHandle, way: Way) -> dict[str, Any]:
    """Score with the newest models alone; returns and raises as :func:`score`."""
    return _told(context, job, way, lambda: [(NEWEST, newest(context, way.task))], (NEWEST,))


def score_in_use(context: Context, job: JobHandle, way: Way) -> dict[str, Any]:
    """Score with the models in use alone; returns and raises as :func:`score`."""
    return _told(context, job, way, lambda: [(IN_USE, in_use(context, way.task))], (IN_USE,))


def newest(context: Context, task: str) -> Models:
    """Return the newest models of a task.

    Raises:
        PermanentError: There is none.
    """
    with context.transaction() as session:
        found = model_versions.newest(session, task=task)
    need_models(found, task, "to score with")
    return found


def in_use(context: Context, task: str) -> Models:
    """Return the models of a task that users are told the scores of.

    Raises:
        PermanentError: There is none.
    """
    found = models_in_use(context, task)
    need_models(found, task, "to score with")
    return found


def _told(
    context: Context,
    job: JobHandle,
    way: Way,
    choose: Callable[[], Sequence[tuple[str, Models]]],
    purposes: Sequence[str],
) -> dict[str, Any]:
    found = carry_out(context, job, way, choose, purposes)
    models = {model.rung: model.version for model in found[-1][0]}
    return summary([outcome for _, outcome in found], way.counted) | {"models": models}


def carry_out(
    context: Context,
    job: JobHandle,
    way: Way,
    choose: Callable[[], Sequence[tuple[str, Models]]],
    purposes: Sequence[str],
) -> list[tuple[Models, Outcome]]:
    """Plan what lacks a score, have it scored, and return what came of it.

    Whoever goes on with the job finds what was planned of it and does not plan it twice.

    Args:
        context: The database and the store.
        job: What asked for it.
        way: Of the task.
        choose: Returns the models for each purpose; asked once a job.
        purposes: Those that may come of it.

    Returns:
        For each purpose the models, and what came of their shards.

    Raises:
        AwaitsShardsError: Workers are at it: the job goes on when they are done.
        PermanentError: A shard failed for good, of whatever and on whichever machine.
        InfrastructureError: A shard failed here in passing, or this machine lacks something.
    """
    with blaming_the_host():
        begun = _begun(context, job, way, choose, purposes)
        while True:
            for scoring, models in begun:
                if scoring.planned_at is None:
                    _plan(context, job, way, scoring, models)
            begun = _begun(context, job, way, choose, purposes)
            _await(context, job, way, [scoring for scoring, _ in begun])
            elsewhere = [scoring.scoring_id for scoring, _ in begun if scoring.n_elsewhere]
            if not elsewhere:
                break
            # What others had under way may have been cancelled, and would be missing.
            with context.transaction() as session:
                for scoring_id in elsewhere:
                    scorings.plan_again(session, scoring_id)
            begun = _begun(context, job, way, choose, purposes)
    return _ended(context, begun)  # what a shard failed of is not wrong with this machine


def _begun(
    context: Context,
    job: JobHandle,
    way: Way,
    choose: Callable[[], Sequence[tuple[str, Models]]],
    purposes: Sequence[str],
) -> list[tuple[Scoring, Models]]:
    """Return what the job scores with which models, chosen now if it is the first time."""
    with context.transaction() as session:
        found = scorings.of_job(session, job.job_id, purposes)
    if not found:
        chosen = choose()
        with context.transaction() as session:
            found = [
                scorings.add(
                    session,
                    job.job_id,
                    task=way.task,
                    purpose=purpose,
                    model_version_ids=[model.model_version_id for model in models],
                    now=context.clock(),
                )
                for purpose, models in chosen
            ]
    wanted = {model_id for scoring in found for model_id in scoring.model_version_ids}
    with context.transaction() as session:
        known = model_versions.by_ids(session, wanted)
    return [(scoring, in_order(known, scoring.model_version_ids)) for scoring in found]


def in_order(known: Mapping[int, ModelVersion], ids: Sequence[int]) -> list[ModelVersion]:
    """Return models by their rungs, in the order in which they are listed everywhere.

    Raises:
        PermanentError: One was removed.
    """
    if not known.keys() >= set(ids):
        raise PermanentError(
            "a model that was to score was removed meanwhile",
            reason="modelRemoved",
            hint="`tubegrader models score` scores with those that are there",
        )
    return sorted((known[model_id] for model_id in ids), key=lambda model: model.rung)


def _plan(context: Context, job: JobHandle, way: Way, scoring: Scoring, models: Models) -> None:
    """Plan the shards of a scoring, each in a transaction of its own."""
    n_elsewhere = 0
    # Of the same models' rows nobody else plans any meanwhile.
    with _alone(context, job, way.task):
        covered = {is_own: _Covered(context, scoring, is_own=is_own) for is_own in (True, False)}
        with context.transaction() as session:
            number = scorings.n_planned(session, scoring.scoring_id)
        waiting: dict[bool, list[str]] = {True: [], False: []}

        def add(is_own: bool, rows: int) -> None:
            nonlocal number
            some, waiting[is_own] = waiting[is_own][:rows], waiting[is_own][rows:]
            with context.transaction() as session:
                shard_rows.add(
                    session,
                    scoring.scoring_id,
                    some,
                    number=number,
                    is_own=is_own,
                    now=context.clock(),
                )
            number += 1

        for page in way.plan(context, models, scoring.purpose):
            job.check()
            left, n_others = covered[page.is_own].without(page.ids)
            n_elsewhere += n_others
            waiting[page.is_own] += left
            while len(waiting[page.is_own]) >= way.rows:
                add(page.is_own, way.rows)
        for is_own, rows in waiting.items():
            if rows:
                add(is_own, way.rows)
        with context.transaction() as session:
            scorings.end_planning(
                session, scoring.scoring_id, n_elsewhere=n_elsewhere, now=context.clock()
            )


class _Covered:
    """The rows of live shards of the same models: eleven bytes a video."""

    def __init__(self, context: Context, scoring: Scoring, *, is_own: bool) -> None:
        mine: list[npt.NDArray[np.bytes_]] = []
        others: list[npt.NDArray[np.bytes_]] = []
        with context.transaction() as session:
            for job_id, covers in shard_rows.covered(
                session, scoring.job_id, scoring.model_version_ids, is_own=is_own
            ):
                ids = np.array(covers, dtype=np.bytes_)
                (mine if job_id == scoring.job_id else others).append(ids)
        self._mine, self._others = _sorted(mine), _sorted(others)

    def without(self, ids: Sequence[str]) -> tuple[list[str], int]:
        """Return the ids that no shard covers, and how many others' cover."""
        if not len(self._mine) and not len(self._others):
            return list(ids), 0
        asked = np.array(ids, dtype=np.bytes_)
        in_mine, in_others = _within(asked, self._mine), _within(asked, self._others)
        free = ~(in_mine | in_others)
        left = [row for row, is_free in zip(ids, free.tolist(), strict=True) if is_free]
        return left, int((in_others & ~in_mine).sum())


def _sorted(parts: list[npt.NDArray[np.bytes_]]) -> npt.NDArray[np.bytes_]:
    return np.sort(np.concatenate(parts)) if parts else np.zeros(0, dtype="S1")


def _within(asked: npt.NDArray[np.bytes_], known: npt.NDArray[np.bytes_]) -> npt.NDArray[np.bool_]:
    if not len(known) or not len(asked):
        return np.zeros(len(asked), dtype=np.bool_)
    place = np.minimum(np.searchsorted(known, asked), len(known) - 1)
    return np.asarray(known[place] == asked, dtype=np.bool_)


@contextmanager
def _alone(context: Context, job: JobHandle, task: str) -> Iterator[None]:
    """Be the only one who plans for a task while the block runs."""
    while True:
        with advisory_lock(context.engine, f"planning:{task}") as lock:
            if lock is not None:
                yield
                return
        job.check()
        time.sleep(BETWEEN_S)


def _await(context: Context, job: JobHandle, way: Way, begun: Sequence[Scoring]) -> None:
    """Return once no shard is left; do them here where nobody else would.

    Raises:
        AwaitsShardsError: Somebody else does them.
        InfrastructureError: One failed here, in passing.
    """
    ids = [scoring.scoring_id for scoring in begun]
    patience = time.monotonic() + LINGER_S
    while True:
        with context.transaction() as session:
            if not scorings.is_live(session, ids):
                return
            done, total = scorings.progress(session, job.job_id)
            has_workers = fleet.workers_of(session, SCORING) > 0
        job.progress(done, total, f"scoring {way.what}")
        if has_workers:
            raise AwaitsShardsError
        if _do_one(context, way, begun):
            patience = time.monotonic() + LINGER_S
        elif time.monotonic() > patience:
            raise AwaitsShardsError
        else:
            time.sleep(BETWEEN_S)


def _do_one(context: Context, way: Way, begun: Sequence[Scoring]) -> bool:
    """Do the next shard in this process; False where none is ready."""
    now = context.clock()
    for scoring in begun:
        with context.transaction() as session:
            tokens = shard_claims.claim(
                session,
                room=1,
                now=now,
                lease=context.lease,
                model_version_ids=scoring.model_version_ids,
            )
        for token in tokens:
            if shards.do(context, token, way.work) == "planned":
                raise _in_passing(context, scoring)
            return True
    return False


def _in_passing(context: Context, scoring: Scoring) -> InfrastructureError:
    """Return why the job waits: the shard counts how often it was tried, the job does not."""
    with context.transaction() as session:
        failure = scorings.last_failure(session, scoring.scoring_id)
    reason, message = failure or ("shardFailed", "a shard failed in passing")
    return InfrastructureError(message, reason=reason)


def _ended(
    context: Context, begun: Sequence[tuple[Scoring, Models]]
) -> list[tuple[Models, Outcome]]:
    found = []
    for scoring, models in begun:
        with context.transaction() as session:
            outcome = scorings.outcome(session, scoring.scoring_id)
        if outcome.error is not None:
            _kind, reason, message = outcome.error
            raise PermanentError(message, reason=reason)
        found.append((models, outcome))
    return found


def summary(outcomes: Sequence[Outcome], counted: Sequence[str]) -> dict[str, Any]:
    """Return what came of scorings as a job's result says it.

    Args:
        outcomes: Of each of them.
        counted: Words that are said even where there was nothing, besides ``unreadable``.
    """
    counts: dict[str, int] = dict.fromkeys((*counted, "unreadable"), 0)
    aside: dict[str, int] = {}
    named: dict[str, list[str]] = {}
    for outcome in outcomes:
        counts = shard_rows.added(counts, outcome.counts)
        aside = shard_rows.added(aside, outcome.aside)
        for reason, ids in outcome.named.items():
            named[reason] = [*named.get(reason, []), *ids][: scorings.NAMED]
    set_aside = {"set_aside": aside, "set_aside_ids": named} if aside else {}
    return {name: n for name, n in counts.items() if n or name != "refused"} | set_aside
