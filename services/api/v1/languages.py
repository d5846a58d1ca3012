"""Languages: what models hear in clips, what videos are said to speak, and saying so by hand."""

from typing import Annotated, Any

from fastapi import APIRouter, File, Request, UploadFile
from pydantic import Field

from services.api.dependencies import Body, Ctx, Cursor, Limit, WhoAsks
from services.api.problems import Problem, answer
from services.api.v1.grades import Grader
from services.api.v1.videos import VideoId
from services.media.audio import heard, labels
from services.media.audio.labels import NamedLabel
from services.paging import Page

router = APIRouter(prefix="/languages", tags=["languages"])
by_hand = APIRouter(prefix="/language-labels", tags=["languages"])
in_files = APIRouter(prefix="/language-detections", tags=["languages"])


class NewLabel(Body):
    """What a video is said to speak."""

    video: str = Field(max_length=200, description="Its id or address.", examples=["dQw4w9WgXcQ"])
    language: str = Field(
        max_length=20, description="ISO 639; none withdraws the label.", examples=["en"]
    )


class NewLabels(Body):
    """Labels by hand; all are checked before any is written."""

    labels: list[NewLabel] = Field(min_length=1, max_length=1_000)
    by: str | None = Field(
        default=None,
        max_length=100,
        description="Who says so, where no token is needed; else the token's name.",
    )


@router.get("")
def list_results(context: Ctx, after: Cursor = None, limit: Limit = 50) -> Page[dict[str, Any]]:
    """List what the models in use hear in clips; ``limit`` counts clips."""
    return heard.page(context, after=after, limit=limit)


@router.get("/conflicts")
def list_conflicts(context: Ctx, after: Cursor = None, limit: Limit = 50) -> Page[dict[str, Any]]:
    """List videos whose claims contradict each other, the newest clips first.

    A page may be empty and have a next one.
    """
    return labels.conflicts_page(context, after=after, limit=limit)


@router.get("/{video_id}")
def show_claims(context: Ctx, video_id: VideoId) -> dict[str, Any]:
    """Show what one video is said to speak, and by whom."""
    [found] = labels.show(context, [video_id])
    return found


@by_hand.post("")
def label_videos(context: Ctx, caller: WhoAsks, wanted: NewLabels) -> labels.Labelled:
    """Say which language videos speak; the same again changes nothing."""
    named = [NamedLabel(each.video, each.language) for each in wanted.labels]
    # Whoever shows a token is known by its name, and by no other.
    by = caller.name if caller.token_id is not None else wanted.by or caller.name
    return labels.label(context, named, by=by)


@in_files.post("", response_model=dict[str, Any])
def hear_file(
    request: Request,
    grader: Grader,
    sound: Annotated[UploadFile, File(description="Any audio or video file, 32 MB at most.")],
) -> Any:
    """Tell which language is spoken in a file, stretch by stretch; nothing of it is kept."""
    found = grader.hear(sound.filename or "", sound.file.read())
    return answer(request, found) if isinstance(found, Problem) else found.values
