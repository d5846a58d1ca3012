"""Models: which are in use, what decided it, how they compare."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field

from services.api.dependencies import Body, Ctx
from services.errors import NotFoundError
from services.learning.drift import reading
from services.learning.promotion.by_hand import promote, rollback
from services.learning.promotion.facts import facts_of, listed
from services.learning.promotion.naming import find
from services.learning.results import needs_comparison, newest_comparison

router = APIRouter(tags=["models"])
Task = Annotated[Literal["thumbnails", "speech"], Query(description="Of which task.")]
Model = Annotated[
    str, Path(description="RUNG, RUNG@VERSION, champion or challenger.", max_length=200)
]


class Why(Body):
    """Why somebody decides by hand; kept with the decision."""

    why: str = Field(
        min_length=1,
        max_length=2_000,
        pattern=r"^[^\x00]*$",
        examples=["it is better on the newest videos"],
    )
    dry_run: bool = False


@router.get("/models")
def list_models(
    context: Ctx,
    task: Annotated[Literal["thumbnails", "speech"] | None, Query()] = None,
    every: Annotated[bool, Query(alias="all", description="All versions there are.")] = False,
) -> dict[str, Any]:
    """List the models in use and the newest ones, with the last decision of each task."""
    return listed(context, task=task, every=every)


@router.get("/models/{model}")
def show_model(context: Ctx, model: Model, task: Task = "thumbnails") -> dict[str, Any]:
    """Show one model: data, metrics, decisions about it, files."""
    return facts_of(context, find(context, model, task=task))


@router.post("/models/{model}/promote")
def promote_model(
    context: Ctx, model: Model, why: Why, task: Task = "thumbnails"
) -> dict[str, Any]:
    """Make it the champion by hand, with all that was trained together with it."""
    version = find(context, model, task=task)
    decision = promote(context, version, why=why.why, dry_run=why.dry_run)
    return decision.as_json() | {"dry_run": why.dry_run}


@router.post("/champions/{task}/rollback")
def roll_back(context: Ctx, task: Literal["thumbnails", "speech"], why: Why) -> dict[str, Any]:
    """Make the champion before the champion again."""
    decision = rollback(context, task, why=why.why, dry_run=why.dry_run)
    return decision.as_json() | {"dry_run": why.dry_run}


@router.get("/comparisons/{task}")
def show_whether_compared(context: Ctx, task: Literal["thumbnails", "speech"]) -> dict[str, bool]:
    """Tell whether the newest models of a task still have to be compared: by a job."""
    return {"needed": needs_comparison(context, task)}


@router.get("/comparisons/{task}/newest")
def show_comparison(context: Ctx, task: Literal["thumbnails", "speech"]) -> dict[str, Any]:
    """Show how the newest models of a task compare, with intervals."""
    return newest_comparison(context, task)


@router.get("/drift/newest")
def show_drift(context: Ctx) -> dict[str, Any]:
    """Show whether the newest videos differ from those that the champion learned on."""
    found = reading.newest(context)
    if found is None:
        raise NotFoundError(
            "drift was not measured yet",
            reason="noDrift",
            hint="each retraining measures it; `tubegrader models drift --now` does at once",
        )
    return found
