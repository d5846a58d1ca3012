"""Export and import: round trips that change nothing, and hostile folders."""

import csv
import hashlib
import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from db.partitions import ensure_partitions
from db.queries.catalog import thumbnails
from services.context import Context
from services.emulator.drawing import draw_thumbnail
from services.errors import TransientError, UsageError
from services.policy import retention
from services.settings import Settings
from services.transfer.export import export
from services.transfer.importing import import_folder
from services.transfer.recorded import NEEDED
from services.transfer.tables import BY_NAME, from_cell, to_cell
from services.youtube.perceptual import perceptual_hash
from tests.support.crawl import counts, rows, value

NOW = datetime(2026, 7, 15, 12, tzinfo=UTC)
CHANNEL, VIDEO = "UC" + "c" * 22, "-v_00000000"
ODD = '\\ “odd” 𝒯itle, \u202e\r\n"quoted" \ufeff\u0007 '


@contextmanager
def beside(context: Context, folder: Path) -> Iterator[Context]:
    """Another empty database and store."""
    url = make_url(str(context.settings.database_url))
    name = f"beside_{uuid.uuid4().hex}"
    admin = create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    own = url.set(database=name).render_as_string(hide_password=False)
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name} TEMPLATE template0"))
    from db import migrate

    migrate.upgrade(own)
    changes = {"database_url": own, "storage_url": (folder / "store").as_uri()}
    made = Context(Settings(**{**context.settings.model_dump(), **changes}), lambda: NOW)
    try:
        yield made
    finally:
        made.close()
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()


def fill(context: Context) -> None:
    context.clock = lambda: NOW
    with context.engine.begin() as connection:
        ensure_partitions(connection, start=NOW - timedelta(days=70), end=NOW)
        connection.execute(
            text(
                "INSERT INTO channels (channel_id, title, country, added_at) "
                "VALUES (:c, :title, '', :t)"
            ),
            {"c": CHANNEL, "title": ODD, "t": NOW},
        )
        connection.execute(
            text(
                "INSERT INTO videos (video_id, channel_id, title, published_at, first_seen_at) "
                "VALUES (:v, :c, NULL, :t, :t)"
            ),
            {"v": VIDEO, "c": CHANNEL, "t": NOW - timedelta(days=80, microseconds=1)},
        )
        for day in range(65):
            at = NOW - timedelta(days=day, seconds=day, microseconds=day)
            connection.execute(
                text(
                    "INSERT INTO video_snapshots (video_id, slot, captured_at, view_count, "
                    "like_count) VALUES (:v, :t, :t, :n, NULL)"
                ),
                {"v": VIDEO, "t": at, "n": 2**63 - 1 - day if day % 3 else None},
            )
            connection.execute(
                text(
                    "INSERT INTO channel_snapshots (channel_id, slot, captured_at, "
                    "subscriber_count) VALUES (:v, :t, :t, 0)"
                ),
                {"v": CHANNEL, "t": at},
            )
    for version, seed in enumerate((1, 2)):
        content = draw_thumbnail(seed, 0.0)
        sha256 = context.store.put(content)
        row = thumbnails.StoredThumbnail(
            VIDEO, sha256, "jpeg", 320, 180, len(content), "mqdefault", '"etag,"',
            perceptual_hash(content),
        )  # fmt: skip
        with context.transaction() as session:
            thumbnails.record_thumbnails(session, [row], now=NOW - timedelta(days=9 - version))


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_an_export_comes_back_identical(context: Context, tmp_path: Path, file_format: str):
    fill(context)
    done = export(context, tmp_path / "one", file_format=file_format)
    assert done.rows["snapshots"] == 65
    assert done.pictures == 2
    with beside(context, tmp_path) as other:
        imported = import_folder(other, tmp_path / "one")
        assert imported.refused == {}
        assert imported.new["video_snapshots"] == 65
        export(other, tmp_path / "two", file_format=file_format)
        assert files(tmp_path / "two") == files(tmp_path / "one")
        before = counts(other)
        assert sum(import_folder(other, tmp_path / "one").new.values()) == 0
        assert counts(other) == before
        assert before["work_items"] == 0
        assert value(other, "SELECT source FROM videos") == "import"
        # Nothing that came by itself is left beside it.
        assert {p.name for p in tmp_path.iterdir() if ".partial" in p.name} == set()
        assert import_folder(other, tmp_path / "one", watch=True).watched == 1
        assert counts(other)["work_items"] == 4


