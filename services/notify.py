"""Notifying the operator of failed jobs, open breakers, used-up quotas and unfit workers.

Events are read from their rows, each under a key that is noted once;
nothing that fails has to think of it. A dispatcher sends them after the commit, to a webhook or
to a command, tries again a few times, and then counts them as failed. One whose sender dies
between sending and noting it is sent twice: receivers tell by its ``key``.
"""

import asyncio
import json
import shlex
import subprocess
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import structlog
from sqlalchemy.orm import Session

from db.queries.learning import drift
from db.queries.work import breakers, notifications
from db.queries.work.notifications import Event
from services.context import Context
from services.errors import TransientError, UsageError
from services.settings import Settings
from services.work import fleet
from services.work.admission import blockers
from services.work.backoff import Backoff

log = structlog.get_logger()

WEBHOOK, COMMAND = "webhook", "command"
LOOK_BACK = timedelta(days=1)
"""Failures older than this are no news to somebody who has just set up notifications."""
MAX_ATTEMPTS = 6
RETRIES = Backoff(timedelta(seconds=30), timedelta(days=1), factor=4)
TIME_LIMIT_S = 10.0
BATCH = 5
"""Sent at a time: within their lease, were each to take the whole time limit."""


def targets(settings: Settings) -> list[str]:
    """Return whom to notify."""
    configured = {WEBHOOK: settings.notify_webhook, COMMAND: settings.notify_command}
    return [target for target, value in configured.items() if value is not None]


def note_events(context: Context) -> bool:
    """Note what has happened and was not noted yet; tell whether something is to be sent now."""
    recipients = targets(context.settings)
    if not recipients:
        return False
    now = context.clock()
    used_up = [blocker for blocker in blockers(context) if blocker.kind == "quota"]
    with context.transaction() as session:
        events = [
            *_failed_jobs(session, now=now),
            *_open_breakers(session),
            *_drift(session, now=now),
            *_unfit_workers(session),
        ]
        events += [
            Event(
                f"quota:{blocker.what}:{blocker.until:%Y-%m-%dT%H:%MZ}",
                "quota.exhausted",
                {"bucket": blocker.what, "until": _text(blocker.until), "message": blocker.message},
            )
            for blocker in used_up
        ]
        for target in recipients:
            notifications.note(session, events, target, now=now)
        return notifications.any_ready(session, now=now)


def send_due(context: Context) -> int:
    """Send what is due, each outside any transaction; return how many arrived."""
    now = context.clock()
    with context.transaction() as session:
        claimed = notifications.claim(session, limit=BATCH, now=now, lease=context.lease)
        session.expunge_all()
    sent = 0
    for notification in claimed:
        body = message(
            notification.key, notification.event, notification.payload, at=notification.created_at
        )
        try:
            deliver(context.settings, notification.target, body)
        except (TransientError, UsageError) as error:
            log.warning(
                "notification.failed",
                key=notification.key,
                target=notification.target,
                attempt=notification.attempts,
                problem=str(error),
            )
            last = notification.attempts >= MAX_ATTEMPTS
            pause = RETRIES.after(notification.attempts)
            with context.transaction() as session:
                notifications.mark_failed(
                    session,
                    notification.notification_id,
                    message=str(error),
                    retry_at=None if last else context.clock() + pause,
                )
        else:
            sent += 1
            with context.transaction() as session:
                notifications.mark_sent(session, notification.notification_id, now=context.clock())
    return sent


def send_test(context: Context) -> list[str]:
    """Send a test to every target now; return the targets.

    Raises:
        UsageError: There is no target.
        TransientError: It did not arrive.
    """
    recipients = targets(context.settings)
    if not recipients:
        raise UsageError(
            "nobody is to be notified",
            hint="set TUBEGRADER_NOTIFY_WEBHOOK or TUBEGRADER_NOTIFY_COMMAND",
        )
    now = context.clock()
    body = message(
        f"test:{now.isoformat()}", "test", {"message": "a test of notifications"}, at=now
    )
    for target in recipients:
        deliver(context.settings, target, body)
    return recipients


def counts(context: Context) -> list[dict[str, Any]]:
    """Return how many notifications there are by event, target and state."""
    with context.transaction() as session:
        return [
            {"event": event, "target": target, "state": state, "count": n}
            for event, target, state, n in notifications.counts(session)
        ]


