"""How the whole stands: what holds work back, who works, quota."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fastapi import APIRouter

from services.api.dependencies import Ctx, WhoAsks
from services.crawl.spending import spending
from services.work import admission, fleet
from services.work.admission import Blocker
from services.work.fleet import ProcessView

router = APIRouter(tags=["system"])


@dataclass(frozen=True)
class System:
    """How the whole stands.

    Attributes:
        now: By the database.
        held_back: What holds work back: pauses, open breakers, used-up quota.
        fleet: The processes that work on this database, on whatever machine.
    """

    now: datetime
    held_back: list[Blocker]
    fleet: list[ProcessView]


@dataclass(frozen=True)
class Myself:
    """Who asks.

    Attributes:
        name: Of the token; ``anybody`` where none is needed.
        scope: The widest that they have.
    """

    name: str
    scope: str


@router.get("/whoami")
def show_caller(caller: WhoAsks) -> Myself:
    """Tell whose token it is that came along, and what it may."""
    return Myself(caller.name, caller.scope)


@router.get("/system")
def show_system(context: Ctx) -> System:
    """Tell what holds work back and who works."""
    return System(context.clock(), admission.blockers(context), fleet.listed(context))


@router.get("/quota")
def show_quota(context: Ctx, days: int = 7) -> dict[str, Any]:
    """Tell what the YouTube quota was spent on."""
    return spending(context, days=max(1, min(days, 400))).as_json()
