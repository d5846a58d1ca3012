"""What could lose a backup, or what is backed up: others at one target, damage, wrong clocks."""

import os
import socket
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from db.queries.installation import installation_id
from services.backups import standing
from services.backups.checking import verify
from services.backups.creating import create
from services.backups.pruning import Keep, prune
from services.backups.restoring import restore
from services.backups.target import Record, Target
from services.context import Context
from services.embedded import Endpoints
from services.errors import BusyError, InfrastructureError, PermanentError, UsageError
from services.policy import ownership
from services.storage import object_name
from services.work import pauses
from tests.support.databases import EMPTY, context_on, own_database, owned
from tests.support.kept import NOW, collect, lose_pictures

LATER = NOW + timedelta(days=60)
OTHER = "00000000-0000-0000-0000-000000000001"


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target.of(str(tmp_path / "backups"))


@pytest.fixture
def kept(context: Context) -> Context:
    with context.transaction() as session:
        session.execute(text("UPDATE installation SET installation_id = gen_random_uuid()"))
    collect(context, 0, 20)
    return context


def folder_of(target: Target) -> Path:
    return Path(target.url.removeprefix("file://"))


def of_another(target: Target, record: Record, moment: str) -> Record:
    """The same backup, as another installation would have made it."""
    other = replace(record, backup_id=f"{moment}-abcdef", installation_id=OTHER)
    target.add(other)
    return other


@pytest.mark.parametrize("claimed", [True, False])
def test_backups_are_not_kept_where_an_installation_keeps_its_objects(
    kept: Context, claimed: bool, tmp_path: Path
):
    url = str(kept.settings.storage_url)
    if claimed:
        ownership.claim(kept)
        (tmp_path / "called-otherwise").symlink_to(url.removeprefix("file://"))
        url = str(tmp_path / "called-otherwise")
    kept.clock = lambda: LATER
    for within in ("",) if claimed else ("", "/below"):
        target = Target.of(url + within)
        for use in (
            lambda where=target: create(kept, where),
            lambda where=target: prune(kept, where, Keep(), dry_run=False),
        ):
            with pytest.raises(UsageError) as refused:
                use()
            assert refused.value.reason == "targetIsStore"
    assert len(kept.store.names()) == 20


def test_pruning_leaves_the_backups_of_other_installations(kept: Context, target: Target):
    made = create(kept, target)
    record = target.find("newest")
    others = [of_another(target, record, f"202611{day}T000000") for day in (10, 11)]
    newer = create(kept, target)
    found = prune(kept, target, Keep(1), dry_run=False)
    assert found.removed == [made.backup_id]
    assert target.ids() == [*(each.backup_id for each in others), newer.backup_id]
    found = prune(kept, target, Keep(1), dry_run=True, installation=OTHER)
    assert len(found.removed) == 1


def test_a_backup_of_the_future_does_not_drive_out_those_of_now(kept: Context, target: Target):
    first = create(kept, target)
    ahead = replace(
        target.find("newest"),
        backup_id="20400101T000000-abcdef",
        created_at="2040-01-01T00:00:00+00:00",
    )
    target.add(ahead)
    assert prune(kept, target, Keep(1), dry_run=False).removed == []
    assert target.ids() == [first.backup_id, ahead.backup_id]


def test_a_pack_whose_index_is_damaged_is_not_deleted(kept: Context, target: Target):
    create(kept, target)
    [pack] = target.packs()
    index = folder_of(target) / "indexes" / f"{pack}.index"
    whole = index.read_bytes()
    index.write_bytes(whole[:-5])
    kept.clock = lambda: LATER
    prune(kept, target, Keep(1), dry_run=False)
    assert (folder_of(target) / object_name(pack)).exists()
    index.write_bytes(whole)
    assert verify(target, [], now=NOW).clean


def test_what_another_installation_prunes_meanwhile_is_noticed_by_who_makes_a_backup(
    kept: Context, target: Target
):
    create(kept, target)
    [pack] = target.packs()
    collect(kept, 1_000, 5)

    def prune_elsewhere(_done: int, _total: int, what: str) -> None:
        if what == "copying objects":
            target.drop_indexes([pack])
            target.store.delete_many([pack])

    with pytest.raises(InfrastructureError) as interrupted:
        create(kept, target, progress=prune_elsewhere)
    assert interrupted.value.reason == "backupInterrupted"
    assert len(target.ids()) == 1
    assert create(kept, target).new_objects == 20
    assert verify(target, [], now=NOW).clean


