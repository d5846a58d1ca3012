import base64
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select, text

from db.models import Score
from db.queries.catalog import videos
from db.queries.learning import evaluations
from services.context import Context
from services.embedded import Endpoints
from services.emulator.synthetic import synthetic_catalog
from services.errors import PermanentError, UsageError
from services.learning.promotion import facts, naming
from services.learning.report import write_report
from services.learning.report.contents import Report, gather
from services.learning.thumbnails import scored
from services.storage import object_name
from tests.support.databases import context_on, own_database
from tests.support.report import learn, store_world
from tests.support.report_contents import Page

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TITLE = "<script>alert(1)</script> & \u202eגן עדן\u202c 🍜"


@pytest.fixture(scope="module")
def judged(endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    """A small invented world, crawled, trained on, scored and compared; tests only read it."""
    folder = tmp_path_factory.mktemp("judged")
    with own_database(endpoints.database_url, "test_report") as database_url:
        context = context_on(database_url, endpoints, folder, clock=lambda: NOW)
        world = synthetic_catalog(seed=1, epoch=NOW, channels=24, videos=72, hidden_share=0.1)
        store_world(context, world, title=lambda _id, _title: TITLE)
        learn(context)
        yield context
        context.close()


@pytest.fixture
def changeable(judged: Context, endpoints: Endpoints) -> Iterator[Context]:
    """A copy of the judged world that a test may change."""
    judged.close()  # a database is copied only while nobody is connected to it
    copy = own_database(endpoints.database_url, "test_report_copy", template="test_report")
    with copy as database_url:
        settings = judged.settings.model_copy(update={"database_url": database_url})
        context = Context(settings, clock=lambda: NOW)
        yield context
        context.close()


@pytest.fixture(scope="module")
def contents(judged: Context) -> Report:
    return gather(judged)


def test_without_a_comparison_there_is_no_report_and_no_file(
    context: Context, tmp_path: Path
) -> None:
    with pytest.raises(PermanentError, match="nothing was compared yet") as caught:
        write_report(context, tmp_path / "report.html")
    assert caught.value.reason == "noComparison"
    assert caught.value.hint is not None
    assert not (tmp_path / "report.html").exists()


def test_the_page_says_what_the_newest_comparison_found(judged: Context, tmp_path: Path) -> None:
    with judged.transaction() as session:
        newest = evaluations.newest(session, task="thumbnails")
    assert newest is not None
    path = write_report(judged, tmp_path / "new folder" / "report.html")
    assert path == tmp_path / "new folder" / "report.html"
    page = Page(path.read_text(encoding="utf-8"))
    assert page.all("h1")[0].text == newest.sentence
    table = " ".join(page.all("table", "ladder")[0].text.split())
    for rung, metrics in newest.detail["rungs"].items():
        assert rung in table
        assert f"{metrics['auc']['value']:.3f}" in table
    # All was seen once: no swap, no week's growth.
    assert page.text.count("Not enough data: 0 ") == 2
    for part in newest.detail["slices"]:
        assert f"{part['name']}{part['n_videos']:,} {part['n_channels']:,}" in page.text
    assert not page.all("script")
    assert "<script>alert(1)</script>" in page.all("bdi")[0].text
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_the_same_comparison_gives_the_same_bytes_and_replaces_the_old_file(
    judged: Context, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    first = write_report(judged, path).read_bytes()
    assert first == write_report(judged, path).read_bytes()


def test_until_there_is_a_champion_the_newest_models_are_said_to_be_in_use(judged: Context) -> None:
    listed = facts.listed(judged, task="thumbnails")["models"]
    assert listed
    for model in listed:
        assert model["in_use"]
        version = naming.find(judged, model["name"])
        assert facts.facts_of(judged, version)["in_use"]


def test_the_rows_are_those_that_were_judged(judged: Context, contents: Report) -> None:
    with judged.transaction() as session:
        newest = evaluations.newest(session, task="thumbnails")
        assert newest is not None
        stored = sorted(
            session.scalars(
                select(Score.log10_views_per_day).where(
                    Score.model_version_id.in_(newest.detail["model_version_ids"].values())
                )
            )
        )
    assert len(contents.rows) == contents.n_videos == newest.n_videos == 72
    assert contents.rows.is_over.mean() == pytest.approx(newest.detail["base_rate"])
    shown = sorted(v for values in contents.rows.predicted.values() for v in values.tolist())
    assert shown == pytest.approx(stored)


def test_scores_are_the_same_in_pages_of_any_size(
    judged: Context, contents: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scored, "PAGE", 7)
    again = gather(judged).rows.predicted
    assert again.keys() == contents.rows.predicted.keys()
    for rung, values in contents.rows.predicted.items():
        assert np.array_equal(again[rung], values)


def test_r2_can_be_computed_again_from_the_rows(contents: Report) -> None:
    truth, predicted = contents.rows.log_views, contents.rows.predicted["subscribers"]
    r2 = 1 - ((truth - predicted) ** 2).sum() / ((truth - truth.mean()) ** 2).sum()
    assert contents.rung("subscribers").metrics["r2"].value == pytest.approx(r2)


def test_the_line_is_the_one_that_the_subscribers_rung_fitted(contents: Report) -> None:
    rows = contents.rows
    shown = ~np.isnan(rows.subscribers)
    x = np.log10(rows.subscribers[shown] + 1)
    on_line = contents.line.intercept + contents.line.slope * x
    # Each row was predicted by one fold's line; drawn is the folds' mean.
    assert np.abs(on_line - rows.predicted["subscribers"][shown]).max() < 0.3
    slope, _ = np.polyfit(x, rows.log_views[shown], 1)
    assert contents.line.slope == pytest.approx(slope, abs=0.05)


def test_later_snapshots_change_nothing(changeable: Context, contents: Report) -> None:
    later = NOW + timedelta(days=1)
    with changeable.transaction() as session:
        appended = videos.append_snapshots(
            session,
            [
                {"video_id": v, "slot": later, "captured_at": later, "view_count": 10**9}
                for v in (tile.video_id for tile in contents.extremes.overestimated)
            ],
        )
    assert appended > 0
    again = gather(changeable)
    assert again.extremes == contents.extremes
    assert (again.rows.views_per_day == contents.rows.views_per_day).all()


def test_the_furthest_off_come_first_on_their_own_side(contents: Report) -> None:
    over, under = contents.extremes.overestimated, contents.extremes.underestimated
    assert over
    assert under
    assert [t.log10_off for t in over] == sorted(t.log10_off for t in over)
    assert [t.log10_off for t in under] == sorted((t.log10_off for t in under), reverse=True)
    assert all(t.predicted > t.views_per_day for t in over)
    assert all(t.predicted < t.views_per_day for t in under)
    residuals = contents.rows.log_views - contents.rows.predicted[contents.headline[0]]
    assert over[0].log10_off == pytest.approx(residuals.min())
    assert under[0].log10_off == pytest.approx(residuals.max())


def test_each_channel_shows_at_most_one_video_a_side(judged: Context, contents: Report) -> None:
    with judged.engine.connect() as connection:
        channel_of = dict(connection.execute(text("SELECT video_id, channel_id FROM videos")).all())
    for side in (contents.extremes.overestimated, contents.extremes.underestimated):
        channels = [channel_of[tile.video_id] for tile in side]
        assert len(channels) == len(set(channels))


def test_pictures_are_small_jpegs(contents: Report) -> None:
    for tile in contents.extremes.overestimated:
        assert tile.picture is not None
        content = base64.b64decode(tile.picture.removeprefix("data:image/jpeg;base64,"))
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            assert image.size == (320, 180)
        assert len(content) < 40_000


def test_a_picture_that_is_lost_or_damaged_leaves_a_gap_and_not_an_error(
    judged: Context, contents: Report
) -> None:
    storage = judged.settings.storage_url
    assert storage is not None
    with judged.engine.connect() as connection:
        query = text("SELECT thumbnail_sha256 FROM video_thumbnails WHERE video_id = :v")
        lost, damaged = (
            Path(storage.removeprefix("file://"))
            / object_name(connection.execute(query, {"v": tile.video_id}).scalar_one())
            for tile in contents.extremes.overestimated[:2]
        )
    whole = {path: path.read_bytes() for path in (lost, damaged)}
    lost.unlink()
    damaged.write_bytes(whole[damaged][:100])
    try:
        tiles = gather(judged).extremes.overestimated
    finally:
        for path, content in whole.items():
            path.write_bytes(content)
    assert [tile.picture is None for tile in tiles[:3]] == [True, True, False]


def test_a_file_that_cannot_be_written_is_one_clear_error(judged: Context, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "report.html", tmp_path / "folder"):
        with pytest.raises(UsageError, match=re.escape(str(path))) as caught:
            write_report(judged, path)
        assert caught.value.reason == "cannotWrite"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file", "folder"]


def test_videos_deleted_since_are_counted_and_not_drawn(
    changeable: Context, contents: Report
) -> None:
    gone = contents.extremes.underestimated[0].video_id
    with changeable.transaction() as session:
        session.execute(text("DELETE FROM videos WHERE video_id = :v"), {"v": gone})
    after = gather(changeable)
    assert after.n_videos == contents.n_videos
    assert len(after.rows) == len(contents.rows) - 1
    assert gone not in {tile.video_id for tile in after.extremes.underestimated}


def test_a_comparison_whose_videos_are_all_gone_says_what_to_do(
    changeable: Context, tmp_path: Path
) -> None:
    with changeable.transaction() as session:
        session.execute(text("DELETE FROM videos"))
    with pytest.raises(PermanentError, match="are gone") as caught:
        write_report(changeable, tmp_path / "report.html")
    assert caught.value.reason == "comparisonGone"
    assert not (tmp_path / "report.html").exists()
