"""A job's progress as server-sent events."""

import json
import time
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any, Final

import anyio
from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import StreamingResponse

from services.api.dependencies import Ctx, WhoAsks
from services.api.problems import answer, problem
from services.api.v1.jobs import JobId
from services.context import Context
from services.errors import TubeGraderError
from services.work import jobs

router = APIRouter(prefix="/jobs", tags=["jobs"])
_POLL_S: Final = 0.5
_SILENT_S: Final = 15.0
"""So long nothing is said at most: proxies take silence for an end."""
_LONGEST_S: Final = 3_600.0
"""A reader asks again by itself after that."""
_MOST: Final = 20
"""Of one token at a time; a browser opens six."""


@router.get(
    "/{job_id}/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def follow_job(
    request: Request,
    context: Ctx,
    caller: WhoAsks,
    job_id: JobId,
    last_event_id: Annotated[
        str | None, Header(max_length=100, description="The last that was seen.")
    ] = None,
) -> Response:
    """Follow a job as server-sent events: it as a whole whenever it changed, until it ended."""
    streams = request.app.state.doorkeeper.streams
    if streams[caller.token_id] >= _MOST:
        said = f"{_MOST} jobs are followed with this token"
        headers = {"Retry-After": "15"}
        hint = "end some of them first"
        refused = problem(429, said, "tooManyRequests", hint=hint)
        return answer(request, refused, headers)
    found = await anyio.to_thread.run_sync(jobs.find, context, job_id)
    events = _counted(
        _events(request, context, uuid.UUID(found.job_id), last_event_id), streams, caller.token_id
    )
    return StreamingResponse(events, media_type="text/event-stream")


async def _counted(
    events: AsyncGenerator[str, None], streams: Counter[int | None], token_id: int | None
) -> AsyncIterator[str]:
    streams[token_id] += 1
    try:
        async with aclosing(events):
            async for event in events:
                yield event
    finally:
        streams[token_id] -= 1


async def _events(
    request: Request, context: Context, job_id: uuid.UUID, seen: str | None
) -> AsyncGenerator[str, None]:
    said = let_in = began = time.monotonic()
    while not await request.is_disconnected() and time.monotonic() - began < _LONGEST_S:
        try:
            if time.monotonic() - let_in > _SILENT_S:
                let_in = time.monotonic()
                if await request.app.state.doorkeeper.caller(request.headers) is None:
                    return  # the token or the session has ended
            job = await anyio.to_thread.run_sync(jobs.view, context, job_id)
        except TubeGraderError as error:
            # The database is away; whoever follows asks again by itself after a while.
            yield f"event: problem\ndata: {json.dumps({'detail': str(error)})}\n\n"
            return
        shown = job.as_json()
        version = _version(shown)
        if version != seen:
            seen, said = version, time.monotonic()
            yield f"id: {version}\ndata: {json.dumps(shown)}\n\n"
        if job.ended:
            yield "event: end\ndata: {}\n\n"
            return
        if time.monotonic() - said > _SILENT_S:
            said = time.monotonic()
            yield ": still there\n\n"
        await anyio.sleep(_POLL_S)


def _version(shown: dict[str, Any]) -> str:
    parts = (
        "state",
        "progress_done",
        "progress_total",
        "progress_message",
        "waiting_until",
        "paused_at",
    )
    return uuid.uuid5(uuid.NAMESPACE_OID, json.dumps([shown[part] for part in parts])).hex
