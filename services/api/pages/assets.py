"""Style and script, shipped with the package."""

from fastapi import APIRouter, Response
from starlette.exceptions import HTTPException

from services.api.rendering import asset

router = APIRouter()
_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


@router.get("/static/{name}")
def static(name: str) -> Response:
    """Return a file that pages need."""
    try:
        content = asset(name)
    except FileNotFoundError:
        raise HTTPException(404) from None
    return Response(content, media_type=_TYPES[name.rpartition(".")[2]])


@router.get("/favicon.ico")
def icon() -> Response:
    """Return the icon for browsers that ask for it by its old name."""
    return static("icon.svg")
