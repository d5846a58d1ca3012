"""What is kept of swaps: reckoned by the view's own functions, stale once anything else would come.

Nobody waits for who reckons. A swap is claimed with a token, read in a transaction that locks
nothing, and kept if it still has the token. Whoever looks through what was committed (in turn,
:mod:`db.queries.catalog.turns`) takes the tokens of the channel away: what was committed before
the token was is read, and what comes after is looked through later, and finds it or what is kept.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries.catalog.turns import take_reckoning_turn, take_turn

MOST_UNDECIDED = 500
"""Of more videos it is not kept which of them would change a swap: any would."""
AGAIN = timedelta(hours=1)
"""How long a swap that was reckoned waits before new counts have it reckoned again."""
PUT_OFF = timedelta(hours=6)
"""How long a swap waits that could not be reckoned in time; the view reckons it meanwhile."""


@dataclass(frozen=True)
class Claim:
    """A swap that is being reckoned."""

    video_id: str
    version: int
    channel_id: str
    token: uuid.UUID


STALE = """
    stale AS (
        UPDATE kept_swaps SET is_stale = true, token = NULL
        WHERE (video_id, version) IN (
            SELECT k.video_id, k.version FROM changed c CROSS JOIN LATERAL (
                SELECT k.video_id, k.version FROM kept_swaps k
                WHERE k.channel_id = c.channel_id AND (
                    k.token IS NOT NULL OR NOT k.is_stale AND (
                        c.added_at <= k.ends_at
                        OR c.added && coalesce(k.undecided, c.added)
                        OR c.removed >= k.first_day
                    )
                )
                OFFSET 0  -- channel by channel
            ) k
        )
    )
"""
"""A part of a statement in which ``changed`` says of channels what was ``added`` to which videos,
from when on it was read (``added_at``), and the last day of which something was ``removed``."""


def take_notes(session: Session, *, most: int, now: datetime) -> int:
    """List the swaps that were noted first, all to be reckoned; return how many notes there were.

    Other swaps of the channel are reckoned again where a swapped picture comes or goes as control.

    Returns:
        Notes, at most ``most``.
    """
    if session.execute(text("SELECT NOT EXISTS (SELECT FROM swaps_to_keep)")).scalar_one():
        return 0
    take_turn(session)
    noted = session.execute(
        text(
            """
            DELETE FROM swaps_to_keep WHERE swap_to_keep_id IN (
                SELECT swap_to_keep_id FROM swaps_to_keep ORDER BY swap_to_keep_id LIMIT :most
            ) RETURNING channel_id, video_id, since, until
            """
        ),
        {"most": most},
    ).all()
    swapped = [note for note in noted if note.video_id is not None]
    values = {
        "now": now,
        "channels": sorted({note.channel_id for note in noted if note.video_id is None}),
        "videos": sorted({note.video_id for note in swapped}),
        "of": [note.channel_id for note in swapped],
        "since": [note.since for note in swapped],
        "until": [note.until for note in swapped],
    }
    if noted:
        session.execute(text("DELETE FROM kept_swaps WHERE channel_id = ANY(:channels)"), values)
        session.execute(text("DELETE FROM kept_swaps WHERE video_id = ANY(:videos)"), values)
        session.execute(_LIST, values)
    if swapped:
        session.execute(_BESIDE, values)
    return len(noted)


def claim(session: Session, *, now: datetime) -> Claim | None:
    """Claim the swap that has been ready for longest, of several the newest; commit this.

    It is put off at once, so that one that proves too much for us is not claimed again and again.
    """
    found = session.execute(_CLAIM, {"now": now, "put_off": now + PUT_OFF}).one_or_none()
    return None if found is None else Claim(*found)


def read(session: Session, claimed: Claim, *, at_most: timedelta) -> Mapping[str, Any] | None:
    """Reckon what a swap did to the views, in a transaction begun after it was claimed.

    Args:
        session: The unit of work.
        claimed: The swap.
        at_most: How long it may take.

    Returns:
        What :func:`keep` takes; None if there is no swap: the version before is missing.

    Raises:
        OperationalError: It took longer.
    """
    limit = text("SELECT set_config('statement_timeout', :ms, true)")
    session.execute(limit, {"ms": f"{at_most / timedelta(milliseconds=1):.0f}"})
    take_reckoning_turn(session)
    values = {"video": claimed.video_id, "version": claimed.version, "most": MOST_UNDECIDED}
    found = session.execute(_READ, values).mappings().one_or_none()
    return None if found is None else dict(found)


def keep(
    session: Session, claimed: Claim, found: Mapping[str, Any] | None, *, now: datetime
) -> bool:
    """Keep what was read; tell whether it was, and nothing had changed since the claim."""
    if found is None:
        statement, values = _DROP, {}
    else:
        statement, values = _KEEP, {**found, "again": now + AGAIN}
    kept = session.execute(
        statement,
        {**values, "token": claimed.token, "of": claimed.video_id, "at_version": claimed.version},
    ).one_or_none()
    if kept is None:
        session.execute(
            text(
                "UPDATE kept_swaps SET ready_at = least(ready_at, :now) "
                "WHERE video_id = :video AND version = :version AND is_stale"
            ),
            {"video": claimed.video_id, "version": claimed.version, "now": now},
        )
    return kept is not None


def rest(session: Session, channel_id: str, *, until: datetime) -> None:
    """Have a channel's swaps wait, so that those of others come first."""
    session.execute(_REST, {"channel": channel_id, "until": until})


