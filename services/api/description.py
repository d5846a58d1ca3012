"""The description of the interface: what routes say by their types, with scopes and examples."""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from services.api import problems
from services.api.permissions import PUBLIC, Permissions
from services.api.problems import problem

_BEARER: Final = "bearer"
_DEEPEST: Final = 4
_BY_FORMAT: Final = {
    "date-time": "2026-11-02T03:30:00Z",
    "date": "2026-11-02",
    "uuid": "8e03978e-40d5-43dd-bc93-6894a57f9324",
    "binary": "(a file)",
}
_BY_NAME: Final = {
    "channel": "@handle",
    "channel_id": "UCaaaaaaaaaaaaaaaaaaaaaa",
    "video_id": "dQw4w9WgXcQ",
    "job_id": "8e03978e-40d5-43dd-bc93-6894a57f9324",
    "name": "nightly-crawl",
    "model": "champion",
    "sha256": "0" * 64,
    "thumbnail_sha256": "0" * 64,
    "view": "scored_videos",
    "scope": "crawl",
    "title": "How to grow tomatoes",
    "language": "en",
    "state": "succeeded",
    "kind": "crawl",
    "next": "WyJaZWJyYSIsICJVQ2FhIl0",
}
_STREAMS: Final = {
    "text/event-stream": 'id: 5f1c\ndata: {"state": "running", "progress_done": 3}\n\n',
    "application/x-ndjson": '{"video_id": "dQw4w9WgXcQ", "rung": "subscribers"}\n',
    "text/csv": "video_id,rung\r\ndQw4w9WgXcQ,subscribers\r\n",
    "text/plain": 'tubegrader_jobs{state="succeeded"} 3\n',
}
_WRONG: Final = vars(
    problem(404, "there is no video aaaaaaaaaaa", "noVideo", hint="crawl its channel first")
)


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of an application, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            description=app.description,
            routes=app.routes,
        )
        _complete(document)
        app.openapi_schema = document
    return app.openapi_schema


def _complete(document: dict[str, Any]) -> None:
    parts = document.setdefault("components", {})
    parts["securitySchemes"] = {_BEARER: {"type": "http", "scheme": "bearer"}}
    schemas = parts.setdefault("schemas", {})
    for name, schema in schemas.items():
        # A page of jobs and one of videos are two things, which generators name by their titles.
        schema["title"] = name.replace("_", "")
    schemas["Problem"] = _problem_schema()
    permissions = Permissions(())
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            scope = permissions.needed(method.upper(), path)
            operation["x-scope"] = scope
            # A token may be left out where there is none yet, on the machine itself.
            operation["security"] = [] if scope == PUBLIC else [{_BEARER: []}, {}]
            _show(operation, schemas)


def _show(operation: dict[str, Any], schemas: Mapping[str, Any]) -> None:
    """Give each parameter, body and answer of an operation an example."""
    for parameter in operation.get("parameters", ()):
        given = parameter["schema"].get("examples")
        if parameter["in"] == "path" and not given:
            parameter["example"] = _BY_NAME.get(parameter["name"]) or example(
                parameter["schema"], schemas
            )
        elif given:
            parameter["example"] = given[0]
    _show_answers(operation, schemas)
    # The framework's own form of it, which problems have taken the place of.
    operation["responses"].pop("422", None)
    for content in operation.get("requestBody", {}).get("content", {}).values():
        content["example"] = example(content["schema"], schemas)


def _show_answers(operation: dict[str, Any], schemas: Mapping[str, Any]) -> None:
    for status, answer in operation["responses"].items():
        for media_type, content in answer.get("content", {}).items():
            if media_type == problems.MEDIA_TYPE:
                content["schema"] = {"$ref": "#/components/schemas/Problem"}
                content["example"] = {k: v for k, v in _WRONG.items() if v is not None}
            elif media_type in _STREAMS:
                if media_type != "text/event-stream":  # whose events have a form of their own
                    content["schema"] = {"type": "string"}
                content["example"] = _STREAMS[media_type]
            elif status != "422" and "schema" in content:
                content["example"] = example(content["schema"], schemas)


def example(
    schema: Mapping[str, Any], schemas: Mapping[str, Any], name: str = "", depth: int = 0
) -> Any:
    """Return a value that a schema admits."""
    if "$ref" in schema:
        return example(schemas[schema["$ref"].rpartition("/")[2]], schemas, name, depth)
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return example(schema[key][0], schemas, name, depth)
    for known in (schema.get("examples"), schema.get("enum")):
        if known:
            return known[0]
    if "const" in schema:
        return schema["const"]
    kind = schema.get("type")
    if kind == "object":
        if depth > _DEEPEST:
            return {}
        wanted = schema.get("properties", {})
        return {key: example(part, schemas, key, depth + 1) for key, part in wanted.items()}
    if kind == "array":
        return [] if depth > _DEEPEST else [example(schema["items"], schemas, name, depth + 1)]
    simple: dict[Any, Any] = {
        "integer": max(1, schema.get("minimum", 1)),
        "number": 0.5,
        "boolean": schema.get("default", False),
        "string": _BY_FORMAT.get(schema.get("format", "")) or _BY_NAME.get(name, "text"),
    }
    return simple.get(kind, schema.get("default"))


def _problem_schema() -> dict[str, Any]:
    text = {"type": "string"}
    return {
        "title": "Problem",
        "type": "object",
        "description": "What went wrong (RFC 9457), with the product's own reason and hint.",
        "properties": {
            "type": text,
            "title": text,
            "status": {"type": "integer"},
            "detail": text,
            "reason": {**text, "description": "A stable word to count by."},
            "hint": {**text, "description": "What to do about it."},
            "errors": {"type": "array", "items": {"type": "object"}},
        },
        "required": ["type", "title", "status", "detail", "reason"],
    }
