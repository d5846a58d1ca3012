"""The grader: pictures dropped, graded, compared."""

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response

from services.api.problems import Problem, answer
from services.api.rendering import page
from services.api.v1.grades import Channel, Grader, Pictures, read

router = APIRouter(prefix="/grade")


@router.get("")
def ask_for_pictures(
    request: Request, channel: Annotated[str, Query(max_length=200)] = ""
) -> Response:
    """Ask for pictures."""
    return page("grade.html", request, graded=None, channel=channel, subscribers="")


@router.post("")
def grade(
    request: Request,
    grader: Grader,
    pictures: Pictures,
    channel: Channel = None,
    subscribers: Annotated[str, Form(max_length=20)] = "",
) -> Response:
    """Grade the pictures that were sent."""
    size = subscribers.replace(",", "").strip()
    if size and not size.isdecimal():
        found: object = Problem(
            "That cannot be asked for", 400, f"{subscribers!r} is no number of subscribers", "usage"
        )
    else:
        found = grader.grade(
            read(pictures), channel=channel or None, subscribers=int(size) if size else None
        )
    if isinstance(found, Problem):
        return answer(request, found)
    return page("grade.html", request, graded=found, channel=channel or "", subscribers=subscribers)
