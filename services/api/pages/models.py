"""Models: in use and newest, what decided it; promoted and rolled back by hand."""

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from db.models.learning import TASKS
from services.api.dependencies import Ctx
from services.api.rendering import page
from services.learning.drift import reading
from services.learning.promotion import decisions
from services.learning.promotion.by_hand import promote, rollback
from services.learning.promotion.card import render
from services.learning.promotion.facts import facts_of, listed
from services.learning.promotion.naming import find

router = APIRouter(prefix="/models")
CONTESTS = 30
Task = Literal["thumbnails", "speech"]


@router.get("")
def list_models(request: Request, context: Ctx, every: bool = False) -> HTMLResponse:
    """List models with the last decision of each task."""
    contests = [
        {"decided_at": row.decided_at, "task": task, **decision.as_json()}
        for task in TASKS
        for row, decision in decisions.history(context, task)
    ]
    contests.sort(key=lambda each: each["decided_at"], reverse=True)
    return page(
        "models.html",
        request,
        found=listed(context, every=every),
        every=every,
        contests=contests[:CONTESTS],
        drift=reading.newest(context),
    )


@router.get("/{model}")
def show_model(
    request: Request, context: Ctx, model: str, task: Task = "thumbnails"
) -> HTMLResponse:
    """Show one model."""
    facts = facts_of(context, find(context, model, task=task))
    return page("model.html", request, model=facts, card=render(facts))


@router.post("/{model}/promote")
def promote_model(
    context: Ctx, model: str, why: Annotated[str, Form(max_length=2_000)], task: Task = "thumbnails"
) -> RedirectResponse:
    """Make a model the champion."""
    promote(context, find(context, model, task=task), why=why)
    return RedirectResponse("/models", 303)


@router.post("/{task}/champion/rollback")
def roll_back(
    context: Ctx, task: Task, why: Annotated[str, Form(max_length=2_000)] = ""
) -> RedirectResponse:
    """Make the champion before the champion again."""
    rollback(context, task, why=why)
    return RedirectResponse("/models", 303)
