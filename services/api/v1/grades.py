"""Grading thumbnails before they are used."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, Request, UploadFile

from services.api.grader import WarmGrader
from services.api.problems import Problem, answer

router = APIRouter(prefix="/grades", tags=["grades"])


def _grader(request: Request) -> WarmGrader:
    grader: WarmGrader = request.app.state.grader
    return grader


Grader = Annotated[WarmGrader, Depends(_grader)]
Pictures = Annotated[list[UploadFile], File(description="JPEG, PNG or WebP, at most 12.")]
Channel = Annotated[str | None, Form(max_length=200, description="Whose video it is for.")]
Subscribers = Annotated[
    int | None, Form(ge=0, le=10**12, description="Its size, if it is not crawled or hides it.")
]


@router.post("", response_model=dict[str, Any])
def grade(
    request: Request,
    grader: Grader,
    pictures: Pictures,
    channel: Channel = None,
    subscribers: Subscribers = None,
) -> Any:
    """Grade thumbnails against the channel's own and those of like-sized channels."""
    found = grader.grade(read(pictures), channel=channel or None, subscribers=subscribers)
    return answer(request, found) if isinstance(found, Problem) else found.values


def read(pictures: list[UploadFile]) -> list[tuple[str, bytes]]:
    """Return the name and content of each file that was sent."""
    return [(each.filename or "", each.file.read()) for each in pictures]
