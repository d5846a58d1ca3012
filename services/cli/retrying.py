"""What ended badly, here or on another machine: counted, and tried again."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from services.cli import remote
from services.cli.common import open_context
from services.work import jobs, retries

if TYPE_CHECKING:
    from services.context import Context


class Failed(Protocol):
    """Jobs and work items that may be tried again; a reason or kind of None is any."""

    def named(self, prefixes: Sequence[str]) -> list[str]:
        """Return the ids of jobs, each by how it begins."""

    def retry(self, job_ids: Sequence[str]) -> list[str]:
        """Queue jobs again; return the ids of those that had failed or were cancelled."""

    def jobs(self, reason: str | None, kind: str | None) -> list[str]:
        """Return the ids of the jobs that failed."""

    def items(self, reason: str | None, kind: str | None) -> int:
        """Count the work items that failed."""

    def retry_items(self, reason: str | None, kind: str | None) -> int:
        """Make them due again; return how many there were."""


@dataclass(frozen=True)
class _Here:
    context: "Context"

    def named(self, prefixes: Sequence[str]) -> list[str]:
        return [jobs.find(self.context, prefix).job_id for prefix in prefixes]

    def retry(self, job_ids: Sequence[str]) -> list[str]:
        return retries.retry_jobs(self.context, job_ids)

    def jobs(self, reason: str | None, kind: str | None) -> list[str]:
        return retries.failed_jobs(self.context, reason=reason, kind=kind)

    def items(self, reason: str | None, kind: str | None) -> int:
        return retries.failed_items(self.context, reason=reason, kind=kind)

    def retry_items(self, reason: str | None, kind: str | None) -> int:
        return retries.retry_items(self.context, reason=reason, kind=kind)


@dataclass(frozen=True)
class _There:
    home: remote.Remote

    def named(self, prefixes: Sequence[str]) -> list[str]:
        return [self.home.job(prefix).job_id for prefix in prefixes]

    def retry(self, job_ids: Sequence[str]) -> list[str]:
        ended = [i for i in job_ids if self.home.job(i).state in ("failed", "cancelled")]
        return [self.home.post(f"/jobs/{job_id}/retry")["job_id"] for job_id in ended]

    def jobs(self, reason: str | None, kind: str | None) -> list[str]:
        found = self.home.items("/jobs", Any, state="failed", kind=kind)
        return [job["job_id"] for job in found if reason in (None, job["error_reason"])]

    def items(self, reason: str | None, kind: str | None) -> int:
        return sum(
            each["count"]
            for each in self.home.items("/work-items", Any)
            if each["state"] == "failed"
            and reason in (None, each["reason"])
            and kind in (None, each["kind"])
        )

    def retry_items(self, reason: str | None, kind: str | None) -> int:
        asked = {"reason": reason, "kind": kind}
        return int(self.home.post("/work-items/retry", asked)["items"])


@contextmanager
def failed() -> Iterator[Failed]:
    """Have what failed at the home that commands are for."""
    there = remote.home()
    if there is not None:
        yield _There(there)
        return
    with open_context() as context:
        yield _Here(context)
