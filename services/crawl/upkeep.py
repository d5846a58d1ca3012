"""Upkeep with what it takes to know the cadence: what the quota will have to bear."""

from typing import Any

from services.context import Context
from services.crawl import plan
from services.work import maintenance
from services.work.jobs import JobHandle


def work(context: Context, job: JobHandle) -> dict[str, Any]:
    """Do a job of upkeep (:func:`services.work.maintenance.work`), then plan the quota."""
    done = maintenance.work(context, job)
    plan.record(context)
    return done
