"""Audio of videos: fetched where it is allowed, checked, cut, stored by content, recorded.

Nothing is held open while the network or a decoder works. The bytes are in the object store
before any row speaks of them, so a worker that dies in between leaves objects without rows, which
upkeep removes, and never the other way round.
"""

import tempfile
import uuid
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path

import structlog

from db.queries.speech import clips, selections
from db.queries.work import work_items
from services.context import Context
from services.errors import BlockedError, TubeGraderError, UsageError
from services.media.audio.processing import ProcessedAudio, audio_seconds, prepared
from services.policy.permission import Permission, not_allowed, permissions
from services.work import leases
from services.work.heartbeat import KeptLease, LeaseLostError
from services.youtube.audio.facts import FetchedAudio, NotYetError
from services.youtube.audio.source import AudioSource

log = structlog.get_logger()

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
    items = leases.begin(context, token)
    allowed = _allowed(context, token, items)
    new = 0
    lease = KeptLease(lambda: _extend(context, token), every_s=context.lease.total_seconds() / 4)
    with leases.failing(context, token, [i for i in items if i.channel_id in allowed]) as failures:
        try:
            with lease.kept():
                for item in items:
                    if item.channel_id not in allowed:
                        continue
                    try:
                        new += _collect(context, token, item, allowed[item.channel_id], lease)
                    except NotYetError as error:
                        _wait(context, token, [item], error)
                    except BlockedError:
                        raise
                    except UsageError as error:
                        # A setting is wrong, not the video.
                        raise BlockedError(
                            str(error), reason=error.reason, hint=error.hint
                        ) from error
                    except TubeGraderError as error:
                        failures.add([item.entity_id], error)
        except LeaseLostError:
            log.warning("audio.lease_lost", token=str(token))
    return new


def _extend(context: Context, token: uuid.UUID) -> bool:
    with context.transaction() as session:
        until = context.clock() + context.lease
        return work_items.extend_lease(session, token, until=until) > 0


def _allowed(
    context: Context, token: uuid.UUID, items: Collection[work_items.LeasedItem]
) -> dict[str, tuple[Permission, int]]:
    """Return permission and seconds wanted by channel; have the items of all others wait."""
    channel_ids = {item.channel_id for item in items}
    with context.transaction() as session:
        now = context.clock()
        permitted = permissions(session, context.settings, channel_ids, now=now)
        wanted = selections.wanted_seconds(session, channel_ids)
        selections.take_back(
            session, token, [i.entity_id for i in items if i.channel_id not in wanted]
        )
    refused = [i for i in items if i.channel_id in wanted and i.channel_id not in permitted]
    if refused:
        _wait(context, token, refused, not_allowed(len({i.channel_id for i in refused})))
    return {c: (permitted[c], wanted[c]) for c in wanted if c in permitted}


def _wait(
    context: Context,
    token: uuid.UUID,
    items: Collection[work_items.LeasedItem],
    error: TubeGraderError,
) -> None:
    """Have items wait for something that is no fault of theirs or of the host's."""
    now = context.clock()
    later = now + (NOT_YET_FOR if isinstance(error, NotYetError) else ASK_AGAIN_AFTER)
    if isinstance(error, NotYetError) and error.not_before is not None:
        later = max(error.not_before, now + ASK_AGAIN_AFTER)
    with context.transaction() as session:
        work_items.fail(
            session,
            token,
            [item.entity_id for item in items],
            kind=BlockedError.kind,
            reason=error.reason,
            message=f"{error}; {error.hint}" if error.hint else str(error),
            retry_at=later,
            now=now,
        )


def _collect(
    context: Context,
    token: uuid.UUID,
    item: work_items.LeasedItem,
    allowed: tuple[Permission, int],
    lease: KeptLease,
) -> bool:
    """Collect one video's audio; tell whether it is a new version."""
    permission, seconds_wanted = allowed
    lease.check()
    with tempfile.TemporaryDirectory(prefix="tubegrader-audio-") as made:
        folder = Path(made)
        source = AudioSource.from_settings(context.settings, clock=context.clock)
        fetched = source.fetch(
            item.entity_id,
            into=folder,
            seconds_wanted=audio_seconds(seconds_wanted),
            max_bytes=context.settings.audio_max_bytes,
            progress=lambda _: lease.check(),
        )
        processed = prepared(
            fetched.path,
            folder,
            seconds_wanted=seconds_wanted,
            is_whole=fetched.is_whole,
            check=lease.check,
        )
        _store(context, processed)
        now = context.clock()
        with context.transaction() as session:
            # A clip that comes late, after another worker's, would look like another version.
            if item.entity_id not in work_items.lock_held(session, token):
                return False
            clip = _clip(fetched, processed, permission)
            recorded = clips.record_clip(session, clip, processed.segments, now=now)
            work_items.complete(session, token, {item.entity_id: None}, now=now)
        # A purge may have removed them since they were stored, before the rows spoke of them; it
        # has ended by now, or it sees the rows.
        _store(context, processed)
    return recorded.is_new


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
