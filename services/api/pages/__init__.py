"""Pages for people: rendered here, changed by forms, followed by a little script of ours."""

from fastapi import APIRouter

from services.api.pages import (
    ask,
    assets,
    channels,
    comparison,
    completeness,
    digest,
    grader,
    jobs,
    models,
    overview,
    schedules,
    sign_in,
    speech,
    videos,
)

router = APIRouter(include_in_schema=False)
for part in (
    overview,
    digest,
    channels,
    videos,
    comparison,
    grader,
    speech,
    models,
    jobs,
    schedules,
    completeness,
    ask,
    assets,
    sign_in,
):
    router.include_router(part.router)
