"""Export and import: round trips that change nothing, and hostile folders."""

import csv
import hashlib
import io
import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from db import migrate
from db.partitions import ensure_partitions
from db.queries.catalog import thumbnails
from services.context import Context
from services.emulator.drawing import draw_thumbnail
from services.errors import TransientError, UsageError
from services.policy import folders, retention
from services.settings import Settings
from services.transfer.export import export
from services.transfer.importing import import_folder
from services.transfer.tables import BY_NAME, from_cell, to_cell
from services.youtube.perceptual import perceptual_hash
from tests.support.crawl import counts, rows, value
from tests.support.csv_files import write_csv
from tests.support.databases import EMPTY, own_database, owned

NOW = datetime(2026, 7, 15, 12, tzinfo=UTC)
CHANNEL, VIDEO = "UC" + "c" * 22, "-v_00000000"
ODD = '\\ “odd” 𝒯itle, \u202e\r\n"quoted" \ufeff\u0007 '


@contextmanager
def beside(context: Context, folder: Path) -> Iterator[Context]:
    """Another empty database and store."""
    name = f"beside_{uuid.uuid4().hex}"
    with own_database(str(context.settings.database_url), name, template=EMPTY) as url:
        migrate.upgrade(owned(url))
        changes = {"database_url": url, "storage_url": (folder / "store").as_uri()}
        settings = Settings(**{**context.settings.model_dump(), **changes})
        with closing(Context(settings, lambda: NOW)) as made:
            yield made


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
    for written in (title, f"={title}", f"'={title}", f"'{title}"):
        cell = to_cell(written, neutral=True)
        assert not cell.startswith(FORMULAS)
        assert from_cell(cell, column, neutral=True) == written


HOSTILE = (
    "=HYPERLINK(1)",
    "+1",
    "-1",
    "@x",
    "\tx",
    "\rx",
    "'=x",
    "''@",
    "'x",
    "\\=x",
    "\uff1dx",
    "\uff20x",
    "plain",
)
FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


@pytest.mark.parametrize("raw", [False, True])
def test_no_spreadsheet_runs_a_cell_and_texts_come_back_as_they_were(
    context: Context, tmp_path: Path, raw: bool
):
    ids = ["-dashed_id1", *(f"video_{n:05}" for n in range(1, len(HOSTILE)))]
    with context.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO channels (channel_id, handle, title, added_at)"
                " VALUES (:c, '@handle', '=1+1', now())"
            ),
            {"c": "UC" + "c" * 22},
        )
        for video_id, title in zip(ids, HOSTILE, strict=True):
            connection.execute(
                text(
                    "INSERT INTO videos (video_id, channel_id, title, published_at, first_seen_at)"
                    " VALUES (:v, :c, :t, now(), now())"
                ),
                {"v": video_id, "c": "UC" + "c" * 22, "t": title},
            )
    export(context, tmp_path / "one", file_format="csv", raw=raw)
    cells = [
        cell
        for name in ("videos", "channels")
        for row in csv.reader(
            io.StringIO((tmp_path / "one" / f"{name}.csv").read_bytes().decode(), newline="")
        )
        for cell in row
    ]
    assert any(cell.startswith(FORMULAS) for cell in cells) is raw
    assert ("-dashed_id1" in cells) is raw
    with beside(context, tmp_path) as other:
        assert import_folder(other, tmp_path / "one").refused == {}
        query = "SELECT video_id, title FROM videos ORDER BY video_id"
        assert rows(other, query) == rows(context, query)
        assert rows(other, "SELECT handle, title FROM channels") == [("@handle", "=1+1")]
        export(other, tmp_path / "two", file_format="csv", raw=raw)
        once, again = (files(tmp_path / name) for name in ("one", "two"))
        assert {**again, "manifest.json": b""} == {**once, "manifest.json": b""}


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
        assert done.all_refused
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


def test_an_export_of_a_container_is_purged_by_another_one(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    fill(context)
    monkeypatch.setattr("socket.gethostname", lambda: "3f9d2c51a0b7")
    export(context, tmp_path / "shared" / "one")
    export(context, tmp_path / "shared" / "two")
    shutil.rmtree(tmp_path / "shared" / "two")  # by hand
    monkeypatch.setattr("socket.gethostname", lambda: "77e0c1d2f3aa")
    done = retention.purge(context, dry_run=False, kinds=["exports"]).kinds[0]
    assert (done.rows, done.held) == (2, {})
    assert not (tmp_path / "shared" / "one").exists()
    assert value(context, "SELECT count(*) FROM exports WHERE purged_at IS NULL") == 0


def test_an_export_out_of_reach_is_left_and_purged_where_it_is(context: Context, tmp_path: Path):
    fill(context)
    export(context, tmp_path / "disk" / "one")
    (tmp_path / "disk").rename(tmp_path / "elsewhere")  # unmounted
    for mounted in (False, True):
        if mounted:  # another disk, with exports of its own
            export(context, tmp_path / "disk" / "new", since=NOW - timedelta(days=5))
        left = retention.purge(context, dry_run=False, kinds=["exports"]).kinds[0]
        assert (left.rows, left.held) == (0, {folders.OUT_OF_REACH: 1})
    shutil.rmtree(tmp_path / "disk")
    (tmp_path / "elsewhere").rename(tmp_path / "disk")
    assert retention.purge(context, dry_run=False, kinds=["exports"]).kinds[0].rows == 1
    assert not (tmp_path / "disk" / "one").exists()


def test_exports_of_an_earlier_release_are_known_by_their_manifest(
    context: Context, tmp_path: Path
):
    fill(context)
    export(context, tmp_path / "one")
    export(context, tmp_path / "two")
    shutil.rmtree(tmp_path / "two")
    with context.engine.begin() as connection:
        connection.execute(text("UPDATE exports SET place_id = NULL, host = 'another'"))
    done = retention.purge(context, dry_run=False, kinds=["exports"]).kinds[0]
    assert (done.rows, done.held) == (1, {folders.OUT_OF_REACH: 1})
