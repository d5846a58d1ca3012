"""Thumbnails: fetched, checked, stored by their content, kept as a version history.

A video's picture is asked for again on a cadence, with the ETag it came with. Other bytes are not
another picture: YouTube encodes again now and then. They are compared with the bytes that opened
the current version (never with the ones seen last, or many small steps would pass unnoticed), and
where they show the same picture that version is seen again: its hash stays what scores and
datasets refer to, the new bytes are not kept, only their hash and ETag.
"""

import uuid
from collections.abc import Mapping, Sequence

from sqlalchemy.orm import Session

from db.queries.catalog import thumbnails
from services.context import Context
from services.errors import PermanentError, TubeGraderError
from services.work import leases
from services.work.others import blamed
from services.work.verdicts import MALFORMED_REASONS
from services.youtube.batches import spoils_in_passing
from services.youtube.perceptual import is_same_picture, perceptual_hash
from services.youtube.thumbnails import (
    FailedThumbnail,
    FetchedThumbnail,
    ThumbnailRequest,
    UnchangedThumbnail,
    fetch_all_thumbnails,
)

ROUNDS = 3
"""So often what failed is fetched, beside others that came."""


def fetch_batch(context: Context, token: uuid.UUID) -> int:
    """Fetch the thumbnails of a leased batch of videos; return how many new versions came.

    The bytes are in the object store before any row speaks of them.
    """
    versions = 0
    with leases.begin(context, token) as batch:
        with context.transaction() as session:
            current = thumbnails.current_thumbnails(session, batch.items)
        fetched, unchanged = _fetch(context, batch, current)
        other, same = _split_by_picture(context, fetched, current)
        there = context.store.put_new([f.content for f in other])
        now = context.clock()

        def write(session: Session, done: Sequence[str]) -> thumbnails.RecordedThumbnails:
            # A picture that comes late, after another worker's, would look like a swap.
            held = batch.held(session).intersection(done)
            recorded = thumbnails.record_thumbnails(
                session, [_row(f) for f in other if f.video_id in held], now=now
            )
            seen = [thumbnails.SeenThumbnail(f.video_id, f.sha256, f.etag) for f in same]
            thumbnails.seen_in_other_bytes(
                session, [s for s in seen if s.video_id in held], now=now
            )
            thumbnails.seen_again(session, held.intersection(unchanged), now=now)
            batch.complete(session, dict.fromkeys(done, context.cadence.thumbnail_every), now=now)
            return recorded

        parts = batch.write([*(f.video_id for f in fetched), *unchanged], write)
        versions = sum(part.versions for part in parts)
        # What lay there already without a row of its own may have been removed since it was looked
        # for above. Whoever removes objects keeps these rows from being written until it is done,
        # so by now they are gone or stay, and come back for good.
        doubtful = there & {sha256 for part in parts for sha256 in part.unspoken}
        context.store.put_many([f.content for f in other if f.sha256 in doubtful])
    return versions


def _fetch(
    context: Context,
    batch: leases.Batch,
    current: Mapping[str, thumbnails.CurrentThumbnail],
) -> tuple[list[FetchedThumbnail], list[str]]:
    """Return what came, and the videos whose thumbnail is still what its ETag says."""
    settings = context.settings
    asked = [
        ThumbnailRequest(v, etag=current[v].etag if v in current else None) for v in batch.items
    ]
    fetched: list[FetchedThumbnail] = []
    unchanged: list[str] = []
    failed: dict[str, TubeGraderError] = {}
    again: dict[str, TubeGraderError] = {}
    for _ in range(ROUNDS):
        results = fetch_all_thumbnails(
            asked,
            base_url=settings.thumbnail_url,
            variant=settings.thumbnail_variant,
            concurrency=settings.thumbnail_concurrency,
            max_bytes=settings.thumbnail_max_bytes,
        )
        fetched += [r for r in results if isinstance(r, FetchedThumbnail)]
        unchanged += [r.video_id for r in results if isinstance(r, UnchangedThumbnail)]
        errors = {r.video_id: r.error for r in results if isinstance(r, FailedThumbnail)}
        again = {v: e for v, e in errors.items() if v in failed and failed[v].reason == e.reason}
        failed = {v: e for v, e in failed.items() if v not in {r.video_id for r in asked}} | errors
        asked = [r for r in asked if r.video_id in errors and _is_odd(errors[r.video_id])]
        if not asked or not (fetched or unchanged):
            break
    for video_id, error in failed.items():
        if video_id not in again:
            batch.fail([video_id], error)
        elif error.reason in MALFORMED_REASONS:
            batch.fail_again(video_id, error)
        else:
            # Others came meanwhile: it is this one, as of an id that spoils its calls.
            batch.fail([video_id], blamed(error))
    return fetched, unchanged


def _is_odd(error: TubeGraderError) -> bool:
    """Tell whether it may be chance, or the one thumbnail: it is seen when asked again at once."""
    return error.reason in MALFORMED_REASONS or spoils_in_passing(error)


def _split_by_picture(
    context: Context,
    fetched: Sequence[FetchedThumbnail],
    current: Mapping[str, thumbnails.CurrentThumbnail],
) -> tuple[list[FetchedThumbnail], list[FetchedThumbnail]]:
    """Split what came into pictures to record, and known ones in other bytes."""
    other: list[FetchedThumbnail] = []
    same: list[FetchedThumbnail] = []
    for f in fetched:
        now_shown = current.get(f.video_id)
        if now_shown is not None and f.sha256 != now_shown.thumbnail_sha256:
            if f.sha256 == now_shown.seen_sha256:
                same.append(f)
                continue
            known = _known_hash(context, now_shown)
            if known is not None and is_same_picture(f.perceptual_hash, known):
                same.append(f)
                continue
        other.append(f)
    return other, same


def _known_hash(context: Context, shown: thumbnails.CurrentThumbnail) -> int | None:
    """Return the hash of a picture; None where its bytes are gone, too, and nothing can tell."""
    if shown.perceptual_hash is not None:
        return shown.perceptual_hash
    try:
        found = perceptual_hash(context.store.get(shown.thumbnail_sha256))
    except PermanentError:
        return None
    with context.transaction() as session:
        thumbnails.set_perceptual_hash(session, shown.thumbnail_sha256, found)
    return found


def _row(f: FetchedThumbnail) -> thumbnails.StoredThumbnail:
    return thumbnails.StoredThumbnail(
        video_id=f.video_id,
        thumbnail_sha256=f.sha256,
        format=f.format,
        width=f.width,
        height=f.height,
        byte_size=len(f.content),
        variant=f.variant,
        etag=f.etag,
        perceptual_hash=f.perceptual_hash,
    )
