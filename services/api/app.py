"""The application: pages, ``/api/v1``, and how it is doing."""

from importlib.metadata import version

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException

from services.api import pages, problems, v1
from services.api.access import REMEMBERED_S, Access, Doorkeeper
from services.api.conditional import Conditional
from services.api.counters import Counters, Counting
from services.api.description import describe
from services.api.figures import Standing
from services.api.grader import WarmGrader
from services.api.guards import LOOPBACK, Guards
from services.api.health import router as health
from services.api.permissions import Permissions
from services.api.server import is_loopback
from services.context import Context
from services.errors import TubeGraderError
from services.settings import Settings

_PROBLEM = {
    "description": "What went wrong, as RFC 9457 puts it, with a reason and a hint.",
    "content": {problems.MEDIA_TYPE: {}},
}
_DESCRIPTION = """What a thumbnail is worth, measured.

Lists come in pages: give `next` of one as `after` of the next. Failures are
`application/problem+json` with the product's own `reason` and `hint`. Once there is a token, each
request needs one: `Authorization: Bearer TOKEN`; `x-scope` of an operation says which it needs.
"""


def create_app(context: Context, *, remembered_s: float = REMEMBERED_S) -> FastAPI:
    """Return the application on an open context, which its routes share.

    Args:
        context: The database and all else.
        remembered_s: How long it is remembered what a token may; 0: and figures either.
    """
    settings = context.settings
    app = FastAPI(
        title="TubeGrader",
        version=version("tubegrader"),
        description=_DESCRIPTION,
        openapi_url="/api/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        responses={"default": _PROBLEM},
        generate_unique_id_function=lambda route: route.name,
    )
    app.openapi = lambda: describe(app)  # type: ignore[method-assign]  # as its documentation says
    app.state.context = context
    app.state.metrics = CollectorRegistry()
    counters = Counters()
    standing = Standing(context) if remembered_s else Standing(context, remembered_s=0, slowly_s=0)
    for collector in (counters, standing):
        app.state.metrics.register(collector)
    app.state.collectors = (counters, standing)
    app.state.grader = WarmGrader(settings)
    app.state.doorkeeper = Doorkeeper(
        context, on_loopback=is_loopback(settings.api_address), remembered_s=remembered_s
    )
    app.include_router(v1.router)
    app.include_router(health)
    app.include_router(pages.router)
    app.add_exception_handler(TubeGraderError, problems.answer_expected)
    app.add_exception_handler(RequestValidationError, problems.answer_malformed)
    app.add_exception_handler(HTTPException, problems.answer_http)
    app.add_exception_handler(Exception, problems.answer_defect)
    # From the innermost outwards.
    app.add_middleware(
        Access,
        doorkeeper=app.state.doorkeeper,
        permissions=Permissions(routes_of(app)),
        per_minute=settings.api_rate,
    )
    app.add_middleware(Conditional)
    app.add_middleware(Guards, names=LOOPBACK | _names(settings))
    app.add_middleware(Counting, counters=counters)
    return app


def routes_of(app: FastAPI) -> list[str]:
    """Return what can be asked for, as ``GET /path/{part}``."""
    return [
        f"{method} {route.path}"
        for route in iter_route_contexts(app.routes)
        for method in sorted((route.methods or set()) - {"HEAD"})
    ]


def _names(settings: Settings) -> set[str]:
    """Return the names, beside this machine's own, that the operator gave it."""
    given = (settings.api_hosts or "").split(",")
    return {name.strip().lower().strip("[]") for name in (*given, settings.api_address)} - {""}
