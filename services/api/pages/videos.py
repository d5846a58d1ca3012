"""Videos, the wall of those that surprised most, and one video."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from services import browsing
from services.api import charts
from services.api.dependencies import Ctx, Cursor
from services.api.rendering import page
from services.browsing import Order

router = APIRouter()


@router.get("/videos")
def list_videos(
    request: Request,
    context: Ctx,
    order: Order = "newest",
    title: str | None = None,
    after: Cursor = None,
) -> HTMLResponse:
    """List videos, or show those as a wall of pictures that are far from what was predicted."""
    found = browsing.videos(
        context,
        order=order,
        title=(title or None) if order == "newest" else None,
        after=after,
        limit=60 if order != "newest" else 50,
    )
    name = "videos.html" if order == "newest" else "wall.html"
    return page(
        name,
        request,
        found=found,
        order=order,
        title=title or "",
        model=browsing.model_shown(context),
    )


@router.get("/videos/{video_id}")
def show_video(request: Request, context: Ctx, video_id: str) -> HTMLResponse:
    """Show one video: counts over time with the moments of its pictures, scores by model."""
    video = browsing.video(context, video_id)
    marks = [(t["first_seen_at"], f"picture {t['version']}") for t in video.thumbnails]
    views = charts.line([(c["captured_at"], c["view_count"]) for c in video.counts], marks)
    return page("video.html", request, video=video, views=views)
