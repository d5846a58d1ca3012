"""Asking the database from a page, as the role that may only read."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from services import catalog
from services.api.dependencies import Ctx
from services.api.rendering import page
from services.api.v1.sql import Answer, Question
from services.api.v1.sql import ask as answer_to
from services.context import Context
from services.errors import UsageError
from services.formatting import csv_text

router = APIRouter()
QUESTIONS = {
    "Which videos did far better than predicted?": (
        "SELECT channel_title, title, views_per_day, predicted_views_per_day\n"
        "FROM scored_videos WHERE rung = (SELECT rung FROM champion_ladders\n"
        "    WHERE task = 'thumbnails' AND is_champion)\n"
        "ORDER BY log10_residual DESC LIMIT 20"
    ),
    "How do the models compare?": (
        "SELECT rung, metric, value, low, high FROM model_comparison\n"
        "WHERE is_newest AND task = 'thumbnails' AND baseline IS NULL ORDER BY metric, value DESC"
    ),
    "Which thumbnails were swapped of late?": (
        "SELECT * FROM thumbnail_changes ORDER BY changed_at DESC LIMIT 20"
    ),
}


@router.get("/ask")
def ask(
    request: Request,
    context: Ctx,
    q: Annotated[str, Query(max_length=20_000)] = "",
    form: str = "",
) -> Response:
    """Ask one question and show the answer as a table or CSV."""
    answer: Answer | None = None
    problem: UsageError | None = None
    if q.strip():
        try:
            answer = answer_to(context, Question(query=q))
        except UsageError as error:
            problem = error
    if form == "csv" and answer is not None:
        headers = {"Content-Disposition": 'attachment; filename="answer.csv"'}
        return Response(
            csv_text(answer.columns, answer.rows), media_type="text/csv", headers=headers
        )
    return _shown(request, context, q, answer, problem)


def _shown(
    request: Request, context: Context, q: str, answer: Answer | None, problem: UsageError | None
) -> HTMLResponse:
    return page(
        "ask.html",
        request,
        q=q,
        answer=answer,
        problem=problem,
        questions=QUESTIONS,
        views=catalog.described(context),
        status_code=200 if problem is None else 400,
    )
