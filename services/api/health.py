"""Whether the process lives, and whether it can do its work."""

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

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
def show_metrics(request: Request) -> PlainTextResponse:
    """Tell figures in Prometheus' text format."""
    text = generate_latest(request.app.state.metrics)
    return PlainTextResponse(text, media_type=CONTENT_TYPE_LATEST)