def forget(session: Session, *, before: datetime) -> None:
    """Have what follows from counts before a moment reckoned anew: they are dropped."""
    session.execute(
        text(
            """
            UPDATE kept_swaps SET is_stale = true, token = NULL
            WHERE token IS NOT NULL OR NOT is_stale AND first_day < :before
            """
        ),
        {"before": before.date()},
    )


_LIST = text(
    """
    INSERT INTO kept_swaps (video_id, version, channel_id, is_stale, ready_at, changed_at)
    SELECT v.video_id, t.version, v.channel_id, true, :now, t.first_seen_at
    FROM (
        SELECT v.video_id, v.channel_id FROM unnest(CAST(:channels AS text[])) AS c (channel_id)
        JOIN videos v ON v.channel_id = c.channel_id
        UNION
        SELECT v.video_id, v.channel_id FROM unnest(CAST(:videos AS text[])) AS one (video_id)
        JOIN videos v ON v.video_id = one.video_id
    ) v
    CROSS JOIN LATERAL (
        SELECT version, first_seen_at FROM video_thumbnails
        WHERE video_id = v.video_id AND version > 1 OFFSET 0  -- video by video
    ) t
    ON CONFLICT (video_id, version) DO UPDATE SET channel_id = excluded.channel_id,
        is_stale = true, token = NULL, ready_at = :now, changed_at = excluded.changed_at
    """
)
_BESIDE = text(
    """
    UPDATE kept_swaps SET is_stale = true, token = NULL,
        ready_at = CASE WHEN is_stale THEN ready_at ELSE least(ready_at, :now) END
    WHERE (video_id, version) IN (
        SELECT k.video_id, k.version
        FROM unnest(
            CAST(:of AS text[]), CAST(:since AS timestamptz[]), CAST(:until AS timestamptz[])
        ) AS n (channel_id, since, until)
        CROSS JOIN LATERAL (
            SELECT k.video_id, k.version FROM kept_swaps k
            WHERE k.channel_id = n.channel_id AND (
                k.token IS NOT NULL OR NOT k.is_stale
                AND n.until >= k.old_last_seen_at - k.span AND n.since <= k.changed_at + k.span
            )
            OFFSET 0  -- note by note
        ) k
    )
    """
)
_CLAIM = text(
    """
    UPDATE kept_swaps SET token = gen_random_uuid(), ready_at = :put_off
    WHERE (video_id, version) = (
        SELECT video_id, version FROM kept_swaps
        WHERE is_stale AND ready_at <= :now ORDER BY ready_at, changed_at DESC LIMIT 1
        FOR UPDATE SKIP LOCKED
    )
    RETURNING video_id, version, channel_id, token
    """
)
# Who holds one of them has it claimed, or sets more of them stale: nobody waits for the other.
_REST = text(
    """
    UPDATE kept_swaps SET ready_at = :until
    WHERE (video_id, version) IN (
        SELECT video_id, version FROM kept_swaps
        WHERE channel_id = :channel AND is_stale AND ready_at < :until FOR UPDATE SKIP LOCKED
    )
    """
)
_MINE = "video_id = :of AND version = :at_version AND token = :token RETURNING version"
_DROP = text(f"DELETE FROM kept_swaps WHERE {_MINE}")
_KEPT = (
    *("channel_id", "changed_at", "old_last_seen_at", "shown_from", "shown_until", "span"),
    *("views_before", "views_after", "control_videos", "control_before", "control_after"),
    *("ends_at", "undecided", "first_day"),
)
_KEEP = text(
    "UPDATE kept_swaps SET is_stale = false, token = NULL, ready_at = :again, "
    f"{', '.join(f'{name} = :{name}' for name in _KEPT)} WHERE {_MINE}"
)
_READ = text(
    """
    SELECT
        s.channel_id,
        s.changed_at,
        s.old_last_seen_at,
        s.shown_from,
        s.shown_until,
        own.span,
        own.before AS views_before,
        own.after AS views_after,
        control.videos AS control_videos,
        control.before AS control_before,
        control.after AS control_after,
        -- Without windows only the video itself may change anything.
        CASE WHEN own.span IS NOT NULL
            THEN greatest(s.changed_at + own.span, own.ends_at, control.ends_at) END AS ends_at,
        CASE WHEN cardinality(undecided.who) <= :most THEN undecided.who END AS undecided,
        CASE WHEN own.span IS NOT NULL
            THEN (least(own.first_slot, control.first_slot) AT TIME ZONE 'UTC')::date
            END AS first_day
    FROM (
        SELECT * FROM picture_swaps() c
        WHERE c.video_id = :video AND c.version = :version OFFSET 0
    ) s
    CROSS JOIN LATERAL views_around(
        s.video_id, s.old_last_seen_at, s.changed_at, s.shown_from, s.shown_until, true
    ) own
    CROSS JOIN LATERAL controls_around(
        s.channel_id, s.video_id, s.old_last_seen_at - own.span, s.old_last_seen_at,
        s.changed_at, s.changed_at + own.span, true
    ) control
    CROSS JOIN LATERAL (
        SELECT coalesce(control.undecided, '{}') || CASE WHEN own.span IS NOT NULL AND own.is_final
            THEN '{}' ELSE ARRAY[s.video_id] END AS who
        OFFSET 0
    ) undecided
    """
)
