"""The doors that strangers' bytes come in by, and what must hold of whatever comes of them.

Each door either refuses an input by the one kind of error that it promises, with a reason, or
returns what satisfies the invariants written here. Anything else is a finding.
"""

import atexit
import random
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httplib2
import numpy as np

from services.errors import TubeGraderError, UsageError
from tests.fuzz import seeds
from tests.fuzz.mutations import spoil, spoil_json, spoil_markup, spoil_table

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
TAKEN = "taken"
WORDS = (
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\0",
    b'"',
    b"'",
    b"\r",
    b"<",
    b"&",
    b"{",
    b"]",
    b"\\",
    b"@",
)


@dataclass(frozen=True)
class Door:
    """A way in.

    Attributes:
        seeds: Makes sound inputs.
        mutate: Makes an input of a seed.
        check: Takes an input; returns ``taken`` or the reason of its refusal, raises else.
        tested: Inputs that the test of every day tries.
    """

    seeds: Callable[[], Sequence[bytes]]
    mutate: Callable[[random.Random, bytes], bytes]
    check: Callable[[bytes], str]
    tested: int


def picture(data: bytes) -> str:
    """Both who stores a picture and who learns from it take it, or it is refused."""
    from ml.errors import LearningError
    from ml.images.decoding import decode_thumbnail
    from services.errors import PermanentError
    from services.youtube.images import MOST_PIXELS, inspect_thumbnail

    try:
        facts = inspect_thumbnail(data, "default")
    except PermanentError as error:
        assert error.reason in {"notAnImage", "brokenImage", "imageTooLarge"}, error.reason
        facts, reason = None, error.reason
    try:
        frame = decode_thumbnail(data, name="x", size=(320, 180))
    except LearningError as error:
        # What is stored is read by every training from then on.
        assert facts is None, f"stored as {facts}, but {error}"
        return reason
    assert (frame.shape, frame.dtype) == ((180, 320, 3), np.uint8)
    if facts is None:
        return reason
    assert facts.format in {"jpeg", "png", "webp"}
    assert 0 < facts.width * facts.height <= MOST_PIXELS
    assert 0 <= facts.perceptual_hash < 2**63
    return TAKEN


@cache
def _scratch() -> Path:
    shared = Path("/dev/shm")
    found = tempfile.mkdtemp(prefix="fuzz-", dir=shared if shared.is_dir() else None)
    atexit.register(shutil.rmtree, found, ignore_errors=True)
    return Path(found)


def audio(data: bytes) -> str:
    """Samples are numbers, blocks are whole, and their sum is what is said to be decoded."""
    from ml.audio import AudioError, decoded

    path = _scratch() / "sound"
    path.write_bytes(data)
    try:
        decoding = decoded(path, block_s=1.0, longest_s=600.0)
        blocks = list(decoding)
    except AudioError as error:
        assert error.reason.isalpha()
        assert "sound: " in str(error)
        return error.reason
    assert {len(block) for block in blocks[:-1]} <= {16_000}
    assert sum(map(len, blocks)) / 16_000 == decoding.decoded_s
    for block in blocks:
        assert block.dtype == np.float32
        assert np.isfinite(block).all()
    assert decoding.mended_samples >= 0
    assert 0 <= decoding.lost_packets <= decoding.packets
    return TAKEN


def channels(data: bytes) -> str:
    """Every entry of a list has a line of the file, and names a channel or is told what to do."""
    from services.crawl.sources import read_channels
    from services.naming import parse_channel
    from services.youtube.identifiers import ReferenceKind, is_channel_id

    try:
        found = read_channels(data, "list")
    except UsageError as error:
        assert str(error).startswith("list cannot be used: ")
        assert "\n" not in str(error)
        assert error.reason == "unreadableFile"
        return error.reason
    for entry in found:
        assert 1 <= entry.line <= data.count(b"\n") + data.count(b"\r") + 1
        try:
            named = parse_channel(entry.text)
        except UsageError as error:
            assert error.hint
            continue
        assert named.value
        assert named.kind is not ReferenceKind.ID or is_channel_id(named.value)
    return TAKEN


def recorded(data: bytes) -> str:
    """Of a recorded table every row is put aside for writing or rejected with a reason."""
    from services.storage import ObjectStore
    from services.transfer.recorded import RecordedFolder
    from services.transfer.spool import RejectedRows, Spool

    folder = _recorded_folder()
    (folder / "videos.csv").write_bytes(data)
    rejected, store = RejectedRows(), ObjectStore.from_url("memory://")
    with Spool() as spool:
        try:
            rows = RecordedFolder(folder, store, spool, rejected, NOW).read(lambda *_: None)
        except UsageError as error:
            assert str(folder / "videos.csv") in str(error)
            return "unreadableFile"
        taken = {row[-1] for row in spool.rows("videos")}
        refused = {one.line for one in rejected.listed}
        assert not taken & refused, "a row is both written and refused"
        assert rows["videos.csv"] == len(taken) + sum(
            n for reason, n in rejected.counts.items() if reason != "badRow"
        )
    return TAKEN if taken else next(iter(rejected.counts), "noRows")