def test_a_backup_that_comes_while_another_installation_prunes_keeps_its_packs(
    kept: Context, target: Target, monkeypatch: pytest.MonkeyPatch
):
    create(kept, target)
    first = target.find("newest")
    lose_pictures(kept, 20)
    collect(kept, 1_000, 5)
    create(kept, target)
    drop = target.drop_indexes

    def drop_late(packs: list[str]) -> None:
        of_another(target, first, "20261201T010000")
        drop(packs)

    monkeypatch.setattr(target, "drop_indexes", drop_late)
    kept.clock = lambda: LATER
    with pytest.raises(BusyError):
        prune(kept, target, Keep(1), dry_run=False)
    monkeypatch.undo()
    assert verify(target, [], now=NOW).lost_objects == 0
    prune(kept, target, Keep(1), dry_run=False)
    assert verify(target, [], now=NOW).lost_objects == 0


def test_a_pack_that_somebody_deleted_is_copied_again(kept: Context, target: Target):
    create(kept, target)
    target.store.delete_many(target.packs())
    assert create(kept, target).new_objects == 20
    assert verify(target, [], now=NOW).clean


def test_what_others_put_beside_the_records_is_passed_over(kept: Context, target: Target):
    made = create(kept, target)
    for name in ("backups/notes.json", "backups/._20261201T000000-abcdef.json", "indexes/.x"):
        target.store.put_named(name, b"anything")
    target.store.put_named(f"checked/{made.backup_id}.json", b"half a no")
    again = Target.of(target.url)
    assert [each.state for each in standing.listed(again)] == ["unchecked"]
    assert prune(kept, again, Keep(1), dry_run=False).kept == [made.backup_id]


def test_what_a_killed_run_left_in_the_home_goes_with_the_next(kept: Context, target: Target):
    home = kept.settings.home
    left, recent = home / "backup-left", home / "backup-recent"
    for folder in (left, recent):
        folder.mkdir(parents=True)
        (folder / "dump").write_bytes(b"rows")
    os.utime(left, (0, 0))
    create(kept, target)
    assert [each.name for each in home.glob("backup-*")] == [recent.name]


def test_a_restore_that_is_stopped_at_its_end_leaves_no_twin(
    kept: Context, target: Target, endpoints: Endpoints, tmp_path: Path
):
    create(kept, target)

    def stop(_done: int, _total: int, what: str) -> None:
        if what == "analysing the database":
            raise KeyboardInterrupt

    with own_database(endpoints.database_url, "restored", template=EMPTY) as url:
        copy = context_on(url, endpoints, tmp_path / "other")
        try:
            with pytest.raises(KeyboardInterrupt):
                restore(
                    target,
                    "newest",
                    owner_url=owned(url),
                    storage_url=str(copy.settings.storage_url),
                    now=NOW,
                    progress=stop,
                )
            assert [each.scope for each in pauses.listed(copy)] == [pauses.EVERYTHING]
            ownership.check_not_foreign(copy)
            with copy.transaction() as session:
                assert str(installation_id(session)) != target.find("newest").installation_id
        finally:
            copy.close()


def test_how_backups_stand_is_told_although_the_bucket_does_not_answer(
    kept: Context, monkeypatch: pytest.MonkeyPatch
):
    with socket.socket() as refusing:
        refusing.bind(("127.0.0.1", 0))
        for name, value in {
            "AWS_ENDPOINT": f"http://127.0.0.1:{refusing.getsockname()[1]}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        settings = kept.settings.model_copy(update={"backup_url": "s3://backups/here"})
        problem = str(standing.standing(settings, now=NOW).problem)
    assert "failed" in problem
    assert "\n" not in problem


def test_a_record_cannot_name_a_file_elsewhere(kept: Context, target: Target, tmp_path: Path):
    made = create(kept, target)
    outside = tmp_path / "outside"
    target.add(replace(target.find("newest"), manifest=str(outside)))
    with pytest.raises(PermanentError) as refused:
        target.find("newest")
    assert refused.value.reason == "backupDamaged"
    assert str(made.backup_id) in str(refused.value)
    assert not outside.exists()
