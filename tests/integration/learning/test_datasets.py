"""Datasets as of the moment of prediction, from databases of which the truth is known."""

import hashlib
import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from sqlalchemy import text

from db.partitions import ensure_partitions
from db.queries.catalog import channels, thumbnails, videos
from db.queries.learning import asof
from db.queries.learning import datasets as dataset_rows
from services.emulator.living import Life, living_catalog
from services.errors import PermanentError, UsageError
from services.learning.thumbnails import datasets, inspection, labels, selection
from tests.support.cli import settings_of, tubegrader

EPOCH = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
CHANNEL, OTHER = ("UC" + letter * 22 for letter in "ab")


class World:
    """A database that is told what was seen when, in days after the epoch."""

    def __init__(self, context, *, until=60.0):
        self.context = context
        context.clock = lambda: EPOCH + until * DAY
        with context.transaction() as session:
            ensure_partitions(session.connection(), start=EPOCH - 60 * DAY, end=EPOCH + 90 * DAY)
            channels.add(session, [CHANNEL, OTHER], now=EPOCH)

    def subscribers(self, day, count, channel=CHANNEL):
        at = EPOCH + day * DAY
        row = {"channel_id": channel, "slot": at, "captured_at": at, "subscriber_count": count}
        with self.context.transaction() as session:
            channels.append_snapshots(session, [row])

    def video(self, video_id, day, *, seen=0.1, channel=CHANNEL, pictured=True, **facts):
        published = EPOCH + day * DAY
        row = {"video_id": video_id, "channel_id": channel, "published_at": published}
        with self.context.transaction() as session:
            videos.add(session, [row], now=published + seen * DAY)
            named = {"video_id": video_id, "title": "a title", "format": "long"} | facts
            videos.refresh(session, [named], now=published + seen * DAY)
        if pictured:
            self.picture(video_id, day + seen, video_id)

    def picture(self, video_id, day, content, *, width=320):
        data = content.encode()
        stored = thumbnails.StoredThumbnail(
            video_id, self.context.store.put(data), "jpeg", width, 180, len(data), "mqdefault", None
        )
        with self.context.transaction() as session:
            thumbnails.record_thumbnails(session, [stored], now=EPOCH + day * DAY)
        return stored.thumbnail_sha256

    def views(self, video_id, by_day):
        rows = [
            {"video_id": video_id, "slot": at, "captured_at": at, "view_count": count}
            for day, count in by_day.items()
            for at in [EPOCH + day * DAY]
        ]
        with self.context.transaction() as session:
            videos.append_snapshots(session, rows)

    def rows(self, tmp_path, label="day7", **options):
        request = selection.Request(label=label, pictures=False, **options)
        frozen = datasets.freeze(self.context, request)
        dataset = datasets.fetch(self.context, frozen.dataset_id, tmp_path / frozen.dataset_id)
        return {row["video_id"]: row for row in dataset.table.to_pylist()}, frozen


@pytest.fixture
def world(context):
    return World(context)


def vid(n):
    return f"video{n:06d}"


def test_features_are_those_of_the_moment_of_prediction(world, tmp_path):
    world.video(vid(1), -30, seen=30)
    world.video(vid(2), -10, seen=10)
    world.views(vid(1), {0: 3_100, 4.9: 3_490, 5.2: 9_999_999})
    world.views(vid(2), {0: 1_000, 5.2: 9_999_999})
    world.subscribers(4, 1_230)
    world.subscribers(5.2, 99_900)
    world.video(vid(3), 5)
    world.views(vid(3), {11: 600, 13: 800})
    row = world.rows(tmp_path)[0][vid(3)]
    assert row["predicted_at"] == EPOCH + 5.1 * DAY
    assert (row["subscriber_count"], row["subscriber_count_high"]) == (1_230, 1_239)
    assert (row["subscribers_known_at"], row["subscribers_after"]) == (EPOCH + 4 * DAY, False)
    assert (row["n_earlier_videos"], row["days_since_last_upload"]) == (2, 15)
    # Of the earlier videos the counts of then: 3,490 views in 34.9 days, 1,000 in 10.
    assert row["earlier_log_views_per_day"] == pytest.approx(np.log10(101))
    assert row["history_known_at"] == EPOCH + 4.9 * DAY
    assert (row["age_days"], row["label_kind"]) == (7, "day7")
    assert row["views_per_day"] == pytest.approx(100, rel=1e-3)


