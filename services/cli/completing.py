"""What a shell is told when somebody presses tab: ids and names of a home that is up.

Nothing is started for it, and whatever goes wrong offers nothing.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.context import Context

Offers = list[tuple[str, str]]
_MOST = 200


def channels(incomplete: str) -> Offers:
    """Offer handles, and ids where there is none or one is being typed."""
    from services.crawl import watchlist

    def ask(context: "Context") -> Iterable[tuple[str, str]]:
        for each in watchlist.overview(context, tag=None, state=None):
            by_id = incomplete.startswith("UC") or each["handle"] is None
            yield each["channel_id"] if by_id else each["handle"], each["title"] or ""

    return _offers(incomplete, ask)


def tags(incomplete: str) -> Offers:
    """Offer tags of channels."""
    from services.crawl import watchlist

    def ask(context: "Context") -> Iterable[tuple[str, str]]:
        found = watchlist.overview(context, tag=None, state=None)
        return ((tag, "") for tag in sorted({tag for each in found for tag in each["tags"]}))

    return _offers(incomplete, ask)


def jobs(incomplete: str) -> Offers:
    """Offer the newest jobs."""
    from services.work import jobs as those

    return _offers(
        incomplete,
        lambda context: (
            (job.job_id if len(incomplete) > len(job.job_id[:8]) else job.job_id[:8],
             f"{job.kind}, {job.state}, {job.created_at:%m-%d %H:%M}")
            for job in those.newest(context, limit=50)
        ),
    )  # fmt: skip


def schedules(incomplete: str) -> Offers:
    """Offer the names of schedules."""
    from services import schedules as those

    return _offers(incomplete, lambda context: ((s.name, s.kind) for s in those.listed(context)))


def models(incomplete: str) -> Offers:
    """Offer champion and challenger, rungs, and the versions there are."""
    from ml.thumbnails.models.registry import rung_names
    from services.learning.promotion.facts import listed

    known = [(name, "") for name in ("champion", "challenger", *rung_names())]
    offered = [each for each in known if each[0].startswith(incomplete)]

    def ask(context: "Context") -> Iterable[tuple[str, str]]:
        return ((m["name"], m["task"]) for m in listed(context, task=None, every=True)["models"])

    return [*offered, *(each for each in _offers(incomplete, ask) if each not in offered)]


def datasets(incomplete: str) -> Offers:
    """Offer frozen datasets."""
    from services.learning.thumbnails import inspection

    def ask(context: "Context") -> Iterable[tuple[str, str]]:
        yield "newest", ""
        for row in inspection.overview(context):
            yield row["dataset_id"][: max(12, len(incomplete))], f"{row['as_of']:%Y-%m-%d %H:%M}"

    return _offers(incomplete, ask)


def backups(incomplete: str) -> Offers:
    """Offer the backups where the settings say that they are kept."""
    from contextlib import suppress

    with suppress(Exception):
        from services.backups.standing import target_of
        from services.settings import Settings

        names = ["newest", *reversed(target_of(Settings()).ids())]
        return [(name, "") for name in names if name.startswith(incomplete)][:_MOST]
    return []


def hosts(incomplete: str) -> Offers:
    """Offer hosts that have a breaker."""
    from services.work import breakers

    return _offers(
        incomplete, lambda context: ((b.host, b.state) for b in breakers.listed(context))
    )


def approvals(incomplete: str) -> Offers:
    """Offer references of approvals."""
    from services.policy import approvals as those

    return _offers(
        incomplete, lambda context: ((a.reference, a.scope) for a in those.ledger(context))
    )


def kinds_of_jobs(incomplete: str) -> Offers:
    """Offer what a job can be."""
    from services.work.kinds import JOB_KINDS

    return [(kind, "") for kind in JOB_KINDS if kind.startswith(incomplete)]


def _offers(
    incomplete: str, ask: "Callable[[Context], Iterable[tuple[str, str]]]"
) -> list[tuple[str, str]]:
    import os
    from contextlib import suppress

    from services.cli import remote

    if os.environ.get(remote.URL):
        return []  # those of this machine's home are not meant
    with suppress(Exception):
        from services.cli.if_up import asked
        from services.embedded import status
        from services.settings import Settings

        settings = Settings()
        found = asked(settings, status.status(settings), lambda context: list(ask(context)))
        begun = [each for each in found or [] if each[0].startswith(incomplete)]
        return begun[:_MOST]
    return []
