"""Audio of videos: fetched where it is allowed, checked, cut, stored by content, recorded.

Nothing is held open while the network or a decoder works. The bytes are in the object store
before any row speaks of them, so a worker that dies in between leaves objects without rows, which
upkeep removes, and never the other way round.
"""

import tempfile
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy.orm import Session

from db.queries.speech import clips, selections
from services.context import Context
from services.errors import BlockedError, TubeGraderError, UsageError
from services.media.audio.processing import ProcessedAudio, audio_seconds, prepared
from services.policy.permission import Permission, not_allowed, permissions
from services.work import leases
from services.youtube.audio.facts import FetchedAudio, NotYetError
from services.youtube.audio.source import AudioSource

ASK_AGAIN_AFTER = timedelta(hours=1)
"""When what no approval covers is looked at again; recording an approval does it at once."""
NOT_YET_FOR = timedelta(hours=6)
"""For a video that is announced or on air and does not say until when."""
AT_ONCE = 16
"""Segments that are read into memory and stored together."""


def fetch_batch(context: Context, token: uuid.UUID) -> int:
    """Fetch the audio of a leased batch of videos; return how many new clips came.

    What nothing allows to take waits with the reason ``noApproval``. A file that cannot be used
    fails its own video; a refusal of us as a whole ends the batch.
    """
    new = 0
    with leases.begin(context, token) as batch:
        allowed = _allowed(context, batch)
        with batch.kept_alive():
            for video_id, item in batch.items.items():
                try:
                    new += _collect(context, batch, video_id, allowed[item.channel_id])
                except NotYetError as error:
                    batch.postpone([video_id], error, until=_announced(error, now=context.clock()))
                except (BlockedError, UsageError):  # a setting is wrong, not the video
                    raise
                except TubeGraderError as error:
                    batch.fail([video_id], error)
    return new


def _allowed(context: Context, batch: leases.Batch) -> dict[str, tuple[Permission, int]]:
    """Return permission and seconds wanted by channel; release the items of all others."""
    channel_of = {video_id: item.channel_id for video_id, item in batch.items.items()}
    channel_ids = set(channel_of.values())
    with context.transaction() as session:
        now = context.clock()
        permitted = permissions(session, context.settings, channel_ids, now=now)
        wanted = selections.wanted_seconds(session, channel_ids)
        unwanted = [v for v, channel in channel_of.items() if channel not in wanted]
        selections.take_back(session, batch.token, unwanted)
    refused = {v: c for v, c in channel_of.items() if c in wanted and c not in permitted}
    if refused:
        error = not_allowed(len(set(refused.values())))
        batch.postpone(refused, error, until=now + ASK_AGAIN_AFTER)
    batch.release([*unwanted, *refused])
    return {c: (permitted[c], wanted[c]) for c in wanted if c in permitted}


def _announced(error: NotYetError, *, now: datetime) -> datetime:
    """Return when to look again at a video that is announced or on air."""
    if error.not_before is None:
        return now + NOT_YET_FOR
    return max(error.not_before, now + ASK_AGAIN_AFTER)


def _collect(
    context: Context, batch: leases.Batch, video_id: str, allowed: tuple[Permission, int]
) -> bool:
    """Collect one video's audio; tell whether it is a new version."""
    permission, seconds_wanted = allowed
    batch.check()
    with tempfile.TemporaryDirectory(prefix="tubegrader-audio-") as made:
        folder = Path(made)
        source = AudioSource.from_settings(context.settings, clock=context.clock)
        fetched = source.fetch(
            video_id,
            into=folder,
            seconds_wanted=audio_seconds(seconds_wanted),
            max_bytes=context.settings.audio_max_bytes,
            progress=lambda _: batch.check(),
        )
        processed = prepared(
            fetched.path,
            folder,
            seconds_wanted=seconds_wanted,
            is_whole=fetched.is_whole,
            check=batch.check,
        )
        _store(context, processed)
        now = context.clock()

        def write(session: Session, _: Sequence[str]) -> bool:
            # A clip that comes late, after another worker's, would look like another version.
            if video_id not in batch.held(session):
                return False
            clip = _clip(fetched, processed, permission)
            recorded = clips.record_clip(session, clip, processed.segments, now=now)
            batch.complete(session, {video_id: None}, now=now)
            return recorded.is_new

        written = batch.write([video_id], write)
        # A purge may have removed them since they were stored, before the rows spoke of them; it
        # has ended by now, or it sees the rows.
        if written:
            _store(context, processed)
    return any(written)


def _store(context: Context, processed: ProcessedAudio) -> None:
    context.store.put_file(processed.original)
    for first in range(0, len(processed.flacs), AT_ONCE):
        some = processed.flacs[first : first + AT_ONCE]
        context.store.put_many([file.read_bytes() for file in some])


def _clip(
    fetched: FetchedAudio, processed: ProcessedAudio, permission: Permission
) -> clips.StoredClip:
    return clips.StoredClip(
        video_id=fetched.video_id,
        audio_sha256=processed.sha256,
        byte_size=processed.byte_size,
        container=processed.facts.container,
        codec=processed.facts.codec,
        sample_rate=processed.facts.sample_rate,
        channels=processed.facts.channels,
        said_duration_s=fetched.duration_s,
        duration_s=processed.duration_s,
        kept_s=processed.kept_s,
        format_id=fetched.format_id,
        track_language=fetched.language,
        cutting_version=processed.cutting_version,
        allowed_by=permission.allowed_by,
        approval_reference=permission.reference,
    )
