"""Quota as YouTube counts it: buckets a key and a Pacific day."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from services.emulator.problems import quota_exceeded

PACIFIC = ZoneInfo("America/Los_Angeles")

Bucket = Literal["units", "searches", "stats"]


@dataclass(frozen=True, slots=True)
class Quotas:
    """Calls allowed a key and a Pacific day; every call of ours costs 1.

    Attributes:
        units: ``channels.list``, ``playlistItems.list`` and ``videos.list`` together.
        searches: ``search.list``.
        stats: ``videos.batchGetStats``.
    """

    units: int = 10_000
    searches: int = 100
    stats: int = 10_000

    def limit(self, bucket: Bucket) -> int:
        """Return the limit of ``bucket``."""
        return {"units": self.units, "searches": self.searches, "stats": self.stats}[bucket]


class Ledger:
    """What each key has used."""

    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas
        self._charged: Counter[tuple[str, str, Bucket]] = Counter()

    def charge(self, key: str, bucket: Bucket, at: datetime) -> None:
        """Book one call; a call that turns out invalid later stays booked.

        Raises:
            ApiError: 403 ``quotaExceeded`` if the bucket is empty; nothing is booked then.
        """
        entry = (key, pacific_day(at), bucket)
        if self._charged[entry] >= self._quotas.limit(bucket):
            raise quota_exceeded()
        self._charged[entry] += 1

    def report(self) -> list[dict[str, object]]:
        """Return one row a key, day and bucket, in that order."""
        return [
            {
                "key": key,
                "pacific_day": day,
                "bucket": bucket,
                "charged": charged,
                "limit": self._quotas.limit(bucket),
            }
            for (key, day, bucket), charged in sorted(self._charged.items())
        ]


def pacific_day(at: datetime) -> str:
    """Return the Pacific calendar day of ``at``, ISO; the quota resets when it changes."""
    return at.astimezone(PACIFIC).date().isoformat()
