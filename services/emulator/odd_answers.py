"""Answers of the Data API that are bent, as bytes: what JSON cannot say is put in by hand."""

import json

from starlette.responses import HTMLResponse, Response

from services.emulator.damage import BrokenOff
from services.emulator.odd import HUGE_NUMBER, Calls
from services.emulator.resources import Json

_DEEP = 100_000


def bent_answer(answer: Json) -> Response:
    """Write an answer as it is: half characters as escapes, and numbers that no float holds."""
    text = json.dumps(answer).replace(f'"{HUGE_NUMBER}"', "1e400")
    return Response(text, media_type="application/json; charset=UTF-8")


def spoiled(calls: Calls, answer: Json) -> Response:
    """Return what comes in place of an answer that names an item which spoils its calls."""
    if calls == "html":
        return HTMLResponse("<!DOCTYPE html><html><body>Something went wrong</body></html>")
    if calls == "cut":
        return BrokenOff(bent_answer(answer))
    deep = "[" * _DEEP + "]" * _DEEP
    text = json.dumps({"kind": answer.get("kind"), "items": []})[:-2] + deep + "]}"
    return Response(text, media_type="application/json; charset=UTF-8")
