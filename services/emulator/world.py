"""What every endpoint works on, and how it answers JSON."""

import gzip
from collections import Counter
from dataclasses import dataclass, field

from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from services.clock import Clock
from services.emulator.catalog import Catalog
from services.emulator.faults import Faults
from services.emulator.odd import Oddities
from services.emulator.pictures import Gallery
from services.emulator.quota import Ledger
from services.emulator.sound import Sound

_WORTH_COMPRESSING = 1_000  # bytes; below, gzip costs more than it saves


@dataclass(slots=True)
class World:
    """What every endpoint works on."""

    catalog: Catalog
    clock: Clock
    keys: frozenset[str] | None
    ledger: Ledger
    gallery: Gallery
    latency_s: float
    faults: Faults
    sound: Sound
    _odd: tuple[float, int, Oddities] | None = None
    served: Counter[tuple[str, int]] = field(default_factory=Counter)

    @property
    def odd(self) -> Oddities:
        """What the plan in force bends."""
        share, seed = self.faults.plan.odd, self.faults.plan.seed
        if self._odd is None or self._odd[:2] != (share, seed):
            self._odd = share, seed, Oddities.of(self.catalog, share, seed=seed)
        return self._odd[2]


def json_answer(
    body: object,
    request: Request | None = None,
    *,
    status: int = 200,
    tag: str | None = None,
    pretty: bool = True,
) -> Response:
    """Answer JSON as the API does: indented unless told otherwise, gzip to who takes it."""
    headers = {"Vary": "Accept-Encoding"}
    if tag is not None:
        headers["ETag"] = tag
        assert request is not None
        # A reader who has it already has paid for the call all the same.
        if request.headers.get("if-none-match", "").strip('"') == tag.strip('"'):
            return Response(status_code=304, headers=headers)
    content = to_json(body, indent=2 if pretty else None)
    accepted = "" if request is None else request.headers.get("accept-encoding", "")
    if "gzip" in accepted and len(content) > _WORTH_COMPRESSING:
        content = gzip.compress(content, compresslevel=1, mtime=0)
        headers["Content-Encoding"] = "gzip"
    return Response(content, status, headers, media_type="application/json; charset=UTF-8")
