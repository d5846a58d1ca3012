"""What was collected, held against the truth that the offline YouTube knows.

Each check returns findings, one line each; a collection that can be trusted has none. The policy
is asked for in ``services.cadence``; nothing here knows a number of it.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any

from sqlalchemy import Engine, text

from services import cadence
from services.emulator.catalog import Catalog
from services.emulator.resources import shown_subscribers
from services.emulator.videos import Video

BUCKETS = {"units": "units", "searches": "search", "stats": "batchGetStats"}
"""Our name of each of the emulator's quota buckets."""

GONE_REASONS = {"videoGone", "thumbnailMissing"}
ENDED_REASONS = {"channelClosed", "channelSuspended", "channelNotFound", "playlistNotFound"}


@dataclass
class Audit:
    """Findings and counts of one comparison.

    Attributes:
        findings: What differs, by check.
        late: How long after its slot each snapshot was taken, longest first; without those of
            videos that were not shown when they were due.
        checked: How much was compared, by check.
        skipped: Slots that the policy gave up because the one before came too late.
        forgotten: Videos that were hidden for a while, are shown again for more than two
            discoveries, and are still given up.
    """

    findings: dict[str, list[str]] = field(default_factory=dict)
    late: list[timedelta] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)
    skipped: int = 0
    forgotten: list[str] = field(default_factory=list)

    def take(self, check: str, findings: Iterator[str], checked: int) -> None:
        found = list(findings)
        self.checked[check] = checked
        if found:
            self.findings[check] = found


@dataclass(frozen=True)
class World:
    """The truth: a catalogue, the moment of the comparison, and what was charged.

    Attributes:
        catalog: What the offline YouTube served.
        end: When collecting stopped.
        patience: How late a slot may be served without being a finding.
        inexact: How long before ``captured_at`` the answer may have been given: 0 where the
            clock stood still meanwhile.
    """

    catalog: Catalog
    end: datetime
    patience: timedelta
    inexact: timedelta = timedelta(0)


def audit(
    engine: Engine, world: World, charged: Mapping[tuple[str, str], int], *, spare: int = 0
) -> Audit:
    """Compare all that a database holds with the truth.

    Args:
        engine: The database.
        world: The truth.
        charged: Calls the emulator received, by (Pacific day, its bucket).
        spare: Calls we may have booked and never sent, because a process was killed between.
    """
    result = Audit()
    videos, channels = _video_snapshots(engine), _channel_snapshots(engine)
    items = {(i["kind"], i["entity_id"]): i for i in _rows(engine, "SELECT * FROM work_items")}
    known = {v["video_id"]: v for v in _rows(engine, "SELECT * FROM videos")}
    result.take("video values", _wrong_video_values(world, videos), len(videos))
    result.take("channel values", _wrong_channel_values(world, channels), len(channels))
    for check, rows, kind, entity, following in (
        ("video slots", videos, "video.snapshot", "video_id", _after_video(world)),
        ("channel slots", channels, "channel.snapshot", "channel_id", _after_channel),
    ):
        result.take(check, _wrong_slots(world, rows, items, kind, entity, following), len(rows))
        on_show = [row for row in rows if _on_show(world, row[entity], row["slot"])]
        result.late += [row["captured_at"] - row["slot"] for row in on_show]
        result.skipped += _count_skipped(on_show, entity, following)
    result.late.sort(reverse=True)
    result.forgotten = sorted(_forgotten(world, items))
    unseen = [name for name in known if ("video.snapshot", name) not in items]
    result.take("videos without work", iter(unseen), len(known))
    result.take("videos missed", _missed_videos(world, known, items), len(world.catalog.videos))
    result.take("failed items", _unexplained_failures(world, items), len(items))
    result.take("gone", _wrongly_gone(engine, world, known), len(known))
    result.take("thumbnails", _wrong_thumbnails(engine, world, items), len(known))
    result.take("quota", _wrong_quota(engine, charged, spare), len(charged))
    return result


_Row = Mapping[str, Any]
_STANDS = ("state", "ready_at", "attempts", "error_reason", "error_at", "doubted_at")
_Following = Callable[[_Row], set[datetime]]
"""The slots that the policy may want after a snapshot: two where it was taken near a change."""