def test_hidden_is_told_from_unknown_and_from_known_too_late(world, tmp_path):
    world.subscribers(1, None)
    world.subscribers(20, 5_000, channel=OTHER)
    for n, channel in ((1, CHANNEL), (2, OTHER)):
        world.video(vid(n), 5, channel=channel)
        world.views(vid(n), {11: 600, 13: 800})
    rows, _ = world.rows(tmp_path)
    hidden, late = rows[vid(1)], rows[vid(2)]
    assert hidden["subscriber_count"] is None
    assert hidden["subscribers_known_at"] == EPOCH + DAY
    assert (late["subscriber_count"], late["subscribers_after"]) == (5_000, True)
    assert inspection.verify(world.context, "newest")["findings"][0]["reason"] == "subscribersAfter"


def test_the_picture_is_the_one_that_earned_the_views(world, tmp_path):
    world.video(vid(1), 0, pictured=False)
    first = world.picture(vid(1), 0.1, "first")
    second = world.picture(vid(1), 10, "second")
    world.views(vid(1), {6: 600, 8: 800, 20: 2_000, 27: 2_700})
    world.video(vid(2), 0)

    def picture(label):
        kind = labels.LABELS[label]
        request = selection.Request(label=label)
        selected = selection.select_labelled(world.context, kind, request, world.context.clock())
        return selected.rows["thumbnail_sha256"].to_pylist()

    assert picture("day7") == [first]
    assert picture("lifetime") == [first]
    assert picture("week") == [second]  # in force when the week began


def test_each_video_left_out_is_counted_by_its_reason(world, tmp_path):
    for n, state in zip(range(1, 9), ["none", "none", "live", *["none"] * 4, None], strict=True):
        world.video(vid(n), 5, live_broadcast_content=state)
    for n in (1, 2, 3, 4):
        world.views(vid(n), {11: 600, 13: 800})
    world.views(vid(5), {20: 600, 25: 800})  # not around seven days
    world.views(vid(6), {11: 600})  # nothing to interpolate to
    world.views(vid(7), {11: None, 13: None})  # hidden
    with world.context.transaction() as session:
        videos.mark_gone(session, [vid(4)], now=EPOCH + 20 * DAY)
    world.video(vid(9), 5, seen=9)
    world.views(vid(9), {11: 600, 13: 800})
    rows, frozen = world.rows(tmp_path)
    assert set(rows) == {vid(1), vid(2)}
    assert frozen.excluded == {
        "liveOrUpcoming": 1,
        "liveStateUnknown": 1,
        "gone": 1,
        "noCountAtAge": 3,
        "seenTooLate": 1,
    }


def test_pictures_of_another_size_are_left_out(world):
    for n in range(1, 4):
        world.video(vid(n), 5, pictured=False)
        world.picture(vid(n), 5.1, vid(n), width=480 if n == 3 else 320)
        world.views(vid(n), {11: 600, 13: 800})
    kind = labels.LABELS["day7"]
    selected = selection.select_labelled(
        world.context, kind, selection.Request(label="day7"), world.context.clock()
    )
    assert selected.rows["video_id"].to_pylist() == [vid(1), vid(2)]
    assert selected.excluded == {"otherThumbnailSize": 1}


