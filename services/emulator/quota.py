"""Quota as YouTube counts it: buckets a key and a Pacific day."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from services.emulator.problems import ApiError, quota_exceeded

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
    """What each key has used, and how many of its calls ended before they were charged."""

    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas
        self._charged: Counter[tuple[str, str, Bucket]] = Counter()
        self._unbilled: Counter[tuple[str, str, Bucket]] = Counter()

    def charge(self, key: str, bucket: Bucket, at: datetime) -> None:
        """Book one call; a call that turns out invalid later stays booked.

        Raises:
            ApiError: 403 ``quotaExceeded`` if the bucket is empty; nothing is charged then.
        """
        entry = (key, pacific_day(at), bucket)
        if self._charged[entry] >= self._quotas.limit(bucket):
            raise self.refuse(key, bucket, at)
        self._charged[entry] += 1

    def refuse(self, key: str, bucket: Bucket, at: datetime) -> ApiError:
        """Count a call as received and not charged; return the refusal for an empty bucket."""
        self._unbilled[key, pacific_day(at), bucket] += 1
        return quota_exceeded()

    def report(self) -> list[dict[str, object]]:
        """Return one row a key, day and bucket, in that order.

        Whoever books each call before sending it has booked ``charged + unbilled``.
        """
        return [
            {
                "key": key,
                "pacific_day": day,
                "bucket": bucket,
                "charged": self._charged[key, day, bucket],
                "unbilled": self._unbilled[key, day, bucket],
                "limit": self._quotas.limit(bucket),
            }
            for key, day, bucket in sorted((self._charged + self._unbilled).keys())
        ]


def pacific_day(at: datetime) -> str:
    """Return the Pacific calendar day of ``at``, ISO; the quota resets when it changes."""
    return at.astimezone(PACIFIC).date().isoformat()
