"""Signing in: the token typed once, a session from then on."""

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from services import tokens
from services.api.problems import Problem, answer, problem
from services.api.rendering import page
from services.api.sessions import LIFETIME_S, cookie_name, session_cookie

if TYPE_CHECKING:
    from services.api.access import Doorkeeper

router = APIRouter()


@router.get("/sign-in")
def ask_for_token(request: Request, next: str = "/") -> Response:  # noqa: A002 - its name in links
    """Ask for a token."""
    return _shown(request, next, None)


@router.post("/sign-in")
async def sign_in(
    request: Request,
    token: Annotated[str, Form(max_length=500)],
    next: Annotated[str, Form(max_length=2_000)] = "/",  # noqa: A002
) -> Response:
    """Begin a session of whoever shows a token."""
    doorkeeper: Doorkeeper = request.app.state.doorkeeper
    caller = await doorkeeper.owner(token.strip())
    if caller is None:
        # Only wrong ones are counted: behind a proxy all have one address.
        wait = doorkeeper.sign_ins.wait_s(request.client.host if request.client else "")
        if wait:
            headers = {"Retry-After": str(round(wait) + 1)}
            return answer(request, problem(429, "that was tried often", "tooManyRequests"), headers)
        return _shown(
            request,
            next,
            problem(
                401,
                "that is no token in force",
                "tokenNeeded",
                hint="`tubegrader tokens list` shows which there are",
            ),
        )
    answered = RedirectResponse(_local(next), 303)
    answered.set_cookie(
        cookie_name(request.headers),
        doorkeeper.sessions.begin(tokens.digest(token.strip())),
        max_age=LIFETIME_S,
        httponly=True,
        samesite="lax",
        # Behind a proxy only the browser knows; it names the scheme in the origin of each form.
        secure=request.headers.get("origin", "").startswith("https:"),
    )
    return answered


@router.post("/sign-out")
def sign_out(request: Request) -> Response:
    """End the session."""
    doorkeeper: Doorkeeper = request.app.state.doorkeeper
    cookie = session_cookie(request.headers)
    if cookie is not None:
        doorkeeper.sessions.end(cookie)
    answered = RedirectResponse("/sign-in", 303)
    answered.delete_cookie(cookie_name(request.headers), httponly=True, samesite="lax")
    return answered


def _shown(request: Request, after: str, found: Problem | None) -> Response:
    return page(
        "sign_in.html",
        request,
        after=_local(after),
        problem=found,
        status_code=200 if found is None else found.status,
    )


def _local(path: str) -> str:
    """Return a path of our own, whatever somebody put into a link."""
    is_local = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_local else "/"
