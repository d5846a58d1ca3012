"""The object store on a real folder: named by content, atomic, verified on read."""

import hashlib
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services import storage
from services.errors import PermanentError, TransientError, UsageError
from services.storage import ObjectStore, object_name
from tests.support.buckets import without_bucket


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "objects"


@pytest.fixture
def store(folder: Path) -> ObjectStore:
    return ObjectStore.from_url(folder.as_uri())


def files(folder: Path) -> set[str]:
    return {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.lists(st.binary(max_size=2_000), max_size=8))
def test_what_was_put_comes_back_under_its_hash(store: ObjectStore, contents: list[bytes]):
    names = store.put_many(contents)
    assert names == [sha256(c) for c in contents]
    assert store.get_many(names) == contents


def test_putting_twice_changes_nothing(store: ObjectStore, folder: Path):
    name = store.put(b"a picture")
    file = folder / object_name(name)
    before = file.stat()
    assert store.put_many([b"a picture"] * 3) == [name] * 3
    assert store.put_file(file) == name
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert files(folder) == {object_name(name)}
    assert store.names() == [name]


def test_many_at_once_put_the_same_objects(store: ObjectStore, folder: Path):
    contents = [bytes([n]) * 50_000 for n in range(20)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(store.put_many, [contents, contents[::-1]] * 3))
    assert set(map(frozenset, found)) == {frozenset(map(sha256, contents))}
    assert store.get_many([sha256(c) for c in contents]) == contents
    assert len(files(folder)) == 20


def test_a_reader_never_sees_half_an_object(store: ObjectStore):
    """While one writes a large object again and again, another reads it: all of it, or nothing."""
    content = bytes(range(256)) * 40_000
    name, stop = sha256(content), threading.Event()
    outcomes = set()

    def read() -> None:
        while not stop.is_set():
            try:
                outcomes.add(store.get(name) == content)
            except PermanentError as error:
                outcomes.add(error.reason)

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(5):
        store.put(content)
    stop.set()
    reader.join()
    assert store.get(name) == content
    assert outcomes <= {True, "objectMissing"}


def test_a_killed_writer_leaves_no_object_behind(store: ObjectStore, folder: Path):
    code = (
        "import os, sys, threading, time\n"
        "from services.storage import ObjectStore\n"
        "store = ObjectStore.from_url(sys.argv[1])\n"
        "print('writing', flush=True)\n"
        "for n in range(10_000): store.put(os.urandom(3_000_000))\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", code, folder.as_uri()], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    with writer.stdout:
        assert writer.stdout.readline() == "writing\n"
        while len(store.names()) < 3:
            pass
        writer.kill()
        writer.wait()
    names = store.names()
    for name in names:  # every one that is listed is whole
        assert sha256(store.get(name)) == name


def test_a_missing_object_says_so(store: ObjectStore, tmp_path: Path):
    for read in (store.get, lambda name: store.get_file(name, tmp_path / "copy")):
        with pytest.raises(PermanentError) as caught:
            read("0" * 64)
        assert caught.value.reason == "objectMissing"
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("damage", [b"another picture!", b"cut", b""])
def test_a_damaged_object_is_never_returned(
    store: ObjectStore, folder: Path, tmp_path: Path, damage: bytes
):
    name = store.put(b"the right picture")
    (folder / object_name(name)).write_bytes(damage)
    for read in (store.get, lambda name: store.get_file(name, tmp_path / "copy")):
        with pytest.raises(PermanentError) as caught:
            read(name)
        assert caught.value.reason == "objectCorrupt"
        assert caught.value.hint
    assert [p.name for p in tmp_path.iterdir()] == ["objects"]


