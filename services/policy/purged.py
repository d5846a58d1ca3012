"""What a purge would do or did, and what it is done with."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from services.context import Context


@dataclass(frozen=True)
class Refused:
    """Why nothing of a kind was removed: somebody has to look first."""

    reason: str
    message: str
    hint: str | None


@dataclass
class KindReport:
    """What of one kind is due (a dry run) or gone."""

    kind: str
    rows: int = 0
    partitions: list[str] = field(default_factory=list)
    held: dict[str, int] = field(default_factory=dict)
    """What is due and stays, by reason; for datasets and scores, what speaks of it still."""
    kept_days: int | None = None
    approvals: tuple[str, ...] = ()
    note: str | None = None
    refused: Refused | None = None

    def hold(self, reason: str, more: int) -> None:
        """Note that something is due and stays."""
        if more:
            self.held[reason] = self.held.get(reason, 0) + more


@dataclass
class PurgeReport:
    """What a purge would do or did."""

    dry_run: bool
    kinds: list[KindReport]
    stale_videos: int = 0
    """Videos whose facts are older than the terms allow and that are read again in full."""

    def as_json(self) -> dict[str, Any]:
        """Return plain values for ``--json``."""
        return asdict(self)


@dataclass(frozen=True)
class Run:
    """One purge: where, how, and whom to tell; the progress may raise to stop it."""

    context: Context
    dry_run: bool
    force: bool
    progress: Callable[[str, int], None]

    def count(self, found: KindReport, more: int) -> None:
        """Note that so many more are gone, and say so."""
        found.rows += more
        self.progress(found.kind, found.rows)
