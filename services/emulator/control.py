"""Behind the scenes over HTTP: the truth at any moment, the counts, the clock, the faults."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.emulator.clock import WorldClock
from services.emulator.faults import FaultPlan
from services.emulator.introspection import quota_report, request_report, truth
from services.emulator.world import World, json_answer
from services.errors import UsageError


class _Turn(BaseModel):
    """The body of ``POST /emulator/clock``: a moment to turn to, or seconds to go on."""

    model_config = ConfigDict(extra="forbid")

    now: datetime | None = None
    advance_s: float | None = None


def control_routes(world: World) -> list[Route]:
    """Return the routes below ``/emulator/``; none of them counts as a request of YouTube's."""
    return [
        Route("/emulator/truth", _explained(partial(_truth, world))),
        Route("/emulator/quota", _explained(partial(_quota, world))),
        Route("/emulator/requests", _explained(partial(_requests, world))),
        Route("/emulator/clock", _explained(partial(_clock, world)), methods=["GET", "POST"]),
        Route("/emulator/faults", _explained(partial(_faults, world)), methods=["GET", "POST"]),
    ]


_Endpoint = Callable[[Request], Awaitable[Response]]


def _explained(answer: _Endpoint) -> _Endpoint:
    """Answer what cannot be done with 400 and a line that says why."""

    async def endpoint(request: Request) -> Response:
        try:
            return await answer(request)
        except UsageError as error:
            message = f"{error} {error.hint}" if error.hint else str(error)
            return json_answer({"error": message}, status=400)

    return endpoint


async def _truth(world: World, request: Request) -> Response:
    text = request.query_params.get("at")
    found = truth(world.catalog, world.clock() if text is None else _moment(text))
    return json_answer(found | {"bent": world.odd.report()})


async def _quota(world: World, _request: Request) -> Response:
    return json_answer(quota_report(world.ledger))


async def _requests(world: World, _request: Request) -> Response:
    return json_answer(request_report(world.served, world.faults.struck))


async def _clock(world: World, request: Request) -> Response:
    clock = world.clock
    if request.method == "POST":
        turn = _turn(await request.body())
        if not isinstance(clock, WorldClock):
            raise UsageError(
                "This clock is the machine's own and cannot be turned.",
                hint="Start the emulator with --clock manual or --speed.",
            )
        if turn.now is not None:
            clock.turn_to(_aware(turn.now))
        if turn.advance_s is not None:
            clock.advance(timedelta(seconds=turn.advance_s))
    speed = clock.speed if isinstance(clock, WorldClock) else 1.0
    return json_answer({"now": clock().astimezone(UTC).isoformat(), "speed": speed})


async def _faults(world: World, request: Request) -> Response:
    if request.method == "POST":
        world.faults.plan = FaultPlan.read(await request.body())
    return json_answer(world.faults.plan.model_dump())


def _turn(body: bytes) -> _Turn:
    try:
        turn = _Turn.model_validate_json(body)
    except ValidationError:
        turn = _Turn()
    if (turn.now is None) == (turn.advance_s is None):
        raise UsageError('Send {"now": "2026-11-01T00:00:00Z"} or {"advance_s": 3600}.')
    return turn


def _moment(text: str) -> datetime:
    try:
        # A + of a zone that was not escaped arrives as a blank.
        return _aware(datetime.fromisoformat(text.replace(" ", "+")))
    except ValueError:
        raise UsageError(f"{text} is not a moment. Write it as 2026-11-01T00:00:00Z.") from None


def _aware(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
