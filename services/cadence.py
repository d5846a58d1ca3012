"""When something is collected next: the younger a video, the more its counts move.

A policy is a value one can read, print and write as TOML; ``docs/operations/cadence.md`` tells
why the default is what it is.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from services.errors import UsageError

GRID = timedelta(hours=1)
"""Slots lie on full hours: videos found minutes apart then share a call, fifty for one unit."""
LONGEST = timedelta(days=3650)
_ANY_FULL_HOUR = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Step:
    """Videos younger than ``younger_than`` are read ``every`` so often; None is any age."""

    younger_than: timedelta | None
    every: timedelta


@dataclass(frozen=True)
class Policy:
    """How often what is collected.

    Attributes:
        discovery_every: A channel's uploads are looked through.
        channel_every: A channel's counters are read.
        thumbnail_every: A thumbnail is asked for again.
        videos: A video's counters are read, by age; the last step is for all older ones.
        shorts: The same for Shorts; None treats them like the others.
    """

    discovery_every: timedelta
    channel_every: timedelta
    thumbnail_every: timedelta
    videos: tuple[Step, ...]
    shorts: tuple[Step, ...] | None = None

    def video_interval(self, age: timedelta, video_format: str | None = None) -> timedelta:
        """Return how often the counts of a video of this age and format are read."""
        for step in self.steps(video_format):
            if step.younger_than is None or age < step.younger_than:
                return step.every
        raise AssertionError("the last step is for any age")

    def steps(self, video_format: str | None = None) -> tuple[Step, ...]:
        """Return the steps that a format goes through."""
        return self.shorts if video_format == "short" and self.shorts else self.videos


DEFAULT = Policy(
    discovery_every=timedelta(days=1),
    channel_every=timedelta(days=1),
    thumbnail_every=timedelta(days=7),
    videos=(
        Step(timedelta(days=2), timedelta(hours=6)),
        Step(timedelta(days=14), timedelta(days=1)),
        Step(timedelta(days=90), timedelta(days=7)),
        Step(None, timedelta(days=30)),
    ),
)


def next_slot(slot: datetime, interval: timedelta, *, now: datetime) -> datetime:
    """Return the slot after ``slot``: an interval later, on a full hour, and in the future.

    Missed slots are skipped. ``interval`` is in whole hours.
    """
    missed = max((now - slot) // interval, 0)
    found = slot + interval * (missed + 1)
    return found + (_ANY_FULL_HOUR - found) % GRID


def load(path: Path | None) -> Policy:
    """Read a policy from a TOML file; None is the default.

    What the file leaves out is as in the default.

    Raises:
        UsageError: It cannot be read, or is no policy; the message says where and why.
    """
    if path is None:
        return DEFAULT
    try:
        return parse(path.read_text("utf-8"))
    except OSError as error:
        raise _wrong(f"it cannot be read ({error.strerror})", path) from error
    except ValueError as error:  # of ours, of TOML, or no UTF-8
        raise _wrong(str(error), path) from error


def parse(toml: str) -> Policy:
    """Return the policy that a TOML text describes.

    Raises:
        ValueError: It describes none; the message says where and why.
    """
    given = tomllib.loads(toml)
    single = ("discovery_every", "channel_every", "thumbnail_every")
    if unknown := given.keys() - {*single, "videos", "shorts"}:
        raise ValueError(f"it knows no {min(unknown)!r}")
    times = {
        name: _duration(given[name], name) if name in given else getattr(DEFAULT, name)
        for name in single
    }
    videos = _steps(given["videos"], "videos") if "videos" in given else DEFAULT.videos
    shorts = _steps(given["shorts"], "shorts") if "shorts" in given else None
    return Policy(**times, videos=videos, shorts=shorts)


def as_toml(policy: Policy) -> str:
    """Return a policy as the TOML that ``parse`` reads."""
    lines = [
        f'discovery_every = "{duration_text(policy.discovery_every)}"',
        f'channel_every = "{duration_text(policy.channel_every)}"',
        f'thumbnail_every = "{duration_text(policy.thumbnail_every)}"',
    ]
    for name, steps in (("videos", policy.videos), ("shorts", policy.shorts or ())):
        for step in steps:
            lines += ["", f"[[{name}]]"]
            if step.younger_than is not None:
                lines.append(f'younger_than = "{duration_text(step.younger_than)}"')
            lines.append(f'every = "{duration_text(step.every)}"')
    return "\n".join(lines) + "\n"


def duration_text(duration: timedelta) -> str:
    """Return whole hours the way a policy writes them: ``6h``, or ``7d`` for whole days."""
    days, rest = divmod(duration, timedelta(days=1))
    return f"{days}d" if not rest else f"{duration // timedelta(hours=1)}h"


def _steps(given: object, name: str) -> tuple[Step, ...]:
    if not isinstance(given, list) or not given:
        raise ValueError(f"{name} is not a list of steps: begin each with [[{name}]]")
    steps = [_step(entry, f"step {i} of {name}") for i, entry in enumerate(given, start=1)]
    if steps[-1].younger_than is not None:
        raise ValueError(f"the last step of {name} must go without younger_than: it is for the old")
    for i, (step, after) in enumerate(pairwise(steps), start=1):
        if step.younger_than is None:
            raise ValueError(f"step {i} of {name} lacks younger_than, and others follow it")
        if after.younger_than is not None and after.younger_than <= step.younger_than:
            raise ValueError(f"step {i + 1} of {name} must be for older videos than step {i}")
        if after.every < step.every:
            raise ValueError(f"step {i + 1} of {name} must not be more often than step {i}")
    return tuple(steps)


def _step(given: object, where: str) -> Step:
    if not isinstance(given, Mapping) or given.keys() - {"younger_than", "every"}:
        raise ValueError(f"{where} has anything but younger_than and every")
    if "every" not in given:
        raise ValueError(f"{where} lacks every")
    age: Any = given.get("younger_than")
    return Step(
        None if age is None else _duration(age, f"younger_than in {where}"),
        _duration(given["every"], f"every in {where}"),
    )


def _duration(given: object, where: str) -> timedelta:
    match = re.fullmatch(r"([1-9]\d{0,5})([hdw])", given) if isinstance(given, str) else None
    if match is None:
        raise ValueError(f"{where} is {given!r}: write whole hours, days or weeks like 6h, 2d, 1w")
    hours = int(match[1]) * {"h": 1, "d": 24, "w": 168}[match[2]]
    if hours > LONGEST // timedelta(hours=1):
        raise ValueError(f"{where} is {given!r}: at most ten years")
    return timedelta(hours=hours)


def _wrong(why: str, path: Path) -> UsageError:
    return UsageError(
        f"the cadence in {path} cannot be used: {why}",
        reason="cadenceInvalid",
        hint="without TUBEGRADER_CADENCE, `tubegrader quota plan --show-policy` prints one to begin"
        " from",
    )
