"""Views in bulk, as streams."""

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse

from services import exporting
from services.api.dependencies import Ctx
from services.exporting.encoding import FORMATS

router = APIRouter(prefix="/export", tags=["export"])


@router.get("")
def list_views() -> list[str]:
    """List the views that can be exported."""
    return list(exporting.VIEWS)


@router.get(
    "/{view}",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The rows, in no order.",
            "content": {form.media_type: {} for form in FORMATS.values()},
        }
    },
)
def export_view(
    context: Ctx,
    view: Annotated[
        str, Path(max_length=100, description="One of the views.", examples=["scored_videos"])
    ],
    form: Annotated[
        Literal["ndjson", "csv", "parquet", "arrow"],
        Query(alias="format", description="What to write."),
    ] = "ndjson",
) -> StreamingResponse:
    """Export all rows of a view; a reader who stops for half a minute is cut off."""
    chosen, pieces = exporting.stream(context, view, form)
    name = f'attachment; filename="{view}.{chosen.name}"'
    return StreamingResponse(
        pieces, media_type=chosen.media_type, headers={"Content-Disposition": name}
    )
