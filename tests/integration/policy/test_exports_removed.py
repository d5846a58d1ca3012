"""Exports past their limit go as a whole, wherever a purge of them was broken off."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from db.partitions import ensure_partitions
from db.queries.catalog import channels
from services.context import Context
from services.emulator.drawing import draw_thumbnail
from services.policy import folders, retention
from services.policy.purged import KindReport
from services.transfer.export import export
from services.transfer.tables import MANIFEST
from tests.support.crawl import TurnableClock, value
from tests.support.stored import store_videos

CHANNEL = "UC" + "c" * 22


@pytest.fixture(autouse=True)
def _of_forty_days_ago(context: Context) -> None:
    clock = context.clock = TurnableClock()
    now = clock()
    clock.advance(timedelta(days=40))
    with context.transaction() as session:
        ensure_partitions(session.connection(), start=now)
        channels.add(session, [CHANNEL], now=now)
        drawn = {
            "video_id": "v0000000000",
            "channel_id": CHANNEL,
            "published_at": now - timedelta(days=9),
            "views": 7,
            "picture": draw_thumbnail(1, 0.0),
        }
        store_videos(context, session, [drawn], now=now)


def purge(context: Context) -> KindReport:
    return retention.purge(context, dry_run=False, kinds=["exports"]).kinds[0]


def noted(context: Context) -> int:
    return int(value(context, "SELECT count(*) FROM exports WHERE purged_at IS NULL"))


@pytest.mark.parametrize("others", [False, True], ids=["alone", "beside others"])
def test_a_removal_that_is_killed_anywhere_is_finished_by_the_next(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, others: bool
):
    real = {name: getattr(Path, name) for name in ("unlink", "rmdir")}
    left = 0

    def until_killed(name: str) -> Callable[..., None]:
        def do(path: Path, **options: bool) -> None:
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            real[name](path, **options)

        return do

    for steps in range(100):
        folder, left = tmp_path / f"out{steps}", steps
        export(context, folder)
        if others:
            (folder / "pictures" / "mine.txt").write_text("mine")
        with monkeypatch.context() as patched:
            for name in real:
                patched.setattr(Path, name, until_killed(name))
            try:
                purge(context)
            except KeyboardInterrupt:
                was_killed = True
            else:
                was_killed = False
        assert purge(context).held == {}
        assert noted(context) == 0
        kept = {path.name for path in folder.rglob("*") if path.is_file()}
        # Where the folder stays, nobody comes for the list of what was in it.
        assert kept - {MANIFEST} == ({"mine.txt"} if others else set())
        assert folder.exists() == others
        if not was_killed:
            assert MANIFEST not in kept
            break
    assert steps >= 8


def test_a_folder_that_cannot_be_removed_holds_up_no_other(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("one", "two"):
        export(context, tmp_path / name)
    remove = folders.remove

    def refused(folder: Path) -> None:
        if folder.name == "one":
            raise PermissionError(13, "Permission denied", str(folder))
        remove(folder)

    monkeypatch.setattr(folders, "remove", refused)
    done = purge(context)
    assert (done.rows, done.held) == (1, {"cannot be removed": 1})
    assert noted(context) == 1


def test_a_folder_that_somebody_emptied_of_its_list_alone_is_left(context: Context, tmp_path: Path):
    export(context, tmp_path / "out")
    (tmp_path / "out" / MANIFEST).unlink()
    assert purge(context).held == {"no longer that export": 1}
    assert noted(context) == 1
