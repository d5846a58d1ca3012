"""Whether the process lives, and whether it can do its work."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from services.api.counters import MEDIA_TYPE, exposition
from services.api.dependencies import Ctx

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def is_alive() -> dict[str, str]:
    """Answer: the process lives."""
    return {"status": "alive"}


@router.get("/readyz")
def is_ready(context: Ctx, response: Response) -> dict[str, str]:
    """Ask the database; 503 while it is away."""
    context.database_moment()
    response.headers["Cache-Control"] = "no-store"
    return {"status": "ready"}


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses={200: {"content": {"text/plain": {}}}},
)
def show_metrics(request: Request, context: Ctx) -> PlainTextResponse:
    """Tell figures in Prometheus' text format."""
    return PlainTextResponse(exposition(context, request.app.state.counters), media_type=MEDIA_TYPE)
