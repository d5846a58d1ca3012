"""Videos with their scores, and the pictures that they show."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from services import browsing
from services.api.dependencies import Ctx, Cursor, Limit
from services.browsing import Order, VideoFacts, VideoRow
from services.paging import Page
from services.pictures import stored_picture

router = APIRouter(tags=["videos"])
VideoId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{11}$", examples=["dQw4w9WgXcQ"])]
Sha256 = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
_FOR_EVER = "private, max-age=31536000, immutable"


@router.get("/videos")
def list_videos(
    context: Ctx,
    order: Annotated[
        Order, Query(description="The newest first, or the furthest from what was predicted.")
    ] = "newest",
    channel: Annotated[str | None, Query(description="Only of this one.", max_length=200)] = None,
    title: Annotated[str | None, Query(description="With these words.", max_length=200)] = None,
    after: Cursor = None,
    limit: Limit = 50,
) -> Page[VideoRow]:
    """List videos with what the champion says of them."""
    return browsing.videos(
        context, order=order, channel=channel, title=title, after=after, limit=limit
    )


@router.get("/videos/{video_id}")
def show_video(context: Ctx, video_id: VideoId) -> VideoFacts:
    """Show one video: counts over time, pictures, scores by model."""
    return browsing.video(context, video_id)


@router.get(
    "/thumbnails/{sha256}",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}, "image/png": {}, "image/webp": {}}}},
)
def show_thumbnail(context: Ctx, sha256: Sha256) -> Response:
    """Return the bytes of a picture that was collected."""
    content, media_type = stored_picture(context, sha256)
    headers = {"Cache-Control": _FOR_EVER, "ETag": f'"{sha256}"'}
    return Response(content, media_type=media_type, headers=headers)