def test_an_object_of_the_wrong_size_is_put_right(store: ObjectStore, folder: Path, tmp_path: Path):
    content = b"the right picture"
    name = store.put(content)
    for put in (store.put, lambda c: store.put_file(write(tmp_path / "source", c))):
        (folder / object_name(name)).write_bytes(b"cut")
        assert put(content) == name
        assert store.get(name) == content


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_files_of_any_size_go_in_and_out(store: ObjectStore, tmp_path: Path):
    content = bytes(range(256)) * 80_000
    name = store.put_file(write(tmp_path / "in", content))
    assert name == sha256(content)
    store.get_file(name, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == content
    with pytest.raises(FileNotFoundError):
        store.get_file(name, tmp_path / "no such folder" / "out")


def test_a_full_or_forbidden_store_is_a_failure_in_passing(store: ObjectStore, folder: Path):
    content = b"a picture"
    # A file where a folder has to be: no right, and no root, can write there.
    blocked = folder / object_name(sha256(content)).split("/", 1)[0]
    folder.mkdir(exist_ok=True)
    blocked.write_bytes(b"")
    with pytest.raises(TransientError) as caught:
        store.put(content)
    assert caught.value.reason == "storeFailed"
    assert caught.value.hint is not None
    assert "TUBEGRADER_STORAGE_URL" in caught.value.hint


@pytest.mark.parametrize("url", ["", "objects", "/tmp/objects", "http://127.0.0.1/x", "s3:/x"])
def test_what_is_no_address_of_a_store_is_refused(url: str):
    with pytest.raises(UsageError) as caught:
        ObjectStore.from_url(url)
    assert caught.value.hint is not None
    assert "file://" in caught.value.hint


def test_the_check_writes_reads_and_leaves_nothing(store: ObjectStore, folder: Path):
    store.check()
    assert files(folder) == set()


def test_a_store_is_made_where_there_is_none(tmp_path: Path):
    deep = tmp_path / "a folder with spaces" / "über"
    store = ObjectStore.from_url(deep.as_uri())
    assert store.get(store.put(b"x")) == b"x"
    assert store.put_many([]) == []
    assert store.get_many([]) == []


def test_stretches_of_objects_come_back_as_far_as_they_are_there(store: ObjectStore, folder: Path):
    one, other, away = store.put_many([b"0123456789", b"abcdefghij", b"ABCDEFGHIJ"])
    store.quarantine([away])
    absent = sha256(b"x")
    asked = {one: [(0, 2), (8, 10)], other: [(3, 4)], away: [(1, 3)], absent: [(0, 1)]}
    found = {name: list(map(bytes, parts)) for name, parts in store.get_ranges(asked).items()}
    assert found == {one: [b"01", b"89"], other: [b"d"], away: [b"BC"]}
    (folder / object_name(other)).write_bytes(b"abc")
    assert store.get_ranges({other: [(3, 4)]}) == {}
    assert store.names() == sorted([one, other, away])


def test_what_earlier_releases_kept_beside_the_objects_is_deleted(store: ObjectStore, folder: Path):
    name = store.put(b"a picture")
    (folder / "derived/numbers-v1").mkdir(parents=True)
    (folder / f"derived/numbers-v1/{name}").write_bytes(b"numbers")
    assert store.names() == [name]
    assert store.delete_derived() == 1
    assert store.delete_derived() == 0
    assert files(folder) == {object_name(name)}


def test_what_is_large_is_put_away_in_pieces_and_comes_back_whole(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(storage, "LARGE", 1_000)
    contents = [b"small", bytes(range(256)) * 100_000]
    names = store.put_many(contents)
    assert store.sizes([*names, "0" * 64]) == dict(zip(names, map(len, contents), strict=True))
    store.quarantine(names)
    assert store.names() == []
    assert store.sizes(names) == {}
    assert store.get_many(names) == contents
    assert store.names() == sorted(names)


def test_a_bucket_that_is_not_there_is_said_and_is_no_missing_object(
    monkeypatch: pytest.MonkeyPatch,
):
    with without_bucket() as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        far = ObjectStore.from_url(environment["TUBEGRADER_STORAGE_URL"])
        for use in (far.check, far.names, lambda: far.put(b"x"), lambda: far.get(sha256(b"x"))):
            with pytest.raises(TransientError, match="bucket does not exist") as error:
                use()
            assert error.value.reason == "storeFailed"
            assert "TUBEGRADER_STORAGE_URL" in (error.value.hint or "")