def message(key: str, event: str, payload: dict[str, Any], *, at: datetime) -> bytes:
    """Return the JSON that a target gets."""
    value = {"source": "tubegrader", "key": key, "event": event, "at": at.isoformat(), **payload}
    return json.dumps(value, ensure_ascii=False).encode()


def deliver(settings: Settings, target: str, body: bytes) -> None:
    """Post a body to the webhook, or give it to the command on its standard input.

    Raises:
        TransientError: It did not arrive, or was not taken within the time limit.
        UsageError: The target is not set, or cannot be one.
    """
    if target == WEBHOOK and settings.notify_webhook is not None:
        asyncio.run(_post(settings.notify_webhook.get_secret_value(), body))
    elif target == COMMAND and settings.notify_command is not None:
        _run(settings.notify_command, body)
    else:
        raise UsageError(f"the {target} is not set any more")


async def _post(address: str, body: bytes) -> None:
    """Post, following no redirect: it would carry the message to whom nobody chose."""
    # Who has nothing to post does without both.
    import aiohttp  # noqa: PLC0415

    from services.youtube.proxies import http_proxy  # noqa: PLC0415

    if urlsplit(address).scheme not in ("http", "https"):
        raise UsageError("TUBEGRADER_NOTIFY_WEBHOOK is no http(s) address")
    timeout = aiohttp.ClientTimeout(total=TIME_LIMIT_S)
    headers = {"Content-Type": "application/json"}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.post(
                address,
                data=body,
                headers=headers,
                allow_redirects=False,
                proxy=http_proxy(address),
            ) as answer,
        ):
            status = answer.status
    except (aiohttp.ClientError, OSError, ValueError) as error:
        # The address may hold a secret, and messages of the client repeat it.
        problem = type(error).__name__
        raise TransientError(
            f"the webhook cannot be reached ({problem})", reason="webhookUnreachable"
        ) from None
    if not 200 <= status < 300:  # noqa: PLR2004
        raise TransientError(f"the webhook answered HTTP {status}", reason=f"http{status}")


def _run(command: str, body: bytes) -> None:
    try:
        arguments = shlex.split(command)
        ended = subprocess.run(
            arguments, input=body, capture_output=True, timeout=TIME_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise TransientError(
            f"the command did not end within {TIME_LIMIT_S:.0f} s", reason="commandTimeout"
        ) from error
    except (OSError, ValueError, IndexError) as error:
        raise TransientError(
            f"the command cannot be started: {error}", reason="commandNotStarted"
        ) from error
    if ended.returncode != 0:
        problem = ended.stderr.decode(errors="replace").strip()[-200:]
        raise TransientError(
            f"the command ended with {ended.returncode}: {problem}", reason="commandFailed"
        )


def _failed_jobs(session: Session, *, now: datetime) -> Sequence[Event]:
    return [
        Event(
            # With its end: a job that is retried and fails again is news.
            f"job:{job.job_id}:{_text(job.finished_at)}",
            "job.failed",
            {
                "job_id": str(job.job_id),
                "kind": job.kind,
                "reason": job.error_reason,
                "message": job.error_message,
            },
        )
        for job in notifications.failed_jobs(session, since=now - LOOK_BACK)
    ]


def _open_breakers(session: Session) -> Sequence[Event]:
    return [
        Event(
            # From the first refusal to the end, however often it is probed, is one event.
            f"breaker:{breaker.host}:{_text(breaker.opened_at)}",
            "breaker.opened",
            {
                "host": breaker.host,
                "reason": breaker.reason,
                "message": breaker.message,
                "until": _text(breaker.retry_at),
            },
        )
        for breaker in breakers.not_closed(session)
    ]


def _drift(session: Session, *, now: datetime) -> Sequence[Event]:
    return [
        Event(
            f"drift:{report.drift_report_id}",
            "drift.found",
            {"drift_report_id": report.drift_report_id, "message": report.sentence},
        )
        for report in drift.alarms(session, since=now - LOOK_BACK)
    ]


def _unfit_workers(session: Session) -> Sequence[Event]:
    return [
        Event(
            # Once a day, however often it tries and whichever of the machine's workers does.
            f"unfit:{process.host}:{process.unfit_reason}:{process.unfit_until:%Y-%m-%d}",
            "worker.unfit",
            {
                "host": process.host,
                "role": process.role,
                "reason": process.unfit_reason,
                "message": process.unfitness,
                "models": process.unfit_models,
            },
        )
        for process in fleet.seen(session)
        if process.unfitness is not None
    ]


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
