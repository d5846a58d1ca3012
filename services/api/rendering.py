"""Pages from templates: what they may call, and how numbers and moments are written in them."""

from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from services.api import charts
from services.schedules.names import length_text

SURPRISES = "/videos?order=underestimated"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("services.api"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "ours": _ours,
        "decimal": decimal,
        "figure": figure,
        "moment": moment,
        "percent": percent,
        "share": share,
        "short": short,
        "length_text": length_text,
        "hint": hint,
        "wrappable": wrappable,
    }
    environment.globals["charts"] = charts
    return environment


def page(name: str, request: Request, *, status_code: int = 200, **values: Any) -> HTMLResponse:
    """Render a template; everything that is not markup of ours is escaped."""
    template = _environment().get_template(name)
    caller = getattr(request.state, "caller", None)
    shown = template.render(
        here=_here(request), signed_in=getattr(caller, "by_cookie", False), **values
    )
    return HTMLResponse(shown, status_code=status_code)


def fragment(name: str, **values: Any) -> str:
    """Render a part of a page, to be put into one with the filter ``ours``."""
    return _environment().get_template(name).render(**values)


def _ours(rendered: str) -> Markup:
    return Markup(rendered)  # noqa: S704 - rendered by a template of ours, escaped there


def _here(request: Request) -> str:
    """Return which entry of the navigation a page belongs to."""
    part = f"/{request.url.path.split('/')[1]}"
    if part == "/videos" and request.query_params.get("order", "newest") != "newest":
        return SURPRISES
    return part


def number(value: float | None, missing: str = "–") -> Markup:
    """Write a count so that the browser may write it as its reader does."""
    if value is None:
        return Markup("{}").format(missing)
    return Markup('<data value="{}">{}</data>').format(value, f"{value:,.0f}")


def decimal(value: float | None, digits: int = 3, sign: str = "") -> str:
    """Write a figure."""
    return "–" if value is None else f"{value:{sign}.{digits}f}"


def figure(value: float | None, digits: int = 3, sign: str = "") -> Markup:
    """Write a figure so that the browser may write it as its reader does."""
    return _data(value, decimal(value, digits, sign), digits, "always" if sign else "auto")


def percent(value: float | None, digits: int = 0) -> Markup:
    """Write a share so that the browser may write it as its reader does."""
    return _data(value, share(value, digits), digits, "auto", style="percent")


def _data(
    value: float | None, text: str, digits: int, sign: str, *, style: str = "decimal"
) -> Markup:
    if value is None:
        return Markup("{}").format(text)
    return Markup(
        '<data value="{}" data-digits="{}" data-sign="{}" data-style="{}">{}</data>'
    ).format(value, digits, sign, style, text)


def share(value: float | None, digits: int = 0) -> str:
    """Write a share, 0 to 1, in percent."""
    return "–" if value is None else f"{100 * value:.{digits}f}\N{NO-BREAK SPACE}%"


def short(value: str, length: int = 8) -> str:
    """Return the beginning of an id."""
    return value[:length]


def hint(text: str) -> Markup:
    """Write what an error advises; commands, which stand between backticks, as such."""
    parts = text.split("`")
    return Markup().join(
        Markup("<code>{}</code>").format(part) if place % 2 and place + 1 < len(parts) else part
        for place, part in enumerate(parts)
    )


def wrappable(name: str) -> Markup:
    """Write a model's name so that a narrow column may break it behind a plus."""
    return Markup("+<wbr>").join(name.split("+"))


def moment(value: datetime | str | None, missing: str = "–") -> Markup:
    """Write a moment in UTC; the browser writes it in its reader's zone."""
    if value is None:
        return Markup("{}").format(missing)
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    at = value.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        f"{at:%Y-%m-%dT%H:%M:%SZ}", f"{at:%Y-%m-%d %H:%M} UTC"
    )


def asset(name: str) -> bytes:
    """Return a file that pages need.

    Raises:
        FileNotFoundError: There is none of that name.
    """
    for each in (resources.files("services.api") / "static").iterdir():
        if each.name == name:
            return each.read_bytes()
    raise FileNotFoundError(name)
