"""What is found of one thing that TubeGrader needs."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """How bad it is: ``warn`` costs a feature, ``fail`` stops everything."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Check:
    """One thing that was checked, and what to do unless it is ok."""

    name: str
    level: Level
    found: str
    remedy: str | None = None
    figures: dict[str, Any] | None = None
    """What was measured, as plain values."""
