"""The digest of the last day: what came of it, what to look at."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from services.api.dependencies import Ctx
from services.api.rendering import page
from services.digest import digest

router = APIRouter()


@router.get("/digest")
def show_digest(request: Request, context: Ctx) -> HTMLResponse:
    """Show the digest of the day up to now."""
    return page("digest.html", request, found=digest(context))
