"""A video's thumbnails: the version history, and pictures by their content."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from db.models import Thumbnail, VideoThumbnail
from db.queries import bulk
from db.queries.arrays import among


@dataclass(frozen=True)
class CurrentThumbnail:
    """The picture that a video shows now, as far as we know."""

    video_id: str
    version: int
    thumbnail_sha256: str
    variant: str
    etag: str | None
    perceptual_hash: int | None
    """None for one that was collected before such hashes were kept."""
    seen_sha256: str
    """The bytes seen last: those of ``thumbnail_sha256`` unless it was encoded again since."""


@dataclass(frozen=True)
class StoredThumbnail:
    """A picture that was fetched and lies in the object store."""

    video_id: str
    thumbnail_sha256: str
    format: str
    width: int
    height: int
    byte_size: int
    variant: str
    etag: str | None
    perceptual_hash: int | None = None


@dataclass(frozen=True)
class SeenThumbnail:
    """A picture that is known, as it was served last."""

    video_id: str
    sha256: str
    etag: str | None


@dataclass(frozen=True)
class RecordedThumbnails:
    """What came of recording a batch."""

    versions: int
    """How many new versions were opened."""
    unspoken: set[str]
    """Pictures that no row spoke of before, or whose bytes were removed: nothing kept them."""


def current_thumbnails(session: Session, video_ids: Collection[str]) -> dict[str, CurrentThumbnail]:
    """Return the current thumbnail of each video that has one."""
    rows = session.execute(
        select(VideoThumbnail, Thumbnail.perceptual_hash, Thumbnail.purged_at)
        .join(Thumbnail, Thumbnail.thumbnail_sha256 == VideoThumbnail.thumbnail_sha256)
        .where(among(VideoThumbnail.video_id, video_ids), VideoThumbnail.is_current)
    )
    return {
        r.video_id: CurrentThumbnail(
            video_id=r.video_id,
            version=r.version,
            thumbnail_sha256=r.thumbnail_sha256,
            variant=r.variant,
            # One whose bytes were removed is asked for without: it has to come whole.
            etag=r.etag if purged_at is None else None,
            perceptual_hash=perceptual_hash,
            seen_sha256=r.seen_sha256 or r.thumbnail_sha256,
        )
        for r, perceptual_hash, purged_at in rows
    }


def set_perceptual_hash(session: Session, thumbnail_sha256: str, perceptual_hash: int) -> None:
    """Note the perceptual hash of a picture that was collected without."""
    session.execute(
        update(Thumbnail)
        .where(Thumbnail.thumbnail_sha256 == thumbnail_sha256)
        .values(perceptual_hash=perceptual_hash)
    )


def record_thumbnails(
    session: Session, fetched: Sequence[StoredThumbnail], *, now: datetime
) -> RecordedThumbnails:
    """Record fetched thumbnails: the same picture is seen again, another opens a new version."""
    if not fetched:
        return RecordedThumbnails(versions=0, unspoken=set())
    current = current_thumbnails(session, [f.video_id for f in fetched])
    changed = [
        f
        for f in fetched
        if f.video_id not in current or current[f.video_id].thumbnail_sha256 != f.thumbnail_sha256
    ]
    changed_ids = {f.video_id for f in changed}
    unspoken = _add_pictures(session, fetched, now=now)
    encoded_again = {
        f.video_id: SeenThumbnail(f.video_id, f.thumbnail_sha256, f.etag)
        for f in fetched
        if f.video_id not in changed_ids
    }
    seen_in_other_bytes(session, list(encoded_again.values()), now=now)
    session.execute(
        update(VideoThumbnail)
        .where(among(VideoThumbnail.video_id, changed_ids), VideoThumbnail.is_current)
        .values(is_current=False)
    )
    bulk.copy(
        session,
        VideoThumbnail,
        [
            {
                "video_id": f.video_id,
                "version": current[f.video_id].version + 1 if f.video_id in current else 1,
                "thumbnail_sha256": f.thumbnail_sha256,
                "variant": f.variant,
                "etag": f.etag,
                "is_current": True,
                "first_seen_at": now,
                "last_seen_at": now,
            }
            for f in changed
        ],
    )
    return RecordedThumbnails(versions=len(changed), unspoken=unspoken)


def _add_pictures(
    session: Session, fetched: Sequence[StoredThumbnail], *, now: datetime
) -> set[str]:
    """Add rows of pictures; return the hashes of those that no row kept from being removed."""
    hashes = {f.thumbnail_sha256: f for f in fetched}
    kept = select(Thumbnail.thumbnail_sha256).where(
        among(Thumbnail.thumbnail_sha256, hashes), Thumbnail.purged_at.is_(None)
    )
    # Not while objects are removed: what is looked up here has to stay true until the commit.
    session.execute(text("LOCK TABLE thumbnails IN ROW EXCLUSIVE MODE"))
    unspoken = hashes.keys() - set(session.scalars(kept))
    bulk.append(
        session,
        Thumbnail,
        [
            {
                "thumbnail_sha256": f.thumbnail_sha256,
                "format": f.format,
                "width": f.width,
                "height": f.height,
                "byte_size": f.byte_size,
                "stored_at": now,
                "perceptual_hash": f.perceptual_hash,
            }
            for f in hashes.values()
        ],
    )
    session.execute(
        update(Thumbnail)
        .where(among(Thumbnail.thumbnail_sha256, unspoken), Thumbnail.purged_at.is_not(None))
        .values(purged_at=None, stored_at=now)
    )
    return set(unspoken)


def hold(session: Session) -> None:
    """Keep pictures from being recorded until the unit of work ends.

    Who removes objects holds this from before it looks which of them are spoken of until they are
    gone: a worker that found a picture in the store cannot speak of it in between.
    """
    session.execute(text("LOCK TABLE thumbnails IN SHARE ROW EXCLUSIVE MODE"))


def seen_again(session: Session, video_ids: Collection[str], *, now: datetime) -> None:
    """Note that videos still show the thumbnail they had."""
    if video_ids:
        session.execute(
            update(VideoThumbnail)
            .where(among(VideoThumbnail.video_id, video_ids), VideoThumbnail.is_current)
            .values(last_seen_at=func.greatest(VideoThumbnail.last_seen_at, now))
        )


def seen_in_other_bytes(session: Session, seen: Sequence[SeenThumbnail], *, now: datetime) -> None:
    """Note that videos still show the picture they had, in these bytes, with this ETag."""
    for s in seen:
        session.execute(
            update(VideoThumbnail)
            .where(VideoThumbnail.video_id == s.video_id, VideoThumbnail.is_current)
            .values(
                last_seen_at=func.greatest(VideoThumbnail.last_seen_at, now),
                seen_sha256=func.nullif(s.sha256, VideoThumbnail.thumbnail_sha256),
                etag=s.etag,
            )
        )
