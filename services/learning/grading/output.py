"""Files of a grade: the page, which needs nothing else, and the heat map."""

import base64
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from services.learning.grading import formatting
from services.learning.grading.grade import Graded, Grading
from services.learning.grading.heat import overlay
from services.learning.grading.pictures import as_shown
from services.learning.output import write_wanted_file


def write_page(grading: Grading, path: Path) -> None:
    """Write the grade as one HTML file without scripts or addresses to fetch.

    Raises:
        UsageError: It cannot be written there.
    """
    _write(render(grading).encode(), path)


def write_heatmap(graded: Graded, path: Path) -> None:
    """Write where a picture's answer comes from as a PNG of 640 by 360.

    Raises:
        UsageError: It cannot be written there.
    """
    _write(overlay(graded.candidate.frame, graded.heat), path)


def render(grading: Grading) -> str:
    """Return the page. Names of files are escaped by the template."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    folder = resources.files("services.learning")
    # Ours, and inside <style>, where escaping would break it.
    style = Markup((folder / "report" / "page.css").read_text("utf-8"))  # noqa: S704
    template = environment.from_string((folder / "grading" / "page.html").read_text("utf-8"))
    return template.render(
        style=style,
        grading=grading,
        words=formatting,
        tiles=tiles(grading),
    )


def tiles(grading: Grading) -> list[dict[str, Any]]:
    """Return what a page shows of each picture, drawn, as addresses of data."""
    return [
        {
            "graded": each,
            "picture": _address(as_shown(each.candidate.frame), "jpeg"),
            "heat": _address(overlay(each.candidate.frame, each.heat), "png"),
            "gradients": _gradients(grading, number),
            "edits": [
                (tried, _address(tried.content, "jpeg"))
                for tried in formatting.shown_edits(each.edits)
            ],
        }
        for number, each in enumerate(grading.graded)
    ]


def _gradients(grading: Grading, number: int) -> str | None:
    if not grading.gradients.maps:
        return None
    frame = grading.graded[number].candidate.frame
    return _address(overlay(frame, grading.gradients.maps[number]), "png")


def _address(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _write(content: bytes, path: Path) -> None:
    write_wanted_file(path, content, failure=f"{path} cannot be written")
