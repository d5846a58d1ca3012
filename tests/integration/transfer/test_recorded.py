"""Recorded videos and counts from CSV files: hostile rows are refused one by one."""

import csv
import io
import json
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from PIL import Image
from sqlalchemy import text
from typer.testing import CliRunner

from services.cli.main import app
from services.context import Context
from services.emulator.drawing import draw_thumbnail
from services.errors import UsageError
from services.transfer.export import export
from services.transfer.importing import import_folder
from services.transfer.recorded import NEEDED
from tests.support.cli import settings_of
from tests.support.crawl import counts, rows, value
from tests.support.csv_files import write_csv
from tests.support.databases import owner_engine

NOW = datetime(2026, 7, 15, 12, tzinfo=UTC)
CHANNEL, OTHER, VIDEO = "UC" + "c" * 22, "UC" + "d" * 22, "-v_00000000"


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


def test_a_jpeg_of_two_pictures_is_taken_as_its_first(context: Context, folder: Path):
    one = Image.open(io.BytesIO(draw_thumbnail(1, 0.0)))
    two = io.BytesIO()
    one.save(two, "MPO", save_all=True, append_images=[one])
    (folder / "thumbnails" / "a.jpg").write_bytes(two.getvalue())
    write_csv(folder / "videos.csv", COLUMNS, [GOOD])
    assert import_folder(context, folder).refused == {}
    [(sha256, form)] = rows(context, "SELECT thumbnail_sha256, format FROM thumbnails")
    assert (form, context.store.get(sha256)) == ("jpeg", two.getvalue())


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


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_what_a_spreadsheet_saves_as_unicode_text_is_read(
    context: Context, folder: Path, encoding: str
):
    cells = [{**GOOD, "title": "Über 日本語"}[name] for name in COLUMNS]
    with (folder / "videos.csv").open("w", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter="\t").writerows([COLUMNS, cells])
    assert import_folder(context, folder).refused == {}
    assert rows(context, "SELECT title FROM videos") == [("Über 日本語",)]


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


def test_a_row_that_the_database_refuses_is_a_refused_row(context: Context, folder: Path):
    """Whatever the checks let through: of each table, its line alone."""
    rules = {
        "channels": f"channel_id <> '{OTHER}'",
        "videos": "title <> 'video'",
        "video_snapshots": "view_count <> 13",
        "thumbnails": f"thumbnail_sha256 <> '{sha256(draw_thumbnail(9, 0.0)).hexdigest()}'",
    }
    with owner_engine(context) as engine, engine.begin() as connection:
        for table, rule in rules.items():
            connection.execute(text(f"ALTER TABLE {table} ADD CHECK ({rule}) NOT VALID"))
    (folder / "thumbnails" / "b.jpg").write_bytes(draw_thumbnail(9, 0.0))
    changes = [
        {},
        {"title": "video"},
        {"view_count": "13"},
        {"thumbnail_file": "thumbnails/b.jpg"},
        {"channel_id": OTHER},
    ]
    lines = [
        GOOD | {"video_id": f"{i:011d}", "thumbnail_file": ""} | changes[i % 5] for i in range(10)
    ]
    write_csv(folder / "videos.csv", COLUMNS, lines)
    done = import_folder(context, folder, watch=True)
    # What refers to a row that was refused is refused, too.
    assert done.refused == {"refusedByDatabase": 7, "unknownReference": 10}
    by_database = [r for r in done.refusals if r["reason"] == "refusedByDatabase"]
    assert {r["line"] for r in by_database} == {3, 4, 5, 6, 8, 9, 10}
    assert value(context, "SELECT count(*) FROM videos") == 6
    assert value(context, "SELECT count(*) FROM video_snapshots") == 4
    assert value(context, "SELECT count(*) FROM video_thumbnails") == 0
    # Nor is there work on what was refused.
    assert done.watched == 1
    assert value(context, "SELECT count(DISTINCT entity_id) FROM work_items") == 1 + 6
    again = import_folder(context, folder)
    assert set(again.new.values()) == {0}


def test_a_row_of_an_altered_export_is_refused_alone(context: Context, folder: Path):
    write_csv(folder / "videos.csv", COLUMNS, [GOOD])
    import_folder(context, folder)
    export(context, folder.parent / "export", file_format="csv")
    manifest = folder.parent / "export" / "manifest.json"
    table = folder.parent / "export" / "pictures.csv"
    table.write_text(table.read_text().replace(",320,", ",0,"))
    described = json.loads(manifest.read_text())
    described["files"]["pictures.csv"] |= {
        "bytes": table.stat().st_size,
        "sha256": sha256(table.read_bytes()).hexdigest(),
    }
    manifest.write_text(json.dumps(described))
    with owner_engine(context) as engine, engine.begin() as connection:
        connection.execute(text("DELETE FROM video_thumbnails"))
        connection.execute(text("DELETE FROM thumbnails"))
    done = import_folder(context, folder.parent / "export")
    assert done.refused == {"refusedByDatabase": 1, "unknownReference": 1}