def _rows(engine: Engine, query: str) -> list[_Row]:
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(text(query)).mappings()]


def _video_snapshots(engine: Engine) -> list[_Row]:
    return _rows(engine, "SELECT * FROM video_snapshots ORDER BY video_id, slot")


def _channel_snapshots(engine: Engine) -> list[_Row]:
    return _rows(engine, "SELECT * FROM channel_snapshots ORDER BY channel_id, slot")


def _wrong_video_values(world: World, rows: list[_Row]) -> Iterator[str]:
    catalog = world.catalog
    for row in rows:
        video, at = catalog.videos[row["video_id"]], row["captured_at"]
        shown = (row["view_count"], row["like_count"], row["comment_count"])
        earliest, latest = (
            (catalog.views(video, t), catalog.likes(video, t), catalog.comments(video, t))
            for t in (at - world.inexact, at)
        )
        if not any(catalog.visible(video, t) for t in (at - world.inexact, at)):
            yield f"{row['video_id']} at {at}: it was {catalog.visibility(video, at)}"
        elif not all(map(_between, earliest, shown, latest)):
            yield f"{row['video_id']} at {at}: stored {shown}, true {latest}"


def _between(earliest: int | None, shown: int | None, latest: int | None) -> bool:
    if shown is None or earliest is None or latest is None:
        return shown is earliest is latest
    return earliest <= shown <= latest


def _wrong_channel_values(world: World, rows: list[_Row]) -> Iterator[str]:
    for row in rows:
        at = row["captured_at"]
        moments = (at,) if not world.inexact else (at - world.inexact, at)
        true = [_channel_counts(world.catalog, row["channel_id"], moment) for moment in moments]
        shown = (row["subscriber_count"], row["view_count"], row["video_count"])
        low, high = true[0], true[-1]
        exact = shown in true
        if not exact and not (world.inexact and all(map(_between, low, shown, high))):
            yield f"{row['channel_id']} at {at}: stored {shown}, true {high}"


def _channel_counts(
    catalog: Catalog, channel_id: str, at: datetime
) -> tuple[int | None, int | None, int | None]:
    channel, uploads = catalog.channels[channel_id], catalog.uploads(channel_id, at)
    if catalog.standing(channel, at) != "open":
        return (None, None, None)
    hidden = catalog.hides_subscribers(channel, at)
    subscribers = None if hidden else shown_subscribers(catalog.subscribers(channel, at))
    return subscribers, sum(catalog.views(video, at) for video in uploads), len(uploads)


def _after_video(world: World) -> _Following:
    def following(row: _Row) -> set[datetime]:
        video, at = world.catalog.videos[row["video_id"]], row["captured_at"]
        # Whether a broadcast had begun when it was answered is not known to the minute.
        begun = {_begin(video, at - world.inexact), _begin(video, at)}
        intervals = {cadence.DEFAULT.video_interval(at - begin) for begin in begun}
        return {cadence.next_slot(row["slot"], every, now=at) for every in intervals}

    return following


def _begin(video: Video, at: datetime) -> datetime:
    """When the age of a video starts, as far as anyone can know at ``at``."""
    start = video.begins_at
    return start if start is not None and start <= at else video.published_at


def _after_channel(row: _Row) -> set[datetime]:
    every = cadence.DEFAULT.channel_every
    return {cadence.next_slot(row["slot"], every, now=row["captured_at"])}


def _wrong_slots(
    world: World,
    rows: list[_Row],
    items: Mapping[tuple[str, str], _Row],
    kind: str,
    entity: str,
    following: _Following,
) -> Iterator[str]:
    """Each slot that the policy wanted is there, and none besides."""
    for name, group in groupby(rows, key=itemgetter(entity)):
        series = list(group)
        for before, after in pairwise(series):
            wanted = following(before)
            if after["slot"] not in wanted:
                yield f"{name}: after {before['slot']} came {after['slot']}, wanted {_any(wanted)}"
        item, wanted = items[kind, name], following(series[-1])
        if item["state"] == "due" and item["slot"] not in wanted:
            yield f"{name}: {item['slot']} is next, wanted {_any(wanted)}"
        due = item["state"] != "failed" and not _is_rightly_doubted(world, item)
        if max(wanted) + world.patience < world.end and due:
            last = series[-1]["slot"]
            stands = ", ".join(f"{key} {item[key]}" for key in _STANDS)
            yield f"{name}: nothing since {last}, wanted {_any(wanted)} ({stands})"
    have = {row[entity] for row in rows}
    for (item_kind, name), item in items.items():
        if item_kind != kind or name in have or item["state"] == "failed":
            continue
        if _is_rightly_doubted(world, item):
            continue
        if item["slot"] + world.patience < world.end:
            yield f"{name}: no snapshot at all, wanted {item['slot']} ({item['state']})"