@cache
def _recorded_folder() -> Path:
    folder = _scratch() / "recorded"
    (folder / "thumbnails").mkdir(parents=True)
    for name, content in zip(("a.jpg", "b.png"), seeds.pictures()[:6:5], strict=True):
        (folder / "thumbnails" / name).write_bytes(content)
    return folder


def table(data: bytes) -> str:
    """A table may be a list of channels or recorded videos: it is tried as what it looks like."""
    return (
        recorded(data)
        if data[:40].lstrip(b"\xef\xbb\xbf").startswith(b"video_id")
        else channels(data)
    )


class _Answering:
    """In place of the network: every request gets the same bytes."""

    def __init__(self) -> None:
        self.content = b""
        self.status = 200

    def request(self, *_: Any, **__: Any) -> tuple[httplib2.Response, bytes]:
        head = {"status": str(self.status), "content-type": "application/json"}
        return httplib2.Response(head), self.content

    def close(self) -> None:
        pass


@cache
def _gateway() -> tuple[Any, _Answering]:
    from services.youtube.gateway import YouTubeGateway

    ledger: Any = SimpleNamespace(reserve=lambda *_: None, exhausted=lambda *_: None)
    gateway = YouTubeGateway("key", ledger, lambda: NOW, attempts=1, endpoint="http://127.0.0.1:9")
    answering = _Answering()
    gateway._transport._connections = lambda: answering  # type: ignore[assignment,return-value]
    return gateway, answering


def api(data: bytes) -> str:
    """Every id that was asked for is found, missing or refused; what is found fits a column."""
    gateway, answering = _gateway()
    answering.content = data
    answering.status = 403 if b'"error"' in data[:40] else 200
    asked = {
        "channels": (seeds.A, seeds.B),
        "videos": seeds.VIDEOS,
        "statistics": seeds.VIDEOS,
    }
    ended = set()
    for method, ids in asked.items():
        try:
            answer = getattr(gateway, method)(ids)
        except TubeGraderError as error:
            ended.add(error.reason)
            continue
        refused = [refusal.item_id for refusal in answer.refused]
        assert sorted([*answer.items, *answer.missing, *refused, *answer.unasked]) == sorted(ids)
        for facts in answer.items.values():
            _fits(asdict(facts))
        ended.add(TAKEN)
    try:
        _fits(asdict(gateway.channel_by_handle("name")))
        page = gateway.uploads_page("UU" + "a" * 22)
    except TubeGraderError as error:
        ended.add(error.reason)
    else:
        _fits(asdict(page))
    assert all(ended)
    return TAKEN if TAKEN in ended else min(ended)


def _fits(value: Any) -> None:
    """Whatever is in a fact can be written: no NUL, no half of a character, no 65th bit."""
    if isinstance(value, dict):
        for each in value.values():
            _fits(each)
    elif isinstance(value, tuple | list):
        for each in value:
            _fits(each)
    elif isinstance(value, str):
        assert "\0" not in value
        value.encode()
    elif isinstance(value, datetime):
        assert value.tzinfo is not None
        value.astimezone(UTC).isoformat()
    elif isinstance(value, int):
        assert -(2**63) <= value < 2**63
    else:
        assert value is None, value


def feed(data: bytes) -> str:
    """Entries of a feed are its channel's, with ids of YouTube's form."""
    from services.errors import PermanentError
    from services.youtube.feed import parse_feed
    from services.youtube.identifiers import is_channel_id, is_video_id

    try:
        found = parse_feed(data)
    except PermanentError as error:
        assert error.reason == "malformedFeed"
        return error.reason
    assert is_channel_id(found.channel_id)
    assert all(is_video_id(entry.video_id) for entry in found.entries)
    _fits(asdict(found))
    return TAKEN


def _or_bytes(
    knowing: Callable[[random.Random, bytes], bytes],
) -> Callable[[random.Random, bytes], bytes]:
    """Mutate by what an input means, by its bytes, or by both."""

    def mutate(chance: random.Random, data: bytes) -> bytes:
        found = knowing(chance, data) if chance.random() < 0.6 else data
        return spoil(chance, found, WORDS) if found is data or chance.random() < 0.2 else found

    return mutate


DOORS = {
    "pictures": Door(
        seeds.pictures, lambda c, d: spoil(c, d, (b"Exif\0\0", b"\xff\xd9")), picture, 400
    ),
    "audio": Door(seeds.sounds, lambda c, d: spoil(c, d, (b"data", b"ID3", b"OggS")), audio, 150),
    "opml": Door(seeds.marked_up, _or_bytes(spoil_markup), channels, 600),
    "csv": Door(
        lambda: [*seeds.tables(), *seeds.recorded() * 2], _or_bytes(spoil_table), table, 500
    ),
    "json": Door(seeds.documents, _or_bytes(spoil_json), channels, 600),
    "api": Door(
        seeds.answers,
        _or_bytes(spoil_json),
        api,
        300,
    ),
    "feeds": Door(seeds.feeds, _or_bytes(spoil_markup), feed, 600),
}
