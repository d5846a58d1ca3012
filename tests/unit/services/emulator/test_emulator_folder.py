import csv
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from services.emulator.folder import COLUMNS, folder_catalog
from services.errors import UsageError

EPOCH = datetime(2026, 11, 1, 12, 30, 15, tzinfo=UTC)
DAY = timedelta(days=1)
SHARED = Path(__file__).resolve().parents[4].parent / "shared" / "data" / "youtube"

ROW = {
    "video_id": "aaaaaaaaaaa",
    "channel_id": "UC" + "c" * 22,
    "channel_title": "A channel",
    "title": "A title, with a comma",
    "published_at": "2023-05-01T10:00:00Z",
    "collected_at": "2023-05-09T12:00:00Z",
    "view_count": "2029849",
    "subscriber_count": "4890000",
    "thumbnail_file": "thumbnails/aaaaaaaaaaa.jpg",
}


def jpeg() -> bytes:
    encoded = BytesIO()
    Image.linear_gradient("L").resize((320, 180)).convert("RGB").save(encoded, "JPEG")
    return encoded.getvalue()


def write(folder: Path, *rows: dict[str, str]) -> Path:
    (folder / "thumbnails").mkdir(exist_ok=True)
    (folder / "thumbnails" / "aaaaaaaaaaa.jpg").write_bytes(jpeg())
    with (folder / "videos.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return folder


def test_age_views_and_subscribers_at_the_epoch_are_the_recorded_ones(tmp_path):
    world = folder_catalog(write(tmp_path, ROW), epoch=EPOCH.replace(microsecond=987))
    video = world.videos["aaaaaaaaaaa"]
    channel = world.channels[video.channel_id]
    assert world.epoch - video.published_at == timedelta(days=8, hours=2)
    assert world.epoch == EPOCH
    assert world.views(video, EPOCH) == 2029849
    assert world.subscribers(channel, EPOCH) == 4890000
    assert channel.published_at < video.published_at
    assert world.picture(video.thumbnails[0].key) == jpeg()


def test_views_grow_at_the_lifetime_rate(tmp_path):
    world = folder_catalog(write(tmp_path, ROW), epoch=EPOCH)
    video = world.videos["aaaaaaaaaaa"]
    age = EPOCH - video.published_at
    assert world.views(video, EPOCH + age) == 2 * 2029849
    assert world.views(video, EPOCH - age / 2) == 2029849 // 2


def test_a_video_collected_on_its_first_day_does_not_explode(tmp_path):
    row = ROW | {"collected_at": ROW["published_at"], "view_count": "100"}
    world = folder_catalog(write(tmp_path, row), epoch=EPOCH)
    video = world.videos["aaaaaaaaaaa"]
    assert world.views(video, EPOCH) == 100
    assert world.views(video, EPOCH + DAY) == 200


def test_no_subscribers_means_hidden(tmp_path):
    world = folder_catalog(write(tmp_path, ROW | {"subscriber_count": "0"}), epoch=EPOCH)
    assert world.channels[ROW["channel_id"]].hidden_subscribers


def test_the_count_collected_last_holds_for_the_channel(tmp_path):
    later = ROW | {
        "video_id": "bbbbbbbbbbb",
        "collected_at": "2023-05-10T12:00:00Z",
        "subscriber_count": "4900000",
    }
    world = folder_catalog(write(tmp_path, later, ROW), epoch=EPOCH)
    assert world.channels[ROW["channel_id"]].subscribers == 4900000


def test_a_row_without_an_image_is_a_video_without_a_picture(tmp_path):
    world = folder_catalog(write(tmp_path, ROW | {"thumbnail_file": ""}), epoch=EPOCH)
    assert world.videos["aaaaaaaaaaa"].thumbnails == ()


def test_the_same_folder_and_epoch_give_the_same_world(tmp_path):
    write(tmp_path, ROW)
    one, other = (folder_catalog(tmp_path, epoch=EPOCH) for _ in range(2))
    assert (one.channels, one.videos) == (other.channels, other.videos)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"video_id": "short"}, "video_id 'short' is no id"),
        ({"video_id": "../../passwd"}, "is no id"),
        ({"video_id": "a/aaaaaaaaa"}, "is no id"),
        ({"channel_id": "UCx"}, "channel_id 'UCx' is no id"),
        ({"view_count": "many"}, "view_count 'many' is no count"),
        ({"view_count": "-1"}, "is no count"),
        ({"view_count": ""}, "is no count"),
        ({"view_count": "1.5"}, "is no count"),
        ({"view_count": "²"}, "is no count"),
        ({"view_count": "9" * 5000}, "is no count"),
        ({"view_count": str(2**64)}, "is no count"),
        ({"subscriber_count": "1e6"}, "subscriber_count '1e6' is no count"),
        ({"published_at": "yesterday"}, "published_at 'yesterday' is no UTC time"),
        ({"published_at": "2023-05-01T10:00:00"}, "is no UTC time"),
        ({"collected_at": "2023-04-01T10:00:00Z"}, "collected_at is before published_at"),
        ({"thumbnail_file": "../secret.jpg"}, "leaves the folder"),
        ({"thumbnail_file": "/etc/passwd"}, "leaves the folder"),
        ({"thumbnail_file": "thumbnails\\x.jpg"}, "leaves the folder"),
        ({"thumbnail_file": "thumbnails/link.jpg"}, "leaves the folder"),
        ({"thumbnail_file": "thumbnails/missing.jpg"}, "does not exist"),
        ({"thumbnail_file": "thumbnails/text.jpg"}, "is no readable JPEG"),
        ({"thumbnail_file": "thumbnails/cut.jpg"}, "is no readable JPEG"),
        ({"thumbnail_file": "thumbnails/picture.png"}, "is no readable JPEG"),
        ({"thumbnail_file": "thumbnails"}, "is no readable JPEG"),
    ],
)
def test_a_bad_row_is_named_with_file_line_and_remedy(tmp_path, change, says):
    folder = tmp_path / "catalogue"
    folder.mkdir()
    write(folder, ROW | {"video_id": "zzzzzzzzzzz"}, ROW | change)
    (tmp_path / "secret.jpg").write_bytes(jpeg())
    pictures = folder / "thumbnails"
    (pictures / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (pictures / "text.jpg").write_text("no picture")
    (pictures / "cut.jpg").write_bytes(jpeg()[:800])
    Image.new("RGB", (320, 180)).save(pictures / "picture.png")
    with pytest.raises(UsageError) as refusal:
        folder_catalog(folder, epoch=EPOCH)
    message = str(refusal.value)
    assert says in message
    assert message.startswith(f"{folder / 'videos.csv'}, line 3: ")
    assert "\n" not in message


def test_a_video_listed_twice_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"line 3: the video aaaaaaaaaaa is already in line 2"):
        folder_catalog(write(tmp_path, ROW, ROW), epoch=EPOCH)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is no folder"):
        folder_catalog(tmp_path / "nowhere", epoch=EPOCH)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "does not exist"),
        (b"", "lacks the column video_id"),
        (b"video_id,title\n", "lacks the column channel_id"),
        (",".join(COLUMNS).encode() + b"\n", "lists no videos"),
        (",".join(COLUMNS).encode() + b"\na,b\n", "line 2: the number of cells"),
        (",".join(COLUMNS).encode() + b"\n" + b"x," * 9 + b"x\n", "line 2: the number of cells"),
        (",".join(COLUMNS).encode() + b'\n"open', "is not CSV"),
        (",".join(COLUMNS).encode() + b"\n\xff\xfe\n", "is not UTF-8"),
    ],
)
def test_a_bad_file_is_refused(tmp_path, content, says):
    if content is not None:
        (tmp_path / "videos.csv").write_bytes(content)
    with pytest.raises(UsageError, match=says) as refusal:
        folder_catalog(tmp_path, epoch=EPOCH)
    assert str(tmp_path / "videos.csv") in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.shared_data
def test_the_recorded_folder_is_served_whole():
    if not SHARED.exists():
        pytest.skip(f"no recorded data: {SHARED}")
    world = folder_catalog(SHARED, epoch=EPOCH)
    with (SHARED / "videos.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert (len(world.videos), len(world.channels)) == (885, 521)
    for row in rows:
        video = world.videos[row["video_id"]]
        age = datetime.fromisoformat(row["collected_at"]) - datetime.fromisoformat(
            row["published_at"]
        )
        assert EPOCH - video.published_at == age
        assert world.views(video, EPOCH) == int(row["view_count"])
        assert bool(video.thumbnails) is bool(row["thumbnail_file"])
        for version in video.thumbnails:
            assert world.picture(version.key) == (SHARED / row["thumbnail_file"]).read_bytes()