def _any(moments: set[datetime]) -> str:
    return " or ".join(map(str, sorted(moments)))


def _on_show(world: World, name: str, at: datetime) -> bool:
    """Whether there was something to collect; what was private came back later than its slot."""
    video = world.catalog.videos.get(name)
    if video is not None:
        return world.catalog.visible(video, at)
    return world.catalog.standing(world.catalog.channels[name], at) == "open"


def _count_skipped(rows: list[_Row], entity: str, following: _Following) -> int:
    """Count the slots that are missing because a snapshot was later than the slot after it."""
    skipped = 0
    for _, group in groupby(rows, key=itemgetter(entity)):
        for before in group:
            on_time = following({**before, "captured_at": before["slot"]})
            skipped += max(on_time) <= before["captured_at"]
    return skipped


def _missed_videos(
    world: World, known: Mapping[str, _Row], items: Mapping[tuple[str, str], _Row]
) -> Iterator[str]:
    """What a channel showed when it was last listed is known."""
    for channel_id, channel in world.catalog.channels.items():
        item = items["channel.discover", channel_id]
        listed_at = item["done_at"]
        if listed_at is None:
            if world.catalog.standing(channel, world.end) == "open":
                yield f"{channel_id} was never listed: {item['state']} {item['error_reason']}"
            continue
        for video in world.catalog.uploads(channel_id, listed_at - world.inexact):
            if video.video_id not in known:
                yield f"{video.video_id} of {channel_id}, published {video.published_at}"
        overdue = (
            listed_at + cadence.DEFAULT.discovery_every + cadence.GRID + world.patience < world.end
        )
        if overdue and world.catalog.standing(channel, world.end) == "open":
            yield f"{channel_id} was last listed at {listed_at}: {item['error_reason']}"


def _unexplained_failures(world: World, items: Mapping[tuple[str, str], _Row]) -> Iterator[str]:
    for (kind, name), item in items.items():
        if item["state"] == "failed" and not _is_explained(world, item):
            yield f"{kind} {name}: {item['error_reason']} at {item['error_at']}"


def _wrongly_gone(engine: Engine, world: World, known: Mapping[str, _Row]) -> Iterator[str]:
    """What is said to be gone was not shown when that was noted."""
    for name, row in known.items():
        at, video = row["gone_at"], world.catalog.videos[name]
        if at is not None and all(
            world.catalog.visible(video, t) for t in (at - world.inexact, at)
        ):
            yield f"{name}: gone at {at}, and shown then"
    for row in _rows(engine, "SELECT channel_id, state FROM channels"):
        channel = world.catalog.channels[row["channel_id"]]
        ended = world.catalog.standing(channel, world.end) != "open"
        if row["state"] in ("closed", "suspended", "gone") and not ended:
            yield f"{row['channel_id']}: {row['state']}, and open"


def _is_rightly_doubted(world: World, item: _Row) -> bool:
    """Whether an item waits to be heard of once more, and the truth knows why."""
    if item["state"] != "due" or item["doubted_at"] is None:
        return False
    if item["error_kind"] == "permanent":
        return _is_explained(world, item)
    # Asked for once more, it met something that passes: the doubt of before stands.
    return not _on_show(world, item["entity_id"], item["doubted_at"])


def _is_explained(world: World, item: _Row) -> bool:
    """Whether the truth knows why an item failed."""
    catalog, at, reason = world.catalog, item["error_at"], item["error_reason"]
    moments = (at - world.inexact, at)
    video = catalog.videos.get(item["entity_id"])
    if video is not None:
        return reason in GONE_REASONS and not all(catalog.visible(video, t) for t in moments)
    channel = catalog.channels[item["entity_id"]]
    ended = any(catalog.standing(channel, t) != "open" for t in moments)
    return reason in ENDED_REASONS and ended


