"""Faults on demand: which answer goes wrong, and how, decided by a seed.

A fault never touches the world or the quota's count; only what the caller gets to see. Whether a
faulty call is charged follows from where it fails: ``reset`` breaks off before the quota is
looked at, ``quota`` is the refusal by that look, everything else happens after it and costs.
"""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from services.errors import UsageError

Fault = Literal[
    "latency",  # a slow answer, otherwise right
    "rate_limited",  # 429 with Retry-After
    "server_error",  # 500
    "unavailable",  # 503
    "reset",  # the connection is reset before anything is looked at
    "lost",  # the connection is reset instead of the answer
    "truncated",  # half of the announced body
    "html",  # 200 with a page of HTML
    "other_json",  # 200 with JSON of another shape
    "garbage_counts",  # numbers that are none, negative, or beyond 64 bit
    "wrong_ids",  # answers about things nobody asked for
    "quota",  # quotaExceeded, whatever is left
    "expired_token",  # invalidPageToken for a good token
    "bot_check",  # a page that asks for proof of being human
    "geo_blocked",  # a video that may not be seen from here
    "age_gated",  # a video for adults
    "members_only",  # a video for the channel's members
    "private_video",  # a video of its owner's
    "removed_video",  # a video that is gone
    "upcoming",  # a broadcast that begins in three hours
    "on_air",  # a broadcast that is not over
    "no_audio",  # a video without sound
    "empty",  # a file of no byte
    "zero_seconds",  # a sound file in order, with no sound in it
    "lying_length",  # twice the length of the body is announced
    "no_range",  # a server that sends the whole file, whatever was asked
    "pixel",  # a picture of 1x1
    "huge",  # a small file that claims 60,000x60,000 pixels
    "portal",  # 302 to a page on which somebody is to log in
    "nothing",  # 200 in good form with no items, or no entries
    "not_found",  # 404
    "forbidden",  # 403
    "bad_request",  # 400
]

CALLS = (
    "channels.list",
    "playlistItems.list",
    "videos.list",
    "videos.batchGetStats",
    "search.list",
)
_ANYWHERE: tuple[Fault, ...] = (
    "latency",
    "rate_limited",
    "server_error",
    "unavailable",
    "reset",
    "lost",
    "truncated",
    "html",
)
_FOR_ALL: tuple[Fault, ...] = ("portal", "not_found", "forbidden", "bad_request")
"""Wrong for everybody alike: a network that wants a login, a proxy, a bad day of the host's."""
_OF_CALLS: tuple[Fault, ...] = (
    *_ANYWHERE,
    "other_json",
    "garbage_counts",
    "wrong_ids",
    "quota",
    "nothing",
    *_FOR_ALL,
)
_OF_WATCH: tuple[Fault, ...] = (
    "bot_check",
    "geo_blocked",
    "age_gated",
    "members_only",
    "private_video",
    "removed_video",
    "upcoming",
    "on_air",
    "no_audio",
)
KINDS: Mapping[str, tuple[Fault, ...]] = {
    **dict.fromkeys(CALLS, _OF_CALLS),
    "playlistItems.list": (*_OF_CALLS, "expired_token"),
    "thumbnails": (*_ANYWHERE, "pixel", "huge", *_FOR_ALL),
    "feeds": (*_ANYWHERE, "nothing", *_FOR_ALL),
    "watch": (*_ANYWHERE, *_OF_WATCH, *_FOR_ALL),
    "manifests": (*_ANYWHERE, *_FOR_ALL),
    "media": (*_ANYWHERE, "empty", "zero_seconds", "lying_length", "no_range", *_FOR_ALL),
}
"""What can go wrong, by endpoint."""

BY_NAME: frozenset[Fault] = frozenset({"quota", "nothing", *_OF_WATCH, *_FOR_ALL})
"""Faults that no share spreads: they say something lasting about the day, the network or the
video."""

UNBILLED: frozenset[Fault] = frozenset({"reset", "quota"})
"""Faults of a call that is not charged."""

LIES: frozenset[Fault] = frozenset(
    {"html", "other_json", "garbage_counts", "wrong_ids", "pixel", "huge", "empty", "zero_seconds"}
)
"""Faults under which an answer claims to be good."""

ODD_SHARE = 0.05
Share = Annotated[float, Field(ge=0, le=1)]