def test_without_videos_or_labels_it_is_said_why(world):
    with pytest.raises(PermanentError, match="none is known"):
        datasets.freeze(world.context)
    world.video(vid(1), 5)
    with pytest.raises(PermanentError, match="1 noCountAtAge") as caught:
        datasets.freeze(world.context, selection.Request(label="day7"))
    assert caught.value.reason == "noData"
    with pytest.raises(UsageError, match="day8"):
        selection.Request(label="day8")


@pytest.mark.parametrize(("label", "age"), [("day7", 7), ("day30", 30)])
def test_labels_of_a_living_world_are_its_true_views(context, tmp_path, label, age):
    """Counted about once a day, views at a fixed age are met within what rounding loses."""
    catalog = living_catalog(
        seed=3, epoch=EPOCH, days=75, channels=12, videos=12,
        life=Life(uploads=6.0, streams=0.0, premieres=0.0, swapped=0.0),
    )  # fmt: skip
    context.clock = lambda: EPOCH + 75 * DAY
    world = [v for v in catalog.videos.values() if v.published_at >= EPOCH]
    columns = ("video_id", "channel_id", "published_at")
    rng = np.random.default_rng(0)
    counts = [
        {
            "video_id": v.video_id,
            "slot": v.published_at + at * DAY,
            "captured_at": v.published_at + at * DAY,
            "view_count": int(v.views.total(at * DAY)),
        }
        for v in world
        for at in np.arange(rng.uniform(0.05, 1), 40, 1.1).tolist()
    ]
    with context.transaction() as session:
        ensure_partitions(session.connection(), start=EPOCH, end=EPOCH + 130 * DAY)
        channels.add(session, list(catalog.channels), now=EPOCH)
        for v in world:
            row = {c: getattr(v, c) for c in columns}
            videos.add(session, [row], now=v.published_at)
        videos.append_snapshots(session, counts)
    frozen = datasets.freeze(context, selection.Request(label=label, pictures=False))
    dataset = datasets.fetch(context, frozen.dataset_id, tmp_path)
    assert len(dataset) > 80
    for video_id, views_per_day in zip(
        dataset.strings("video_id"), dataset.numbers("views_per_day"), strict=True
    ):
        truth = catalog.videos[video_id].views.total(age * DAY)
        # A count is rounded down by less than one view; the curve bends a little between two.
        assert -1 - 2e-3 * truth <= views_per_day * age - truth <= 2e-3 * truth


