"""Of which videos speech is collected: selections by channel, and the work that follows."""

import uuid
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import text, update
from sqlalchemy.orm import Session

from db.models import AudioSelection
from db.queries.arrays import among

KIND = "video.audio"
NO_APPROVAL = "noApproval"


def select_channels(
    session: Session, channel_ids: Collection[str], policy: Mapping[str, int], *, now: datetime
) -> dict[str, str]:
    """Collect speech of channels under a policy.

    Args:
        session: The unit of work.
        channel_ids: Watched channels.
        policy: ``seconds_wanted``, ``shortest_s``, ``longest_s`` and ``newest_videos``.
        now: The present moment.

    Returns:
        What became of each channel: ``added`` or ``changed``; one that is as it was is left out.
    """
    rows = session.execute(
        text(
            """
            INSERT INTO audio_selections AS s (channel_id, seconds_wanted, shortest_s, longest_s,
                newest_videos, enabled, added_at, changed_at)
            SELECT id, :seconds_wanted, :shortest_s, :longest_s, :newest_videos, true, :now, :now
            FROM unnest(CAST(:ids AS text[])) AS new (id)
            ON CONFLICT (channel_id) DO UPDATE SET
                seconds_wanted = excluded.seconds_wanted, shortest_s = excluded.shortest_s,
                longest_s = excluded.longest_s, newest_videos = excluded.newest_videos,
                enabled = true, changed_at = :now
            WHERE (s.seconds_wanted, s.shortest_s, s.longest_s, s.newest_videos, s.enabled)
                IS DISTINCT FROM (excluded.seconds_wanted, excluded.shortest_s,
                    excluded.longest_s, excluded.newest_videos, true)
            RETURNING channel_id, CASE WHEN xmax = 0 THEN 'added' ELSE 'changed' END
            """
        ),
        {**policy, "ids": sorted(channel_ids), "now": now},
    )
    return dict(rows.all())


def unselect_channels(
    session: Session, channel_ids: Collection[str], *, now: datetime
) -> list[str]:
    """Collect speech of channels no longer; return those that were selected.

    Work that is not begun is taken back; what came stays.
    """
    ended = list(
        session.scalars(
            update(AudioSelection)
            .where(among(AudioSelection.channel_id, channel_ids), AudioSelection.enabled)
            .values(enabled=False, changed_at=now)
            .returning(AudioSelection.channel_id)
        )
    )
    given = {"kind": KIND, "ids": ended}
    session.execute(
        text(
            "DELETE FROM work_items WHERE kind = :kind AND channel_id = ANY(:ids) "
            "AND state <> 'leased' AND done_at IS NULL"
        ),
        given,
    )
    session.execute(
        text(
            "UPDATE work_items SET state = 'idle', slot = NULL, ready_at = NULL "
            "WHERE kind = :kind AND channel_id = ANY(:ids) AND state = 'due'"
        ),
        given,
    )
    return sorted(ended)


def choose(
    session: Session,
    *,
    now: datetime,
    channel_ids: Collection[str] | None = None,
    video_ids: Collection[str] | None = None,
) -> int:
    """Make work of the videos that selections want and that were not collected yet.

    A video that was listed and not read yet may fit: it keeps its place among the newest until its
    length is known. Else an older one would be taken too, by the order in which they are read.

    Args:
        session: The unit of work.
        now: The slot of the new work.
        channel_ids: Only these channels' selections; None: all.
        video_ids: Only the selections of these videos' channels; None: all.

    Returns:
        How many videos became due.
    """
    statement = text(
        """
        INSERT INTO work_items AS w (kind, entity_id, channel_id, state, slot, ready_at)
        SELECT :kind, v.video_id, s.channel_id, 'due', :now, :now
        FROM audio_selections s
        CROSS JOIN LATERAL (
            SELECT video_id, refreshed_at FROM videos
            WHERE channel_id = s.channel_id AND state = 'public'
              AND live_broadcast_content = 'none'
              AND (refreshed_at IS NULL OR duration_s BETWEEN s.shortest_s AND s.longest_s)
            ORDER BY published_at DESC, video_id
            LIMIT s.newest_videos
        ) v
        WHERE s.enabled AND v.refreshed_at IS NOT NULL
          AND (CAST(:channels AS text[]) IS NULL OR s.channel_id = ANY(:channels))
          AND (CAST(:videos AS text[]) IS NULL OR s.channel_id IN (
            SELECT channel_id FROM videos WHERE video_id = ANY(:videos)
          ))
        ORDER BY v.video_id
        ON CONFLICT (kind, entity_id) DO UPDATE SET state = 'due', slot = :now, ready_at = :now
        WHERE w.state = 'idle' AND w.done_at IS NULL
        RETURNING w.entity_id
        """
    )
    values = {
        "kind": KIND,
        "now": now,
        "channels": None if channel_ids is None else list(channel_ids),
        "videos": None if video_ids is None else list(video_ids),
    }
    return len(session.execute(statement, values).all())


def bring_forward(session: Session, *, channel_ids: Collection[str], now: datetime) -> int:
    """Have tried now what failed, waits or was taken back; what was collected stays as it is."""
    statement = text(
        """
        UPDATE work_items SET state = 'due', slot = coalesce(slot, :now), ready_at = :now,
            attempts = 0
        WHERE kind = :kind AND channel_id = ANY(:channels) AND (
            state = 'failed' OR (state = 'idle' AND done_at IS NULL)
            OR (state = 'due' AND ready_at > :now)
        )
        RETURNING entity_id
        """
    )
    values = {"kind": KIND, "now": now, "channels": list(channel_ids)}
    return len(session.execute(statement, values).all())


