"""``/api/v1``: what pages do, for programs."""

from fastapi import APIRouter

from services.api.v1 import (
    channels,
    completeness,
    digest,
    events,
    export,
    grades,
    jobs,
    languages,
    models,
    pauses,
    schedules,
    sql,
    system,
    videos,
    work_items,
)

router = APIRouter(prefix="/api/v1")
for part in (
    system.router,
    digest.router,
    pauses.router,
    channels.router,
    videos.router,
    grades.router,
    jobs.router,
    jobs.failed,
    events.router,
    work_items.router,
    schedules.router,
    models.router,
    languages.router,
    languages.by_hand,
    languages.in_files,
    completeness.router,
    sql.router,
    export.router,
):
    router.include_router(part)