def test_freezing_refuses_a_dataset_that_gives_its_views_away(world):
    rng = np.random.default_rng(0)
    ids = [f"UC{n:022d}" for n in range(15)]
    with world.context.transaction() as session:
        channels.add(session, ids, now=EPOCH)
    for n in range(60):
        total = int(10 ** rng.uniform(1, 6))
        world.video(vid(n), 5, channel=ids[n % 15], pictured=False, duration_s=total)
        world.views(vid(n), {11: total, 13: total + total // 4})
    with pytest.raises(PermanentError, match="duration_s holds the views") as caught:
        datasets.freeze(world.context, selection.Request(label="day7", pictures=False))
    assert caught.value.reason == "leakViewsInFeature"
    with world.context.transaction() as session:
        assert dataset_rows.newest(session) is None
    assert not world.context.store.names()


def test_the_same_videos_are_not_frozen_twice_and_other_labels_are(world, tmp_path):
    for n in range(1, 4):
        world.video(vid(n), 5)
        world.views(vid(n), {11: 600 + n, 13: 800, 18: 900 + n})
    first = world.rows(tmp_path)[1]
    assert first.is_new
    again = datasets.freeze(world.context, selection.Request(label="day7", pictures=False))
    assert (again.dataset_id, again.is_new) == (first.dataset_id, False)
    assert world.rows(tmp_path, "week")[1].dataset_id != first.dataset_id


def test_the_commands_list_show_diff_and_verify(world, tmp_path):
    world.subscribers(1, 1_000)
    for n in range(1, 6):
        world.video(vid(n), 5)
        world.views(vid(n), {11: 600 + 100 * n, 13: 800 + 100 * n})
    one = world.rows(tmp_path)[1].dataset_id
    world.video(vid(9), 20)
    world.views(vid(9), {26: 10, 28: 20})
    world.context.clock = lambda: EPOCH + 61 * DAY
    other = world.rows(tmp_path, threshold=150.0)[1].dataset_id
    env = settings_of(world.context)

    def said(*arguments):
        ran = tubegrader("datasets", *arguments, env=env)
        assert ran.code == 0, ran.err
        return ran.out

    listed = json.loads(said("list", "--json"))
    assert [row["dataset_id"] for row in listed] == [other, one]
    assert [(row["label"], row["n_videos"]) for row in listed] == [("day7", 6), ("day7", 5)]
    shown = json.loads(said("show", one[:8], "--json"))
    assert (shown["label_kinds"], shown["base_rate"]) == ({"day7": 5}, 1.0)
    assert shown["missing"]["thumbnail_sha256"] == 1.0
    assert shown["missing"]["subscriber_count"] == 0.0
    found = json.loads(said("diff", one[:8], "--json"))
    assert (found["added"], found["removed"], found["first_added"]) == (1, 0, [vid(9)])
    assert found["changed"] == {"is_over": 3}
    checked = json.loads(said("verify", "--json"))
    assert (checked["dataset_id"], checked["clean"]) == (other, True)
    for command in (["list"], ["show"], ["diff", one[:8]], ["verify"]):
        assert other[:12] in said(*command) or command[0] == "diff"
    refused = tubegrader("datasets", "show", "ffff0000", env=env)
    assert (refused.code, "datasets list" in refused.err) == (2, True)


def test_a_damaged_file_is_found_by_verify(world, tmp_path):
    world.video(vid(1), 5)
    world.views(vid(1), {11: 600, 13: 800})
    _, frozen = world.rows(tmp_path)
    world.context.store.delete_many([frozen.files["manifest.parquet"]])
    with pytest.raises(PermanentError):
        inspection.verify(world.context, "newest")


def test_a_dataset_without_its_pictures_is_verified_and_can_be_frozen_anew(world, tmp_path):
    for n in range(1, 4):
        world.video(vid(n), 5)
        world.views(vid(n), {11: 600 * n, 13: 800 * n})
    world.subscribers(4, 1_230)
    _, frozen = world.rows(tmp_path)
    context = world.context
    whole = inspection.verify(context, frozen.dataset_id)
    with context.engine.begin() as connection:
        statement = "UPDATE datasets SET pictures_purged_at = :now"
        connection.execute(text(statement), {"now": context.clock()})
    shards = [sha256 for name, sha256 in frozen.files.items() if name.endswith(".tar")]
    context.store.delete_many(shards)
    thin = inspection.verify(context, frozen.dataset_id)
    assert (thin["clean"], thin["findings"]) == (whole["clean"], whole["findings"])
    assert thin["files"] == whole["files"] - len(shards) == 2
    assert thin["pictures_purged_at"] == context.clock()
    with pytest.raises(PermanentError) as refused:
        datasets.fetch(context, frozen.dataset_id, tmp_path / "thin")
    assert refused.value.reason == "datasetPicturesPurged"
    again = datasets.freeze(context, selection.Request(label="day7", pictures=False, force=True))
    assert (again.dataset_id, again.is_new) == (frozen.dataset_id, False)
    assert inspection.verify(context, frozen.dataset_id) == whole


def test_rows_are_read_a_page_at_a_time(world, monkeypatch):
    """All at once they were held as often as three kinds of labels were tried."""
    monkeypatch.setattr(asof, "PAGE", 2)
    for n in range(1, 6):
        world.video(vid(n), 5)
    with world.context.transaction() as session:
        pages = list(asof.rows(session, as_of=EPOCH + 60 * DAY, span="lifetime", days=0.0))
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [row["video_id"] for page in pages for row in page] == [vid(n) for n in range(1, 6)]


def test_of_too_many_videos_there_is_a_sample_of_whole_channels(world, tmp_path):
    for n in range(1, 7):
        world.video(vid(n), 5, channel=CHANNEL if n < 5 else OTHER)
        world.views(vid(n), {11: 600 + n, 13: 800})
    settings = world.context.settings
    world.context.settings = settings.model_copy(update={"training_videos": 6})
    whole, frozen = world.rows(tmp_path)
    assert (len(whole), frozen.excluded) == (6, {})
    [kept, *_] = sorted((CHANNEL, OTHER), key=lambda c: hashlib.sha256(c.encode()).digest())
    world.context.settings = settings.model_copy(update={"training_videos": 2})
    rows, sampled = world.rows(tmp_path)
    assert {row["channel_id"] for row in rows.values()} == {kept}
    assert rows == {video: row for video, row in whole.items() if row["channel_id"] == kept}
    assert sampled.excluded == {"sampledOut": 6 - len(rows)}
    described = inspection.show(world.context, sampled.dataset_id)
    assert described["excluded"] == {"sampledOut": 6 - len(rows)}
    text = (tmp_path / sampled.dataset_id / "dataset.json").read_text()
    assert json.loads(text)["params"]["most_videos"] == 2


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_history_does_not_depend_on_which_video_was_read_first(world, tmp_path, order):
    """A channel's first crawl sees its videos minutes apart, in whatever order."""
    began = {1: 1.0, 2: 2.0, 3: 3.0}
    for place, n in enumerate(order):
        seen = 10 + place / 1_000
        world.video(vid(n), began[n], seen=seen - began[n], pictured=False)
        world.views(vid(n), {seen + 0.0001: 1_000 * n})
    # Of a day later: what is known then is no part of the moment.
    world.views(vid(1), {12: 9_999})
    request = selection.Request(label="lifetime", pictures=False)
    frozen = datasets.freeze(world.context, request)
    table = datasets.fetch(world.context, frozen.dataset_id, tmp_path).table
    rows = {row["video_id"]: row for row in table.to_pylist()}
    assert rows[vid(1)]["earlier_log_views_per_day"] is None
    second, third = (rows[vid(n)]["earlier_log_views_per_day"] for n in (2, 3))
    assert second == pytest.approx(np.log10(1 + 1_000 / 9), abs=1e-3)
    assert third == pytest.approx(np.log10([1 + 1_000 / 9, 1 + 2_000 / 8]).mean(), abs=1e-3)
    for row in rows.values():
        assert row["predicted_at"] <= EPOCH + 10.003 * DAY


def test_videos_followed_for_long_move_no_moment_of_prediction(world, tmp_path):
    """Only what was seen for the first time in the same round is waited for."""
    world.video(vid(1), 0, pictured=False)
    world.views(vid(1), {n + 0.5: 100 * n for n in range(1, 20)})
    world.video(vid(2), 10, seen=0.1, pictured=False)
    world.views(vid(2), {16: 600, 18: 800})
    rows, _ = world.rows(tmp_path)
    assert rows[vid(2)]["predicted_at"] == EPOCH + 10.1 * DAY
    assert rows[vid(2)]["history_known_at"] == EPOCH + 9.5 * DAY


def test_a_channel_with_several_videos_a_day_moves_no_moment_of_prediction(world, tmp_path):
    """An earlier one that was counted already is waited for no more, however new it is."""
    for n, began in ((1, 9.6), (2, 10.0)):
        world.video(vid(n), began, seen=0.02, pictured=False)
        world.views(vid(n), {began + 0.02 + 0.25 * step: 100 * step + 50 for step in range(40)})
    rows, _ = world.rows(tmp_path)
    assert rows[vid(2)]["predicted_at"] == EPOCH + 10.02 * DAY
