"""A backup is whole, holds each object once, and becomes an equal installation again."""

import shutil
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import text

from db.locks import advisory_lock
from services.backups.checking import verify
from services.backups.creating import create
from services.backups.encryption import Recipients
from services.backups.pruning import Keep, prune
from services.backups.restoring import restore
from services.backups.target import Target
from services.context import Context
from services.embedded import Endpoints
from services.errors import PermanentError, UsageError
from services.policy import ownership, retention
from services.policy.deleting import BACKUP
from services.storage import object_name
from services.work import pauses
from tests.support.databases import owned
from tests.support.kept import NOW, collect, lose_pictures, objects_of, restored, rows_of


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target.of(str(tmp_path / "backups"))


@pytest.fixture
def kept(context: Context) -> Context:
    _new_id(context)
    collect(context, 0, 60)
    ownership.claim(context)
    return context


@pytest.fixture
def key(tmp_path: Path) -> Path:
    if shutil.which("age") is None:
        pytest.skip("age is not installed")
    path = tmp_path / "key.txt"
    subprocess.run(["age-keygen", "-o", path], check=True, capture_output=True)
    return path


def _new_id(context: Context) -> None:
    """Have an installation that no other database of the server is."""
    with context.transaction() as session:
        session.execute(text("UPDATE installation SET installation_id = gen_random_uuid()"))


def public(key: Path) -> str:
    return next(
        line.rpartition(" ")[2] for line in key.read_text().splitlines() if "public key" in line
    )


def file_of(target: Target, name: str) -> Path:
    return Path(target.url.removeprefix("file://")) / object_name(name)


def files(target: Target) -> list[str]:
    return target.store.names()


def test_a_restored_installation_is_equal_row_for_row_and_object_for_object(
    kept: Context, target: Target, endpoints: Endpoints, tmp_path: Path
):
    made = create(kept, target)
    assert (made.objects, made.new_objects, made.missing) == (60, 60, 0)
    before = rows_of(str(kept.settings.database_url)), objects_of(kept)
    with restored(endpoints, target, tmp_path / "other") as (done, copy):
        after = rows_of(str(copy.settings.database_url)), objects_of(copy)
        assert done.objects == 60
        assert after[1] == before[1]
        different = {name for name in before[0] if before[0][name] != after[0][name]}
        assert different == {"installation", "pauses"}
        assert [each.scope for each in pauses.listed(copy)] == [pauses.EVERYTHING]
        ownership.check_not_foreign(copy)


def test_the_same_installation_comes_back_with_its_id_when_the_first_is_gone(
    kept: Context, target: Target, endpoints: Endpoints, tmp_path: Path
):
    create(kept, target)
    before = rows_of(str(kept.settings.database_url))
    with (
        pytest.raises(UsageError, match="lives in the database") as refused,
        restored(endpoints, target, tmp_path / "beside", same_installation=True),
    ):
        pass
    assert refused.value.reason == "livingInstallation"
    _new_id(kept)
    with restored(endpoints, target, tmp_path / "other", same_installation=True) as (_, copy):
        assert rows_of(str(copy.settings.database_url)) == before


def test_what_an_earlier_backup_has_is_not_copied_again(kept: Context, target: Target):
    create(kept, target)
    packs = target.packs()
    collect(kept, 1_000, 5)
    second = create(kept, target)
    assert (second.objects, second.new_objects) == (65, 5)
    assert len(target.packs()) == len(packs) + 1
    again = create(kept, target)
    assert (again.new_objects, again.new_bytes) == (0, 0)
    assert verify(target, [], now=NOW).clean


def test_a_dry_run_writes_nothing(kept: Context, target: Target):
    made = create(kept, target, dry_run=True)
    assert (made.backup_id, made.objects, made.new_objects) == (None, 60, 60)
    assert target.ids() == files(target) == []


class StoppedError(Exception):
    """Somebody stopped it."""


def test_a_stopped_backup_is_none_and_is_gone_on_with(
    kept: Context, target: Target, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("services.backups.packing.PACK_OBJECTS", 16)

    def stop(done: int, _total: int, _what: str) -> None:
        if done >= 32:
            raise StoppedError

    with pytest.raises(StoppedError):
        create(kept, target, progress=stop)
    assert target.ids() == []
    made = create(kept, target)
    assert (made.objects, made.new_objects) == (60, 28)
    assert verify(target, ["newest"], now=NOW).clean


def test_a_corrupted_pack_is_found_and_healed_by_the_next_backup(
    kept: Context, target: Target, endpoints: Endpoints, tmp_path: Path
):
    create(kept, target)
    [pack] = target.packs()
    file = file_of(target, pack)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))
    found = verify(target, ["newest"], now=NOW)
    assert found.damaged == [f"pack {pack}"]
    assert found.lost_objects == 60
    with (
        pytest.raises(PermanentError, match="damaged"),
        restored(endpoints, target, tmp_path / "other"),
    ):
        pass
    file.unlink()
    assert create(kept, target).new_objects == 60
    assert verify(target, [], now=NOW).clean


@pytest.mark.parametrize("what", ["dump", "manifest"])
def test_a_damaged_dump_or_list_is_found(kept: Context, target: Target, what: str):
    create(kept, target)
    name = getattr(target.find("newest"), what)
    file_of(target, name).write_bytes(b"something else")
    assert not verify(target, ["newest"], now=NOW).clean


