"""Speech: a file told, models by source, and clips that contradict themselves, for a person."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from services import listening
from services.api.dependencies import Ctx, WhoAsks
from services.api.problems import Problem, answer
from services.api.rendering import page
from services.api.v1.grades import Grader
from services.context import Context
from services.errors import PermanentError
from services.learning.results import newest_comparison
from services.learning.speech.best import best_of, champion_or_best
from services.media.audio import labels
from services.media.audio.labels import NamedLabel

router = APIRouter(prefix="/speech")
BY = "pages"
"""Who labels here where nobody has to say who they are."""
_FOR_EVER = "private, max-age=31536000, immutable"


@router.get("")
def show_speech(request: Request, context: Ctx) -> HTMLResponse:
    """Ask for a file, and show how well the models tell each source."""
    return page("speech.html", request, heard=None, **_compared(context))


@router.post("")
def hear(
    request: Request,
    context: Ctx,
    grader: Grader,
    sound: Annotated[UploadFile, File(description="Any audio or video file.")],
) -> Response:
    """Tell which language is spoken in a file."""
    found = grader.hear(sound.filename or "", sound.file.read())
    if isinstance(found, Problem):
        return answer(request, found)
    return page("speech.html", request, heard=found, **_compared(context))


@router.get("/conflicts")
def show_conflicts(request: Request, context: Ctx, before: int | None = None) -> HTMLResponse:
    """Show clips whose claims, or claims and model, do not agree."""
    model = champion_or_best(context)
    found, after = listening.conflicts(context, model, before=before)
    return page(
        "conflicts.html",
        request,
        found=found,
        after=after,
        model=model,
        labelled=listening.labelled_last(context),
    )


@router.post("/labels")
def label(
    context: Ctx,
    caller: WhoAsks,
    video: Annotated[str, Form(max_length=200)],
    language: Annotated[Literal["en", "zh", "und", "none"], Form()],
) -> RedirectResponse:
    """Label a video by hand; ``none`` takes the label back."""
    by = BY if caller.token_id is None else caller.name
    labels.label(context, [NamedLabel(video, language)], by=by)
    return RedirectResponse("/speech/conflicts", 303)


@router.get("/segments/{segment_id}")
def play(context: Ctx, segment_id: int) -> Response:
    """Return a segment's sound."""
    content = listening.sound(context, segment_id)
    return Response(content, media_type="audio/flac", headers={"Cache-Control": _FOR_EVER})


@router.get("/clips/{clip_id}/spectrogram")
def draw(context: Ctx, clip_id: int) -> Response:
    """Return a picture of a clip's segments."""
    content = listening.spectrogram(context, clip_id)
    return Response(content, media_type="image/jpeg", headers={"Cache-Control": "private"})


def _compared(context: Context) -> dict[str, Any]:
    """Return what the newest comparison says of each source, for the best model."""
    try:
        found = newest_comparison(context, "speech")
    except PermanentError:
        return {"sentence": None, "best": None, "sources": []}
    best = best_of(found["rungs"])
    sources = sorted(found["rungs"][best].get("by_source", []), key=lambda part: part["accuracy"])
    return {"sentence": found["sentence"], "best": best, "sources": sources}
