"""Partial responses: the parameter ``fields``, as in ``nextPageToken,items(id,snippet/title)``."""

import json
import re
from functools import cache
from importlib import resources
from typing import Any

from services.emulator.problems import ApiError

Mask = dict[str, "Mask"]
"""Selected names and what is selected below each; empty means everything."""

_TOKEN = re.compile(r"[A-Za-z0-9_*.-]+|[(),/]")


def parse_mask(text: str, response: str) -> Mask:
    """Return the mask in ``text``, checked against the API's own description.

    Args:
        text: The parameter's value.
        response: Name of the response's schema in the discovery document.

    Raises:
        ApiError: 400 if it is malformed or selects a field that the response does not have. A
            lenient answer would hide a misspelt field until the real API refuses it.
    """
    tokens = _TOKEN.findall(text)
    if not tokens or "".join(tokens) != re.sub(r"\s+", "", text):
        raise _invalid(text)
    mask, rest = _selection(tokens, text)
    if rest:
        raise _invalid(text)
    _check(mask, {"$ref": response})
    return mask


def apply_mask(mask: Mask, value: Any) -> Any:
    """Return ``value`` with only the selected fields; lists are masked element by element."""
    if not mask:
        return value
    if isinstance(value, list):
        return [apply_mask(mask, element) for element in value]
    if not isinstance(value, dict):
        return value
    everything = mask.get("*")
    kept = {}
    for name, below in value.items():
        selected = mask.get(name, everything)
        # Something selected below a plain value selects nothing.
        if selected is not None and (not selected or isinstance(below, dict | list)):
            kept[name] = apply_mask(selected, below)
    return kept


def _selection(tokens: list[str], text: str) -> tuple[Mask, list[str]]:
    """Read ``path, path(…), …`` up to a closing bracket or the end; return it and what is left."""
    mask: Mask = {}
    while True:
        level = mask
        while True:
            if not tokens or tokens[0] in "(),/":
                raise _invalid(text)
            name, *tokens = tokens
            level = level.setdefault(name, {})
            if tokens[:1] != ["/"]:
                break
            tokens = tokens[1:]
        if tokens[:1] == ["("]:
            below, tokens = _selection(tokens[1:], text)
            if tokens[:1] != [")"]:
                raise _invalid(text)
            tokens = tokens[1:]
            level.update(below)
        if tokens[:1] != [","]:
            return mask, tokens
        tokens = tokens[1:]


def _check(mask: Mask, schema: dict[str, Any]) -> None:
    """Raise if ``mask`` selects what ``schema`` does not describe."""
    if "$ref" in schema:
        schema = _schemas()[schema["$ref"]]
    if schema.get("type") == "array":
        _check(mask, schema["items"])
        return
    properties = schema.get("properties", {})
    free_form = schema.get("additionalProperties")
    for name, below in mask.items():
        if name == "*" or (not below and name in properties):
            continue
        if name not in properties and free_form is None:
            raise _invalid(name)
        _check(below, properties.get(name, free_form))


@cache
def _schemas() -> dict[str, Any]:
    """The API's schemas, from the discovery document that Google's own client carries."""
    folder = resources.files("googleapiclient") / "discovery_cache" / "documents"
    document = json.loads((folder / "youtube.v3.json").read_text(encoding="utf-8"))
    schemas: dict[str, Any] = document["schemas"]
    return schemas


def _invalid(what: str) -> ApiError:
    return ApiError(
        400,
        "invalidParameter",
        f"Invalid field selection {what}",
        domain="global",
        location="fields",
        rpc_status="INVALID_ARGUMENT",
    )