def test_a_damaged_record_is_found(kept: Context, target: Target):
    made = create(kept, target)
    record = f"backups/{made.backup_id}.json"
    target.store.put_named(record, target.store.get_named(record).replace(b"60", b"61"))
    assert verify(target, [], now=NOW).damaged == [f"record {made.backup_id}"]


def test_an_encrypted_backup_is_read_by_the_key_alone(
    kept: Context, target: Target, key: Path, endpoints: Endpoints, tmp_path: Path
):
    made = create(kept, target, Recipients((public(key),)))
    assert made.encrypted
    folder = Path(target.url.removeprefix("file://"))
    assert not any(b"picture 7 " in p.read_bytes() for p in folder.rglob("*") if p.is_file())
    assert verify(target, ["newest"], now=NOW).objects_read == 0
    assert verify(target, ["newest"], now=NOW, identity=key).objects_read == 60
    with (
        pytest.raises(UsageError, match="encrypted"),
        restored(endpoints, target, tmp_path / "without"),
    ):
        pass
    with restored(endpoints, target, tmp_path / "other", identity=key) as (_, copy):
        assert objects_of(copy) == objects_of(kept)


def test_a_key_that_is_none_is_refused_before_anything_is_written(kept: Context, target: Target):
    if shutil.which("age") is None:
        pytest.skip("age is not installed")
    with pytest.raises(UsageError, match="cannot encrypt"):
        create(kept, target, Recipients(("age1nobody",)))
    assert files(target) == []


def test_without_age_it_is_said_how_to_install_it(
    kept: Context, target: Target, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError) as refused:
        create(kept, target, Recipients(("age1x",)))
    assert refused.value.reason == "noAge"
    assert "install" in str(refused.value.hint)


def test_objects_that_the_store_lost_are_counted_and_the_rest_is_kept(
    kept: Context, target: Target
):
    kept.store.delete_many(kept.store.names()[:3])
    made = create(kept, target)
    assert (made.objects, made.missing) == (57, 3)
    assert verify(target, ["newest"], now=NOW).clean


def test_a_purge_waits_while_a_backup_is_made(kept: Context):
    kept.clock = lambda: NOW.replace(year=2027)
    with advisory_lock(kept.engine, BACKUP):
        report = retention.purge(kept, dry_run=False, kinds=["thumbnails"])
        [found] = report.kinds
        assert found.refused is not None
        assert found.refused.reason == "backupUnderWay"
        assert len(kept.store.names()) == 60
    retention.purge(kept, dry_run=False, kinds=["thumbnails"])
    assert kept.store.names() == []


def test_pruning_keeps_every_pack_that_a_backup_needs(
    kept: Context, target: Target, endpoints: Endpoints, tmp_path: Path
):
    first = create(kept, target)
    lose_pictures(kept, 20)
    collect(kept, 1_000, 5)
    second = create(kept, target)
    kept.clock = lambda: NOW.replace(year=2030)  # what was left behind has settled
    planned = prune(kept, target, Keep(1), dry_run=True)
    assert (planned.removed, planned.kept) == ([first.backup_id], [second.backup_id])
    assert len(target.ids()) == 2
    prune(kept, target, Keep(1), dry_run=False)
    assert target.ids() == [second.backup_id]
    assert verify(target, [], now=NOW).clean
    with restored(endpoints, target, tmp_path / "other") as (_, copy):
        assert objects_of(copy) == objects_of(kept)
    lose_pictures(kept, 45)
    third = create(kept, target)
    assert prune(kept, target, Keep(1), dry_run=False).packs == 2
    assert target.ids() == [third.backup_id]
    assert verify(target, [], now=NOW).clean


def test_nothing_is_restored_over_what_is_there(
    kept: Context, target: Target, endpoints: Endpoints, tmp_path: Path
):
    create(kept, target)
    with pytest.raises(UsageError) as refused:
        restore(
            target,
            "newest",
            owner_url=owned(str(kept.settings.database_url)),
            storage_url=(tmp_path / "empty").as_uri(),
            now=NOW,
        )
    assert refused.value.reason == "databaseNotEmpty"
    store = str(kept.settings.storage_url)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "objects").symlink_to(store.removeprefix("file://"))
    with pytest.raises(UsageError) as refused, restored(endpoints, target, tmp_path / "other"):
        pass
    assert refused.value.reason == "livingInstallation"


def test_a_stopped_restore_is_gone_on_with(
    kept: Context, target: Target, endpoints: Endpoints, tmp_path: Path
):
    create(kept, target)

    def stop(_done: int, _total: int, what: str) -> None:
        if what == "restoring the database":
            raise StoppedError

    with (
        pytest.raises(StoppedError),
        restored(endpoints, target, tmp_path / "other", progress=stop),
    ):
        pass
    with restored(endpoints, target, tmp_path / "other") as (_, copy):
        assert objects_of(copy) == objects_of(kept)


def test_a_backup_of_a_newer_schema_is_refused_in_words(
    kept: Context, target: Target, endpoints: Endpoints, tmp_path: Path
):
    from dataclasses import replace

    create(kept, target)
    target.add(replace(target.find("newest"), backup_id="30000101T000000-abcdef", schema="9999"))
    with pytest.raises(UsageError, match="newer") as refused, restored(endpoints, target, tmp_path):
        pass
    assert refused.value.reason == "schemaNewer"
