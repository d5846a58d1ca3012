"""The thumbnail host and the feed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO

import pytest
from defusedxml import ElementTree
from PIL import Image

from services.emulator.catalog import Catalog
from services.emulator.synthetic import synthetic_catalog
from services.emulator.videos import ThumbnailVersion
from tests.support.emulator import fetch, running_emulator

EPOCH = datetime(2026, 11, 1, tzinfo=UTC)
NAMES = {
    "atom": "http://www.w3.org/2005/Atom",
    "yt": "http://www.youtube.com/xml/schemas/2015",
    "media": "http://search.yahoo.com/mrss/",
}


@pytest.fixture(scope="module")
def world() -> Catalog:
    made = synthetic_catalog(seed=8, epoch=EPOCH, channels=2, videos=40)
    videos = list(made.videos.values())
    both = frozenset({"sddefault", "maxresdefault"})
    videos[0] = replace(videos[0], sizes=both, title="<b> & \x00 'so'")
    videos[1] = replace(videos[1], sizes=frozenset())
    videos[2] = replace(videos[2], thumbnails=())
    return Catalog.of(made.channels.values(), videos, epoch=EPOCH, picture=made.picture)


@pytest.fixture(scope="module")
def url(world):
    with running_emulator(world, clock=lambda: EPOCH) as emulator:
        yield emulator.url


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("default", (120, 90)),
        ("mqdefault", (320, 180)),
        ("hqdefault", (480, 360)),
        ("sddefault", (640, 480)),
        ("maxresdefault", (1280, 720)),
    ],
)
def test_each_size_is_a_jpeg_of_that_size(url, world, name, size):
    video_id = next(iter(world.videos))
    answer = fetch(f"{url}/vi/{video_id}/{name}.jpg")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/jpeg")
    with Image.open(BytesIO(answer.body)) as image:
        assert (image.format, image.size) == ("JPEG", size)


def test_the_original_is_served_byte_for_byte(url, world):
    for video_id in list(world.videos)[3:8]:
        assert fetch(f"{url}/vi/{video_id}/mqdefault.jpg").body == world.picture(video_id)


def test_a_four_to_three_size_has_black_bars(url, world):
    body = fetch(f"{url}/vi/{next(iter(world.videos))}/hqdefault.jpg").body
    with Image.open(BytesIO(body)) as image:
        grey = image.convert("L")
        assert grey.crop((0, 0, 480, 40)).getextrema()[1] < 20
        assert grey.crop((0, 320, 480, 360)).getextrema()[1] < 20
        assert grey.crop((0, 50, 480, 310)).getextrema()[1] > 60


@pytest.mark.parametrize(
    ("which", "file"),
    [
        (1, "maxresdefault.jpg"),
        (1, "sddefault.jpg"),
        (2, "mqdefault.jpg"),
        (0, "mqdefault.png"),
        (0, "mqdefault"),
        (0, "enormous.jpg"),
        (None, "mqdefault.jpg"),
    ],
)
def test_a_missing_picture_is_404_with_the_grey_placeholder(url, world, which, file):
    video_id = "x" * 11 if which is None else list(world.videos)[which]
    answer = fetch(f"{url}/vi/{video_id}/{file}")
    assert (answer.status, answer.headers["Content-Type"]) == (404, "image/jpeg")
    with Image.open(BytesIO(answer.body)) as image:
        assert (image.format, image.size) == ("JPEG", (120, 90))
        red, green, blue = image.convert("RGB").getpixel((5, 5))
        assert red == green == blue


def test_a_reader_who_has_the_picture_gets_304(url, world):
    address = f"{url}/vi/{next(iter(world.videos))}/mqdefault.jpg"
    first = fetch(address)
    for headers in (
        {"If-None-Match": first.headers["ETag"]},
        {"If-None-Match": f'"other", {first.headers["ETag"]}'},
        {"If-Modified-Since": first.headers["Last-Modified"]},
    ):
        again = fetch(address, headers)
        assert (again.status, again.body) == (304, b"")
        assert again.headers["ETag"] == first.headers["ETag"]
    for headers in (
        {"If-None-Match": '"other"'},
        {"If-None-Match": '"other"', "If-Modified-Since": first.headers["Last-Modified"]},
        {"If-Modified-Since": "Sun, 01 Jan 2006 00:00:00 GMT"},
        {"If-Modified-Since": "nonsense"},
    ):
        assert fetch(address, headers).body == first.body


def test_a_swapped_thumbnail_changes_bytes_and_tag(world):
    old, new, *_ = list(world.videos)[5:]
    video = world.videos[old]
    versions = (*video.thumbnails, ThumbnailVersion(EPOCH + timedelta(days=1), new))
    videos = {**world.videos, old: replace(video, thumbnails=versions)}
    swapped = Catalog.of(
        world.channels.values(), videos.values(), epoch=EPOCH, picture=world.picture
    )
    now = [EPOCH]
    with running_emulator(swapped, clock=lambda: now[0]) as emulator:
        address = f"{emulator.url}/vi/{old}/mqdefault.jpg"
        before = fetch(address)
        now[0] += timedelta(days=2)
        after = fetch(address, {"If-None-Match": before.headers["ETag"]})
    assert before.body == world.picture(old)
    assert (after.status, after.body) == (200, world.picture(new))


def test_a_feed_lists_the_fifteen_newest_uploads(url, world):
    channel = max(world.channels, key=lambda name: len(world.uploads(name, EPOCH)))
    answer = fetch(f"{url}/feeds/videos.xml?channel_id={channel}")
    feed = ElementTree.fromstring(answer.body)
    entries = feed.findall("atom:entry", NAMES)
    newest = world.uploads(channel, EPOCH)[:15]
    assert [entry.findtext("yt:videoId", None, NAMES) for entry in entries] == [
        video.video_id for video in newest
    ]
    assert feed.findtext("yt:channelId", None, NAMES) == channel.removeprefix("UC")
    assert {entry.findtext("yt:channelId", None, NAMES) for entry in entries} == {channel}
    views = [s.get("views") for s in feed.iterfind(".//media:statistics", NAMES)]
    assert views == [str(world.views(video, EPOCH)) for video in newest]


def test_titles_survive_the_feed_as_far_as_xml_can_write_them(world):
    odd = next(iter(world.videos.values()))
    only = Catalog.of([world.channels[odd.channel_id]], [odd], epoch=EPOCH, picture=world.picture)
    with running_emulator(only, clock=lambda: EPOCH) as emulator:
        answer = fetch(f"{emulator.url}/feeds/videos.xml?channel_id={odd.channel_id}")
    title = ElementTree.fromstring(answer.body).findtext("atom:entry/atom:title", None, NAMES)
    assert title == "<b> &  'so'"


@pytest.mark.parametrize("query", ["", "?channel_id=", "?channel_id=UC" + "x" * 22])
def test_the_feed_of_an_unknown_channel_is_404(url, query):
    assert fetch(f"{url}/feeds/videos.xml{query}").status == 404