def selected_videos(session: Session, video_ids: Collection[str]) -> dict[str, str]:
    """Return the channels of those videos that selections chose."""
    rows = session.execute(
        text(
            "SELECT entity_id, channel_id FROM work_items "
            "WHERE kind = :kind AND entity_id = ANY(:ids)"
        ),
        {"kind": KIND, "ids": list(video_ids)},
    )
    return dict(rows.all())


def refetchable(session: Session, video_ids: Collection[str], *, now: datetime) -> list[str]:
    """Return which of the videos neither are due now nor are being fetched; locks their work."""
    rows = session.scalars(
        text(
            """
            SELECT entity_id FROM work_items
            WHERE kind = :kind AND entity_id = ANY(:ids)
              AND (state IN ('idle', 'failed') OR (state = 'due' AND ready_at > :now))
            ORDER BY entity_id FOR UPDATE
            """
        ),
        {"kind": KIND, "ids": list(video_ids), "now": now},
    )
    return list(rows)


def fetch_again(session: Session, video_ids: Collection[str], *, now: datetime) -> None:
    """Have videos fetched now that :func:`refetchable` named, collected ones too."""
    session.execute(
        text(
            "UPDATE work_items SET state = 'due', slot = :now, ready_at = :now, attempts = 0 "
            "WHERE kind = :kind AND entity_id = ANY(:ids)"
        ),
        {"kind": KIND, "ids": list(video_ids), "now": now},
    )


def approved_now(session: Session, *, channel_id: str | None, now: datetime) -> int:
    """Try at once what waited for an approval, of a channel or (None) of all; return how many."""
    statement = text(
        """
        UPDATE work_items SET ready_at = :now
        WHERE kind = :kind AND state = 'due' AND error_reason = :reason
          AND (CAST(:channel AS text) IS NULL OR channel_id = :channel)
        RETURNING entity_id
        """
    )
    values = {"kind": KIND, "reason": NO_APPROVAL, "now": now, "channel": channel_id}
    return len(session.execute(statement, values).all())


def take_back(session: Session, token: uuid.UUID, video_ids: Collection[str]) -> None:
    """Drop the work of videos whose channels are not selected any more, under a lease."""
    session.execute(
        text("DELETE FROM work_items WHERE lease_token = :token AND entity_id = ANY(:ids)"),
        {"token": token, "ids": list(video_ids)},
    )


def wanted_seconds(session: Session, channel_ids: Collection[str]) -> dict[str, int]:
    """Return the seconds wanted of each video of channels that are selected."""
    rows = session.execute(
        text(
            "SELECT channel_id, seconds_wanted FROM audio_selections "
            "WHERE enabled AND channel_id = ANY(:ids)"
        ),
        {"ids": list(channel_ids)},
    )
    return dict(rows.all())


def overview(session: Session) -> list[dict[str, Any]]:
    """Return each selection with how its videos stand and what is held of them."""
    rows = session.execute(
        text(
            """
            SELECT s.channel_id, c.handle, c.title, s.enabled, s.seconds_wanted, s.shortest_s,
                s.longest_s, s.newest_videos, s.added_at, s.changed_at,
                w.waiting, w.failed, h.clips, h.segments, h.kept_s, h.byte_size
            FROM audio_selections s
            JOIN channels c USING (channel_id)
            CROSS JOIN LATERAL (
                SELECT count(*) FILTER (WHERE state IN ('due', 'leased')) AS waiting,
                    count(*) FILTER (WHERE state = 'failed') AS failed
                FROM work_items WHERE channel_id = s.channel_id AND kind = :kind
            ) w
            CROSS JOIN LATERAL (
                SELECT count(*) AS clips, coalesce(sum(a.kept_s), 0) AS kept_s,
                    coalesce(sum(a.byte_size), 0)::bigint AS byte_size,
                    coalesce(sum(cut.n), 0)::bigint AS segments
                FROM audio_clips a
                JOIN videos v USING (video_id)
                CROSS JOIN LATERAL (
                    SELECT count(*) AS n FROM speech_segments
                    WHERE clip_id = a.clip_id AND cutting_version = a.cutting_version
                ) cut
                WHERE v.channel_id = s.channel_id AND a.is_current AND a.purged_at IS NULL
            ) h
            ORDER BY c.title, s.channel_id
            """
        ),
        {"kind": KIND},
    ).mappings()
    return [dict(row) for row in rows]


def totals(session: Session) -> dict[str, Any]:
    """Return what is held in all: clips, segments, seconds and bytes, and how many were purged."""
    row = session.execute(
        text(
            """
            SELECT count(*) FILTER (WHERE purged_at IS NULL) AS clips,
                count(*) FILTER (WHERE purged_at IS NOT NULL) AS purged,
                coalesce(sum(kept_s) FILTER (WHERE purged_at IS NULL), 0) AS kept_s,
                coalesce(sum(byte_size) FILTER (WHERE purged_at IS NULL), 0)::bigint AS byte_size,
                (SELECT count(*) FROM speech_segments JOIN audio_clips USING (clip_id)
                 WHERE purged_at IS NULL) AS segments
            FROM audio_clips
            """
        )
    ).mappings()
    return dict(row.one())