def test_an_export_brings_along_what_was_counted_as_a_view(context: Context, tmp_path: Path):
    fill(context)
    with context.engine.begin() as connection:
        for definition, parity in (("watched", 0), ("started", 1)):  # and every third unknown
            connection.execute(
                text(
                    "UPDATE video_snapshots SET view_definition = :definition "
                    "WHERE extract(day FROM slot)::int % 3 = :parity"
                ),
                {"definition": definition, "parity": parity},
            )
    read = "SELECT slot, view_definition FROM video_snapshots ORDER BY slot"
    written = rows(context, read)
    assert {definition for _, definition in written} == {"watched", "started", None}
    export(context, tmp_path / "one", what=["videos", "channels", "snapshots"])
    with beside(context, tmp_path) as other:
        assert import_folder(other, tmp_path / "one").refused == {}
        assert rows(other, read) == written


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_an_export_without_the_meaning_of_its_counts_is_refused(
    context: Context, tmp_path: Path, file_format: str
):
    fill(context)
    folder = tmp_path / "one"
    export(context, folder, what=["videos", "channels", "snapshots"], file_format=file_format)
    path = folder / f"snapshots.{file_format}"
    if file_format == "csv":
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.DictReader(file))
        write_csv(path, tuple(c for c in lines[0] if c != "view_definition"), [
            {name: cell for name, cell in line.items() if name != "view_definition"}
            for line in lines
        ])  # fmt: skip
    else:
        pq.write_table(pq.read_table(path).drop_columns(["view_definition"]), path)
    manifest = json.loads((folder / "manifest.json").read_text())
    content = path.read_bytes()
    manifest["files"][path.name] |= {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with beside(context, tmp_path) as other:
        with pytest.raises(UsageError, match="view_definition"):
            import_folder(other, folder)
        assert counts_of_tables(other) == 0


@given(
    st.one_of(
        st.none(),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    )
)
def test_any_text_survives_a_cell(title: str | None):
    column = BY_NAME["videos"].table.c.title
    assert from_cell(to_cell(title), column) == title


@given(st.datetimes(timezones=st.just(UTC)), st.integers(-(2**63), 2**63 - 1))
def test_any_time_and_number_survives_a_cell(moment: datetime, number: int):
    table = BY_NAME["snapshots"].table
    assert from_cell(to_cell(moment), table.c.slot) == moment
    assert from_cell(to_cell(number), table.c.view_count) == number


def test_what_and_since_choose(context: Context, tmp_path: Path):
    fill(context)
    done = export(
        context,
        tmp_path / "some",
        what=["snapshots", "videos"],
        since=NOW - timedelta(days=10),
    )
    assert done.rows == {"videos": 1, "snapshots": 10}
    for wrong in ({"what": ["secrets"]}, {"file_format": "xlsx"}):
        with pytest.raises(UsageError):
            export(context, tmp_path / "wrong", **wrong)
    assert not (tmp_path / "wrong").exists()
    with pytest.raises(UsageError, match="not empty"):
        export(context, tmp_path / "some")


def test_a_store_that_fails_leaves_no_folder_and_no_rows(context: Context, tmp_path: Path):
    fill(context)
    done = export(context, tmp_path / "one")
    assert done.missing_pictures == 0
    with beside(context, tmp_path) as other:
        store = tmp_path / "store"
        other.store.put(b"opened")
        for entry in store.rglob("*"):
            if entry.is_file():
                entry.unlink()
        for picture in (tmp_path / "one" / "pictures").rglob("*.jpeg"):
            # A file where the store needs a folder.
            (store / picture.stem[:2]).write_text("in the way")
        with pytest.raises(TransientError):
            import_folder(other, tmp_path / "one")
        assert counts_of_tables(other) == 0
    for name in context.store.names():
        [lying] = (tmp_path / "objects").rglob(name)
        lying.write_bytes(b"damaged")
    assert export(context, tmp_path / "two").missing_pictures == 2


def counts_of_tables(context: Context) -> int:
    with_rows = ("channels", "videos", "video_snapshots", "thumbnails", "video_thumbnails")
    return sum(value(context, f"SELECT count(*) FROM {table}") for table in with_rows)


def test_snapshots_without_their_videos_are_refused_by_line(context: Context, tmp_path: Path):
    fill(context)
    export(context, tmp_path / "some", what=["snapshots"], file_format="csv")
    with beside(context, tmp_path) as other:
        done = import_folder(other, tmp_path / "some")
        assert done.refused == {"unknownReference": 65}
        assert done.refusals[0]["line"] == 2
        assert counts(other)["video_snapshots"] == 0


@pytest.mark.parametrize("damage", ["bytes", "path", "format", "json", "missing"])
def test_an_altered_export_is_refused_as_a_whole(context: Context, tmp_path: Path, damage: str):
    fill(context)
    folder = tmp_path / "one"
    export(context, folder, file_format="csv")
    manifest = json.loads((folder / "manifest.json").read_text())
    if damage == "bytes":
        with (folder / "snapshots.csv").open("a") as file:
            file.write("\n")
    elif damage == "path":
        manifest["files"]["../outside.csv"] = manifest["files"]["videos.csv"]
    elif damage == "format":
        manifest["version"] = 99
    elif damage == "missing":
        (folder / "videos.csv").unlink()
    text_ = "[]" if damage == "json" else json.dumps(manifest)
    (folder / "manifest.json").write_text(text_)
    before = counts(context)
    with pytest.raises(UsageError):
        import_folder(context, folder)
    assert counts(context) == before


def test_a_purge_removes_an_export_and_nothing_else(context: Context, tmp_path: Path):
    fill(context)
    folder = tmp_path / "one"
    export(context, folder)
    export(context, tmp_path / "new", since=NOW - timedelta(days=5))
    export(context, tmp_path / "facts", what=["videos"])  # holds no statistics
    (folder / "mine.txt").write_text("keep")
    altered = tmp_path / "altered"
    export(context, altered)
    (altered / "manifest.json").write_text("{}")
    said = retention.purge(context, dry_run=True, kinds=["exports"]).kinds[0]
    assert (said.rows, said.held) == (1, {"no longer that export": 1})
    done = retention.purge(context, dry_run=False, kinds=["exports"]).kinds[0]
    assert done.rows == 1
    assert set(files(folder)) == {"mine.txt"}
    assert (tmp_path / "new" / "manifest.json").exists()


def write_csv(path: Path, columns: tuple[str, ...], lines: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(lines)


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
        "video_snapshots_2012_05"
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
