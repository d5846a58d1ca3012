"""Who may ask for what: each route once, under the narrowest scope that lets it through.

What changes nothing is for ``read``, a question to the database and a grade among it; what has
work done or changes what is collected for ``operate``; what decides which models are used, or
deletes, for ``admin``. A route that stands nowhere here is for ``admin``, and a test names it.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from starlette.routing import compile_path

PUBLIC: Final = "none"
"""In the place of a scope: no token is needed."""

PERMISSIONS: Final = {
    PUBLIC: (
        "GET /healthz",
        "GET /readyz",
        "GET /sign-in",
        "POST /sign-in",
        "POST /sign-out",
        "GET /static/{name}",
        "GET /favicon.ico",
    ),
    "read": (
        "GET /metrics",
        "GET /api/v1/openapi.json",
        "GET /api/v1/whoami",
        "GET /api/v1/system",
        "GET /api/v1/digest",
        "GET /api/v1/pauses",
        "GET /api/v1/quota",
        "GET /api/v1/channels",
        "GET /api/v1/channels/{channel}",
        "GET /api/v1/channels/{channel}/counts",
        "GET /api/v1/videos",
        "GET /api/v1/videos/{video_id}",
        "GET /api/v1/thumbnails/{sha256}",
        "POST /api/v1/grades",
        "GET /api/v1/jobs",
        "GET /api/v1/jobs/{job_id}",
        "GET /api/v1/jobs/{job_id}/events",
        "GET /api/v1/work-items",
        "GET /api/v1/schedules",
        "GET /api/v1/schedules/{name}",
        "GET /api/v1/schedules/{name}/next",
        "GET /api/v1/models",
        "GET /api/v1/models/{model}",
        "GET /api/v1/comparisons/{task}",
        "GET /api/v1/comparisons/{task}/newest",
        "GET /api/v1/drift/newest",
        "GET /api/v1/languages",
        "GET /api/v1/languages/conflicts",
        "GET /api/v1/languages/{video_id}",
        "POST /api/v1/language-detections",
        "GET /api/v1/completeness",
        "GET /api/v1/completeness/total",
        "POST /api/v1/sql",
        "GET /api/v1/export",
        "GET /api/v1/export/{view}",
        "GET /",
        "GET /channels",
        "GET /channels/{channel}",
        "GET /videos",
        "GET /videos/{video_id}",
        "GET /comparison",
        "GET /comparison/points",
        "GET /digest",
        "GET /speech",
        "POST /speech",
        "GET /speech/clips/{clip_id}/spectrogram",
        "GET /speech/conflicts",
        "GET /speech/segments/{segment_id}",
        "GET /grade",
        "POST /grade",
        "GET /models",
        "GET /models/{model}",
        "GET /jobs",
        "GET /jobs/{job_id}",
        "GET /schedules",
        "GET /completeness",
        "GET /ask",
    ),
    "operate": (
        "POST /api/v1/channels",
        "POST /api/v1/channels/{channel}/pause",
        "POST /api/v1/channels/{channel}/resume",
        "POST /api/v1/channels/{channel}/tags",
        "POST /api/v1/pauses",
        "DELETE /api/v1/pauses/{scope}",
        "POST /api/v1/jobs",
        "POST /api/v1/failed-jobs/retry",
        "POST /api/v1/jobs/{job_id}/cancel",
        "POST /api/v1/jobs/{job_id}/pause",
        "POST /api/v1/jobs/{job_id}/resume",
        "POST /api/v1/jobs/{job_id}/retry",
        "POST /api/v1/work-items/retry",
        "POST /api/v1/schedules",
        "PUT /api/v1/schedules/{name}",
        "POST /api/v1/schedules/{name}/pause",
        "POST /api/v1/schedules/{name}/resume",
        "POST /api/v1/schedules/{name}/run-now",
        "DELETE /api/v1/schedules/{name}",
        "POST /api/v1/language-labels",
        "POST /channels",
        "POST /channels/{channel}/{action}",
        "POST /jobs",
        "POST /jobs/retry",
        "POST /jobs/{job_id}/{action}",
        "POST /schedules",
        "POST /schedules/{name}/change",
        "POST /schedules/{name}/{action}",
        "POST /speech/labels",
    ),
    "admin": (
        "DELETE /api/v1/channels/{channel}",
        "POST /api/v1/models/{model}/promote",
        "POST /api/v1/champions/{task}/rollback",
        # Narrower than the route that it comes by.
        "POST /channels/{channel}/forget",
        "POST /models/{model}/promote",
        "POST /models/{task}/champion/rollback",
    ),
}

NARROWEST: Final = "read"
WIDEST: Final = "admin"
_WIDTH = {scope: width for width, scope in enumerate(PERMISSIONS)}


def declared() -> Iterator[tuple[str, str]]:
    """Yield each route, as ``GET /path/{part}``, with its scope."""
    for scope, routes in PERMISSIONS.items():
        for route in routes:
            yield route, scope


class Permissions:
    """Tells of a method and a path which scope they need."""

    def __init__(self, routes: Iterable[str]) -> None:
        """Know the routes that there are, as ``GET /path/{part}``."""
        wanted = dict.fromkeys(routes, WIDEST) | dict(declared())
        self._rules = [
            (method, compile_path(path)[0], scope)
            for route, scope in wanted.items()
            for method, _, path in [route.partition(" ")]
        ]

    def needed(self, method: str, path: str) -> str:
        """Return the widest scope of all that match; ``read`` where there is no such route."""
        found = [
            scope for named, form, scope in self._rules if named == method and form.match(path)
        ]
        return max(found, key=_WIDTH.__getitem__, default=NARROWEST)