class FaultPlan(BaseModel):
    """How often which fault strikes; the same plan strikes the same requests of each endpoint.

    Attributes:
        share: Spread evenly over all kinds of an endpoint that ``rates`` does not name, except
            ``BY_NAME``: a day without quota, or a private video, is asked for by name.
        rates: Probability by kind, by endpoint (``videos.list``, ``thumbnails``, …; ``*`` for all
            that have the kind). An endpoint named here takes nothing from ``share``.
        broken: Ids of channels and videos: each call that names one of them is answered 500.
        odd: Share of the channels and videos that are bent (:mod:`services.emulator.odd`).
        seed: Which requests are struck.
        latency_s: How long a slow answer takes, in seconds.
        retry_after_s: What ``Retry-After`` says, in seconds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    share: Share = 0.0
    rates: dict[str, dict[Fault, Share]] = Field(default_factory=dict)
    broken: tuple[str, ...] = ()
    odd: Share = 0.0
    seed: int = Field(default=0, ge=0)
    latency_s: float = Field(default=0.05, ge=0, le=600)
    retry_after_s: int = Field(default=1, ge=0)

    @model_validator(mode="after")
    def _check(self) -> "FaultPlan":
        for endpoint, rates in self.rates.items():
            if endpoint != "*" and endpoint not in KINDS:
                raise ValueError(f"there is no endpoint {endpoint}: choose from {', '.join(KINDS)}")
            odd = [kind for kind in rates if endpoint != "*" and kind not in KINDS[endpoint]]
            if odd:
                known = ", ".join(KINDS[endpoint])
                raise ValueError(f"{endpoint} has no fault {odd[0]}: choose from {known}")
        for endpoint in KINDS:
            if sum(self.of(endpoint).values()) > 1 + 1e-9:
                raise ValueError(f"the rates of {endpoint} add up to more than 1")
        return self

    @classmethod
    def read(cls, data: str | bytes) -> "FaultPlan":
        """Return the plan in JSON; a bare number is a share, ``odd`` bends five items in a hundred.

        Raises:
            UsageError: It is none; the message says what is wrong.
        """
        if data in ("odd", b"odd"):
            return cls(odd=ODD_SHARE)
        try:
            share = float(data)
        except ValueError:
            share = None
        try:
            return cls.model_validate_json(data) if share is None else cls(share=share)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise UsageError(
                f"That is no fault plan: {place + ': ' if place else ''}{first['msg']}. "
                'Give a share such as 0.2, `odd`, or JSON such as {"share": 0.2, "seed": 1}.'
            ) from None

    @classmethod
    def honest(cls, share: float, *, seed: int = 0) -> "FaultPlan":
        """Return a plan whose every fault shows as one: no answer that claims to be good lies."""
        rates: dict[str, dict[Fault, float]] = {}
        for endpoint, kinds in KINDS.items():
            even = [kind for kind in kinds if kind not in BY_NAME and kind not in LIES]
            rates[endpoint] = dict.fromkeys(even, share / len(even))
        return cls(rates=rates, seed=seed)

    def of(self, endpoint: str) -> dict[Fault, float]:
        """Return the probability of each fault at an endpoint."""
        kinds = KINDS[endpoint]
        named = self.rates.get("*", {}) | self.rates.get(endpoint, {})
        if named:
            return {kind: rate for kind, rate in named.items() if kind in kinds}
        even = [kind for kind in kinds if kind not in BY_NAME]
        return dict.fromkeys(even, self.share / len(even))


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault that strikes one request.

    Attributes:
        kind: What goes wrong.
        point: In [0, 1): which of the fault's variants.
        plan: The plan in force.
    """

    kind: Fault
    point: float
    plan: FaultPlan

    def one_of(self, variants: Sequence[object]) -> object:
        """Return the variant that this strike takes."""
        return variants[int(self.point * len(variants))]


@dataclass(slots=True)
class Faults:
    """The plan in force, how many requests each endpoint has seen, and what struck."""

    plan: FaultPlan = field(default_factory=FaultPlan)
    struck: Counter[tuple[str, Fault]] = field(default_factory=Counter)
    _seen: Counter[str] = field(default_factory=Counter)

    def draw(self, endpoint: str, *, has_token: bool = False) -> Strike | None:
        """Return what strikes the next request of ``endpoint``, and count it.

        Args:
            endpoint: Where it arrived.
            has_token: It carries a page token; ``expired_token`` strikes no other.
        """
        if endpoint not in KINDS:
            return None
        self._seen[endpoint] += 1
        point = self._point(endpoint, "whether")
        for kind, rate in self.plan.of(endpoint).items():
            point -= rate
            if point < 0:
                if kind == "expired_token" and not has_token:
                    return None
                self.struck[endpoint, kind] += 1
                return Strike(kind, self._point(endpoint, "how"), self.plan)
        return None

    def _point(self, endpoint: str, purpose: str) -> float:
        """Return a number in [0, 1) for the present request, random but for the seed."""
        text = f"{self.plan.seed} {endpoint} {purpose} {self._seen[endpoint]}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) / 256**6
