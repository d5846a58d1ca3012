"""Recorded videos and counts from CSV files: hostile rows are refused one by one."""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from services.cli.main import app
from services.context import Context
from services.emulator.drawing import draw_thumbnail
from services.errors import UsageError
from services.transfer.importing import import_folder
from services.transfer.recorded import NEEDED
from tests.support.cli import settings_of
from tests.support.crawl import counts, rows, value
from tests.support.csv_files import write_csv

NOW = datetime(2026, 7, 15, 12, tzinfo=UTC)
CHANNEL, VIDEO = "UC" + "c" * 22, "-v_00000000"


GOOD = {
    "video_id": VIDEO,
    "channel_id": CHANNEL,
    "channel_title": "A channel",
    "title": "A title",
    "published_at": "2011-05-10T12:00:00Z",
    "collected_at": "2012-05-09T12:00:00Z",
    "view_count": "2029849",
    "subscriber_count": "0",
    "thumbnail_file": "thumbnails/a.jpg",
}
COLUMNS = (*NEEDED["videos.csv"], "thumbnail_file")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "recorded"
    (made / "thumbnails").mkdir(parents=True)
    (made / "thumbnails" / "a.jpg").write_bytes(draw_thumbnail(1, 0.0))
    return made


def test_hostile_rows_are_refused_one_by_one(context: Context, folder: Path, tmp_path: Path):
    (folder / "thumbnails" / "broken.jpg").write_bytes(draw_thumbnail(1, 0.0)[:900])
    (folder / "thumbnails" / "page.jpg").write_text("<html>")
    (tmp_path / "secret.jpg").write_bytes(draw_thumbnail(2, 0.0))
    (folder / "thumbnails" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    wrong = [
        ({"video_id": "../../etc/p"}, "badVideoId"),
        ({"channel_id": "UC/" + "a" * 21}, "badChannelId"),
        ({"view_count": "9" * 5000}, "badCount"),
        ({"view_count": str(2**63)}, "badCount"),
        ({"view_count": "-1"}, "badCount"),
        ({"view_count": "١٢"}, "badCount"),
        ({"title": "a\0b"}, "badText"),
        ({"title": "x" * 6000}, "badText"),
        ({"published_at": "yesterday"}, "badTime"),
        ({"published_at": "2011-05-10T12:00:00"}, "badTime"),
        ({"collected_at": "9999-12-31T23:59:59Z"}, "badTime"),
        ({"collected_at": "2010-05-10T12:00:00Z"}, "badTime"),
        ({"thumbnail_file": "../secret.jpg"}, "badPath"),
        ({"thumbnail_file": "/etc/passwd"}, "badPath"),
        ({"thumbnail_file": "thumbnails/link.jpg"}, "badPath"),
        ({"thumbnail_file": "x" * 5000}, "badPath"),
        ({"thumbnail_file": "thumbnails/none.jpg"}, "pictureMissing"),
        ({"thumbnail_file": "thumbnails"}, "pictureMissing"),
        ({"thumbnail_file": "thumbnails/broken.jpg"}, "brokenImage"),
        ({"thumbnail_file": "thumbnails/page.jpg"}, "notAnImage"),
        ({}, "duplicateId"),
    ]
    lines = [GOOD] + [
        {**GOOD, "video_id": f"video_{i:05d}" if reason != "duplicateId" else VIDEO, **change}
        for i, (change, reason) in enumerate(wrong)
    ]
    write_csv(folder / "videos.csv", COLUMNS, lines)
    with (folder / "videos.csv").open("a") as file:
        file.write("too,few\n")
    done = import_folder(context, folder)
    assert [r["reason"] for r in done.refusals] == [*(reason for _, reason in wrong), "badRow"]
    assert done.rows == {"videos.csv": len(lines)}
    assert rows(context, "SELECT video_id, title FROM videos") == [(VIDEO, "A title")]
    # Long ago has its partition, zero recorded subscribers are hidden ones.
    assert value(context, "SELECT tableoid::regclass::text FROM video_snapshots") == (
        "video_snapshots_2012_05_09"
    )
    assert value(context, "SELECT subscriber_count FROM channel_snapshots") is None
    assert counts(context)["objects"] == counts(context)["video_thumbnails"] == 1
    assert counts(context)["work_items"] == 0


def test_recorded_counts_carry_what_was_a_view_when_they_were_read(context: Context, folder: Path):
    read = {
        "2025-03-30T23:59:59Z": "watched",  # by all formats alike
        "2025-04-01T00:00:00Z": None,  # a Short counted starts by then, the others did not
        "2026-08-25T00:00:00Z": None,  # while YouTube changed over
        "2026-08-28T00:00:00Z": "started",
    }
    context.clock = lambda: datetime(2026, 9, 15, tzinfo=UTC)
    lines = [{**GOOD, "collected_at": moment} for moment in read]
    write_csv(folder / "snapshots.csv", COLUMNS, lines)
    assert import_folder(context, folder).refused == {}
    assert rows(context, "SELECT view_definition FROM video_snapshots ORDER BY captured_at") == [
        (definition,) for definition in read.values()
    ]


@pytest.mark.parametrize(
    "content",
    [b"a,b\n1,2\n", b"\xff\xfe\x00", b'video_id,"x\n', b"", ("x" * 200_000 + "\n").encode()],
)
def test_a_file_that_is_wrong_as_a_whole_leaves_nothing(
    context: Context, folder: Path, content: bytes
):
    write_csv(folder / "videos.csv", COLUMNS, [GOOD])
    (folder / "snapshots.csv").write_bytes(content)
    with pytest.raises(UsageError):
        import_folder(context, folder)
    assert counts(context)["channels"] == counts(context)["videos"] == 0


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_other_delimiters_than_commas_are_read(context: Context, folder: Path, delimiter: str):
    cells = [{**GOOD, "title": "A; title, with\ttabs"}[name] for name in COLUMNS]
    with (folder / "videos.csv").open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([COLUMNS, cells])
    assert import_folder(context, folder).refused == {}
    assert rows(context, "SELECT title FROM videos") == [("A; title, with\ttabs",)]


def test_a_column_that_is_there_twice_is_an_error(context: Context, folder: Path):
    (folder / "videos.csv").write_text(",".join([*COLUMNS, "title"]) + "\n")
    with pytest.raises(UsageError, match="has the column title twice"):
        import_folder(context, folder)


def test_an_import_whose_every_row_is_refused_fails(
    context: Context, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    for name, setting in settings_of(context).items():
        monkeypatch.setenv(name, setting)

    def imported() -> tuple[int, bool]:
        done = CliRunner().invoke(app, ["import", str(folder), "--json"])
        return done.exit_code, json.loads(done.stdout)["all_refused"]

    write_csv(folder / "videos.csv", COLUMNS, [{**GOOD, "view_count": "many"}] * 2)
    assert imported() == (1, True)
    write_csv(folder / "videos.csv", COLUMNS, [GOOD, {**GOOD, "view_count": "many"}])
    assert imported() == (0, False)
    assert imported() == (0, False)  # nothing new is nothing refused
    write_csv(folder / "videos.csv", COLUMNS, [])
    assert imported() == (0, False)


def test_a_folder_without_anything_known_is_refused(context: Context, tmp_path: Path):
    with pytest.raises(UsageError, match="nothing that can be imported"):
        import_folder(context, tmp_path)


@hypothesis_settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=9))
def test_whatever_a_row_holds_the_import_ends_and_the_good_row_is_in(
    context: Context, folder: Path, cells: list[str]
):
    write_csv(folder / "videos.csv", COLUMNS, [GOOD, dict(zip(COLUMNS, cells, strict=False))])
    done = import_folder(context, folder)
    assert sum(done.refused.values()) == 1
    assert value(context, "SELECT count(*) FROM videos") == 1


@pytest.mark.shared_data
def test_the_recorded_data_comes_in_and_twice_is_once(context: Context, shared_data: Path):
    youtube = shared_data / "youtube"
    done = import_folder(context, youtube)
    assert done.refused == {}
    assert done.new["videos"] == 885
    assert done.new["video_thumbnails"] == 760
    later = import_folder(context, youtube / "snapshots")
    assert later.refused == {}
    assert later.new["videos"] == 7_089
    assert value(
        context, "SELECT count(*) FROM (SELECT FROM video_snapshots GROUP BY video_id "
        "HAVING count(*) = 2) twice",
    ) == 3_928  # fmt: skip
    before = counts(context)
    assert sum(import_folder(context, youtube / "snapshots").new.values()) == 0
    assert counts(context) == before
