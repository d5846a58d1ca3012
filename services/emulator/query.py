"""A request's parameters, and paging."""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from services.emulator.problems import (
    bad_filters,
    bad_parameter,
    invalid_token,
    not_authorized,
    unknown_part,
)

DEFAULT_RESULTS, MOST_RESULTS = 5, 50
MOST_IDS = 50


class Query:
    """The parameters of one API request; names may repeat and lists may be comma-separated."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._pairs = pairs

    @classmethod
    async def read(cls, request: Request) -> "Query | None":
        """Return the request's parameters, or None if it is no read.

        Google's client turns a GET whose address would pass 2,048 characters into a POST with the
        parameters in the body and the header ``X-HTTP-Method-Override: GET``.
        """
        if request.method in {"GET", "HEAD"}:
            return cls(parse_qsl(request.url.query, keep_blank_values=True))
        if request.headers.get("x-http-method-override", "").upper() != "GET":
            return None
        body = (await request.body()).decode("utf-8", "replace")
        return cls(parse_qsl(body, keep_blank_values=True))

    def without(self, name: str) -> "Query":
        """Return the query without a parameter."""
        return Query([(key, value) for key, value in self._pairs if key != name])

    def one(self, name: str) -> str | None:
        """Return the last non-empty value of ``name``, or None."""
        values = [value for key, value in self._pairs if key == name and value]
        return values[-1] if values else None

    def many(self, name: str) -> list[str]:
        """Return the values of ``name``, split at commas, without blanks and repetitions."""
        joined = ",".join(value for key, value in self._pairs if key == name)
        return list(dict.fromkeys(value for word in joined.split(",") if (value := word.strip())))

    def parts(self, known: frozenset[str], private: frozenset[str] = frozenset()) -> frozenset[str]:
        """Return the parts asked for.

        Raises:
            ApiError: If there is none, or one is unknown or shown to its owner only.
        """
        parts = self.many("part")
        if not parts:
            raise bad_parameter(
                "part", "The part parameter is required.", reason="missingRequiredParameter"
            )
        for part in parts:
            if part in private:
                raise not_authorized(f"The part {part}")
            if part not in known:
                raise unknown_part(part)
        return frozenset(parts)

    def only_filter(self, *names: str) -> str:
        """Return which one of the filters ``names`` is given.

        Raises:
            ApiError: If none or several are, or ids are too many.
        """
        given = [name for name in names if self.many(name)]
        expected = ", ".join(names)
        if not given:
            raise bad_filters(
                "missingRequiredParameter", f"No filter selected. Expected one of: {expected}"
            )
        if len(given) > 1:
            clash = ", ".join(given)
            raise bad_filters(
                "incompatibleParameters", f"These filters exclude each other: {clash}"
            )
        if len(self.many(given[0])) > MOST_IDS:
            raise bad_filters("invalidFilters", f"At most {MOST_IDS} ids are served in one call.")
        return given[0]

    def results_per_page(self) -> int:
        """Return ``maxResults``.

        Raises:
            ApiError: If it is not a number from 0 to 50.
        """
        text = self.one("maxResults")
        if text is None:
            return DEFAULT_RESULTS
        if not text.isascii() or not text.isdigit() or int(text) > MOST_RESULTS:
            raise bad_parameter(
                "maxResults",
                f"Invalid value '{text}'. Values must be within the range: [0, {MOST_RESULTS}]",
            )
        return int(text)


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a longer list.

    Attributes:
        start: Index of its first item in the list.
        items: What is on it.
        frame: The response's keys about paging: tokens and ``pageInfo``.
    """

    start: int
    items: Sequence[Any]
    frame: dict[str, Any]


def paginate(found: Sequence[Any], query: Query, scope: str, *, total: int | None = None) -> Page:
    """Return the page that ``maxResults`` and ``pageToken`` ask for.

    Args:
        found: The whole list.
        query: The request.
        scope: What is listed; a token is good for the list it was issued for only.
        total: What ``totalResults`` shall claim, if not the list's length.

    Raises:
        ApiError: 400 ``invalidPageToken`` for a token of another list or of nobody's.
    """
    size = query.results_per_page()
    token = query.one("pageToken")
    start = 0 if token is None else _position(token, scope)
    tokens = {}
    if size and start + size < len(found):
        tokens["nextPageToken"] = _token(start + size, scope)
    if start:
        tokens["prevPageToken"] = _token(max(start - size, 0), scope)
    count = len(found) if total is None else total
    frame = tokens | {"pageInfo": {"totalResults": count, "resultsPerPage": size}}
    return Page(start=start, items=found[start : start + size], frame=frame)


def _token(position: int, scope: str) -> str:
    digest = hashlib.sha256(f"{position} {scope}".encode()).digest()[:6]
    return base64.urlsafe_b64encode(digest + position.to_bytes(3)).decode()


def _position(token: str, scope: str) -> int:
    try:
        position = int.from_bytes(base64.urlsafe_b64decode(token.encode())[6:])
        genuine = token == _token(position, scope)
    except (ValueError, binascii.Error, OverflowError):
        genuine = False
    if not genuine:
        raise invalid_token()
    return position