def _wrong_thumbnails(
    engine: Engine, world: World, items: Mapping[tuple[str, str], _Row]
) -> Iterator[str]:
    """Every picture shown long enough to be seen has its version; none was invented."""
    image_features = _Looks(world.catalog)
    query = "SELECT * FROM video_thumbnails ORDER BY video_id, version"
    stored = {n: list(g) for n, g in groupby(_rows(engine, query), key=itemgetter("video_id"))}
    for name, versions in stored.items():
        video = world.catalog.videos[name]
        for row in versions:
            for moment in (row["first_seen_at"], row["last_seen_at"]):
                if row["thumbnail_sha256"] not in image_features.shown(
                    video, moment, world.inexact
                ):
                    yield f"{name} version {row['version']}: not what was shown at {moment}"
        since = versions[0]["first_seen_at"]
        until = items["video.thumbnail", name]["done_at"]
        seen = {row["thumbnail_sha256"] for row in versions}
        if not seen & image_features.shown(video, until, world.inexact):
            yield f"{name}: what was shown when last asked, at {until}, was missed"
        long = cadence.DEFAULT.thumbnail_every + cadence.GRID + world.patience
        for version in image_features.shown_for(video, since, until, long):
            if not seen & image_features.like(version):
                yield f"{name}: the picture {version} was missed"
    for (kind, name), item in items.items():
        due = item["state"] != "failed" and item["slot"] + world.patience < world.end
        due = due and not _is_rightly_doubted(world, item)
        if kind == "video.thumbnail" and name not in stored and due:
            yield f"{name}: no thumbnail, {item['state']} {item['error_reason']}"


def _forgotten(world: World, items: Mapping[tuple[str, str], _Row]) -> Iterator[str]:
    for (kind, name), item in items.items():
        if kind != "video.snapshot" or item["state"] != "failed":
            continue
        video = world.catalog.videos[name]
        since = world.end - 2 * (cadence.DEFAULT.discovery_every + world.patience)
        if world.catalog.visible(video, world.end) and world.catalog.visible(video, since):
            yield name


class _Looks:
    """Hashes of a catalogue's pictures; a re-encoded one looks like the one before it."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._hashes: dict[str, str] = {}

    def hash_of(self, key: str) -> str:
        if key not in self._hashes:
            self._hashes[key] = hashlib.sha256(self._catalog.picture(key)).hexdigest()
        return self._hashes[key]

    def like(self, key: str) -> set[str]:
        stem = key.removesuffix("/reencoded")
        video = self._catalog.videos[key.split("/", maxsplit=1)[0]]
        alike = [v.key for v in video.thumbnails if v.key.removesuffix("/reencoded") == stem]
        return {self.hash_of(one) for one in alike}

    def shown(self, video: Video, at: datetime, inexact: timedelta) -> set[str]:
        versions = [self._catalog.thumbnail(video, t) for t in {at, at - inexact}]
        return set().union(*(self.like(v.key) for v in versions if v is not None))

    def shown_for(
        self, video: Video, since: datetime, until: datetime, long: timedelta
    ) -> Iterator[str]:
        """Yield the pictures in force for at least ``long`` within the span."""
        versions = [v for v in video.thumbnails if not v.reencoded]
        ends = [*(v.since for v in versions[1:]), datetime.max.replace(tzinfo=UTC)]
        for version, end in zip(versions, ends, strict=True):
            if min(end, until) - max(version.since, since) >= long:
                yield version.key


def _wrong_quota(
    engine: Engine, charged: Mapping[tuple[str, str], int], spare: int
) -> Iterator[str]:
    query = "SELECT pacific_day, bucket, sum(units) AS units FROM quota_usage GROUP BY 1, 2"
    ours = {(str(r["pacific_day"]), r["bucket"]): int(r["units"]) for r in _rows(engine, query)}
    theirs = {(day, BUCKETS[bucket]): calls for (day, bucket), calls in charged.items()}
    for entry in sorted(ours.keys() | theirs.keys()):
        extra = ours.get(entry, 0) - theirs.get(entry, 0)
        if not 0 <= extra <= spare:
            yield f"{entry}: booked {ours.get(entry, 0)}, received {theirs.get(entry, 0)}"
