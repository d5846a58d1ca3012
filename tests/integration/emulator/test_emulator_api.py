"""The Data API as Google's own client and a plain reader meet it."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from googleapiclient.errors import HttpError
from hypothesis import given, settings
from hypothesis import strategies as st

from services.emulator.methods import METHODS
from services.emulator.quota import Quotas
from tests.support.emulator import api_client, fetch, get, reason, running_emulator

EPOCH = datetime(2026, 11, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def largest(world) -> str:
    """The channel with most videos: its first is a coming stream, its second a Short."""
    return max(world.channels, key=lambda name: len(world.uploads(name, EPOCH)))


@pytest.fixture(scope="module")
def url(world):
    with running_emulator(world, clock=lambda: EPOCH) as emulator:
        yield emulator.url


@pytest.fixture(scope="module")
def api(url):
    with api_client(url) as client:
        yield client


def test_channels_by_id_carry_true_numbers_as_youtube_shows_them(api, world):
    ids = ",".join(world.channels)
    found = api.channels().list(part="snippet,statistics", id=ids, maxResults=50).execute()
    for item in found["items"]:
        channel = world.channels[item["id"]]
        statistics, uploads = item["statistics"], world.uploads(item["id"], EPOCH)
        assert item["snippet"]["title"] == channel.title
        assert statistics["videoCount"] == str(len(uploads))
        assert statistics["viewCount"] == str(sum(world.views(v, EPOCH) for v in uploads))
        assert statistics["hiddenSubscriberCount"] is channel.hidden_subscribers
        if channel.hidden_subscribers:
            assert "subscriberCount" not in statistics
        else:
            shown = statistics["subscriberCount"]
            assert int(shown) <= channel.subscribers < int(shown) * 1.01 + 1
            assert set(shown[3:]) <= {"0"}
    assert any(item["statistics"]["hiddenSubscriberCount"] for item in found["items"])


def test_closed_and_unknown_channels_are_left_out_and_none_left_means_no_items(api, world):
    gone = [c.channel_id for c in world.channels.values() if c.standing != "open"]
    found = api.channels().list(part="id", id=[*gone, "UC" + "x" * 22]).execute()
    assert "items" not in found
    assert found["pageInfo"] == {"totalResults": 0, "resultsPerPage": 5}


@pytest.mark.parametrize("spell", [str, str.upper, lambda handle: handle.removeprefix("@")])
def test_a_handle_finds_its_channel_however_it_is_spelt(api, world, largest, spell):
    handle = spell(world.channels[largest].handle)
    found = api.channels().list(part="id", forHandle=handle).execute()
    assert [item["id"] for item in found["items"]] == [largest]


def test_uploads_page_through_all_videos_newest_first(api, world, largest):
    playlist = f"UU{largest[2:]}"
    expected = [video.video_id for video in world.uploads(largest, EPOCH)]
    assert len(expected) > 10
    found, positions = [], []
    request = api.playlistItems().list(part="snippet", playlistId=playlist, maxResults=7)
    while request is not None:
        page = request.execute()
        assert page["pageInfo"] == {"totalResults": len(expected), "resultsPerPage": 7}
        assert ("prevPageToken" in page) is bool(found)
        found += [item["snippet"]["resourceId"]["videoId"] for item in page["items"]]
        positions += [item["snippet"]["position"] for item in page["items"]]
        request = api.playlistItems().list_next(request, page)
    assert found == expected
    assert positions == list(range(len(expected)))


def test_a_page_holds_five_items_unless_told_otherwise(api, largest):
    request = api.playlistItems().list(part="id", playlistId=f"UU{largest[2:]}")
    assert len(request.execute()["items"]) == 5


def test_going_back_a_page_gives_the_first_one_again(api, largest):
    def page(**token):
        listing = api.playlistItems().list(part="id", playlistId=f"UU{largest[2:]}", **token)
        return listing.execute()

    first = page()
    second = page(pageToken=first["nextPageToken"])
    assert page(pageToken=second["prevPageToken"])["items"] == first["items"]


def test_undocumented_playlists_split_uploads_by_kind(api, world, largest):
    def listed(prefix):
        request = api.playlistItems().list(
            part="contentDetails", playlistId=prefix + largest[2:], maxResults=50
        )
        return [item["contentDetails"]["videoId"] for item in request.execute()["items"]]

    uploads = [video.video_id for video in world.uploads(largest, EPOCH)]
    assert listed("UULV") == uploads[:1]
    assert listed("UUSH") == uploads[1:2]
    assert listed("UULF") == uploads[2:52]


def test_a_playlist_filtered_by_video_keeps_its_position(api, world, largest):
    fourth = world.uploads(largest, EPOCH)[3].video_id
    items = (
        api.playlistItems()
        .list(part="snippet", playlistId=f"UU{largest[2:]}", videoId=fourth)
        .execute()["items"]
    )
    assert [item["snippet"]["position"] for item in items] == [3]


def test_videos_come_in_the_order_asked_for_without_gone_ones_and_repetitions(api, world):
    seen = [name for name, video in world.videos.items() if world.visible(video, EPOCH)][:4]
    closed = next(n for n, v in world.videos.items() if not world.visible(v, EPOCH))
    asked = [seen[2], "x" * 11, seen[0], seen[2], closed, seen[1]]
    found = api.videos().list(part="statistics", id=asked).execute()
    assert [item["id"] for item in found["items"]] == [seen[2], seen[0], seen[1]]
    assert found["pageInfo"] == {"totalResults": 3, "resultsPerPage": 3}
    for item in found["items"]:
        assert item["statistics"]["viewCount"] == str(world.views(world.videos[item["id"]], EPOCH))


def test_a_coming_stream_says_so(api, world, largest):
    stream = world.uploads(largest, EPOCH)[0]
    parts = "snippet,contentDetails,liveStreamingDetails"
    item = api.videos().list(part=parts, id=stream.video_id).execute()["items"][0]
    assert item["snippet"]["liveBroadcastContent"] == "upcoming"
    assert item["liveStreamingDetails"] == {"scheduledStartTime": "2026-11-02T12:00:00Z"}
    assert item["contentDetails"]["duration"] == "P0D"


def test_batch_stats_agree_with_the_video_resource(api, world):
    ids = list(world.videos)[:50]
    stats = api.videos().batchGetStats(part="id,snippet,statistics,contentDetails", id=ids)
    videos = api.videos().list(part="snippet,statistics", id=ids).execute()["items"]
    by_id = {item["id"]: item for item in stats.execute()["items"]}
    assert by_id.keys() == {item["id"] for item in videos}
    for item in videos:
        twin = by_id[item["id"]]
        assert twin["snippet"] == {"publishTime": item["snippet"]["publishedAt"]}
        assert twin["statistics"] | {"favoriteCount": "0"} == item["statistics"]
        seconds = world.videos[item["id"]].duration.total_seconds()
        assert twin["contentDetails"] == {"duration": f"{seconds:.0f}s"}


def test_deleted_videos_vanish_and_views_grow_as_time_goes_on(world, largest):
    now = [EPOCH]
    doomed, lasting = (
        next(
            video
            for video in world.uploads(largest, EPOCH)[2:]
            if (video.deleted_at is None) is False
        ),
        world.uploads(largest, EPOCH)[5],
    )
    with running_emulator(world, clock=lambda: now[0]) as emulator, api_client(emulator.url) as api:
        request = api.videos().list(part="statistics", id=[doomed.video_id, lasting.video_id])
        before = request.execute()["items"]
        now[0] += 30 * DAY
        after = request.execute()["items"]
    assert [item["id"] for item in before] == [doomed.video_id, lasting.video_id]
    assert [item["id"] for item in after] == [lasting.video_id]
    assert int(after[0]["statistics"]["viewCount"]) > int(before[1]["statistics"]["viewCount"])


def test_search_finds_words_within_a_channel_and_escapes_titles(api, world, largest):
    video = world.uploads(largest, EPOCH)[4]
    word = video.title.split()[0]
    found = api.search().list(
        part="snippet", q=word, channelId=largest, type="video", order="date", maxResults=50
    )
    items = found.execute()["items"]
    assert video.video_id in {item["id"]["videoId"] for item in items}
    dates = [item["snippet"]["publishedAt"] for item in items]
    assert dates == sorted(dates, reverse=True)
    assert all("&" not in i["snippet"]["title"].replace("&amp;", "") for i in items)


def test_fields_leave_only_what_was_asked_for(api, largest):
    request = api.playlistItems().list(
        part="snippet,contentDetails",
        playlistId=f"UU{largest[2:]}",
        fields="nextPageToken,items(contentDetails/videoId)",
    )
    page = request.execute()
    assert page.keys() == {"nextPageToken", "items"}
    assert all(list(item) == ["contentDetails"] for item in page["items"])


def test_a_request_too_long_for_an_address_arrives_in_a_body(api, world):
    request = api.channels().list(
        part=["snippet", "statistics"], id=["UC" + "x" * 22] * 2 + list(world.channels) * 20
    )
    assert len(request.uri) > 2048  # beyond this, Google's client posts what it would have asked
    assert len(request.execute()["items"]) == 5


def test_answers_are_indented_unless_told_otherwise(url, largest):
    pretty = get(url, "channels", part="snippet", id=largest)
    plain = get(url, "channels", part="snippet", id=largest, prettyPrint="false")
    assert pretty.body.startswith(b"{\n  ")
    assert b"\n" not in plain.body
    assert json.loads(pretty.body) == json.loads(plain.body)


def test_answers_are_compressed_for_readers_who_take_it(url, world):
    address = f"{url}/youtube/v3/videos?" + urlencode(
        {"part": "snippet", "id": ",".join(list(world.videos)[:50]), "key": "k"}
    )
    packed = fetch(address, {"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == fetch(address).body


def test_an_unchanged_answer_is_304_and_costs_all_the_same(world, largest):
    with running_emulator(world, clock=lambda: EPOCH, quotas=Quotas(units=2)) as emulator:
        address = f"{emulator.url}/youtube/v3/channels?part=snippet&key=k&id={largest}"
        first = fetch(address)
        again = fetch(address, {"If-None-Match": first.headers["ETag"]})
        assert (again.status, again.body) == (304, b"")
        assert reason(fetch(address)) == (403, "quotaExceeded")


@pytest.mark.parametrize(
    ("method", "params", "expected"),
    [
        ("videos", {"id": "x"}, (400, "missingRequiredParameter")),
        ("videos", {"part": "snippet"}, (400, "missingRequiredParameter")),
        ("videos", {"part": "snipet", "id": "x"}, (400, "unknownPart")),
        ("videos", {"part": "fileDetails", "id": "x"}, (403, "forbidden")),
        ("videos", {"part": "id", "chart": "mostPopular"}, (400, "invalidFilters")),
        ("videos", {"part": "id", "id": ",".join(map(str, range(51)))}, (400, "invalidFilters")),
        ("videos", {"part": "id", "id": "x", "chart": "c"}, (400, "incompatibleParameters")),
        ("videos", {"part": "id", "id": "x", "fields": "items(ide)"}, (400, "invalidParameter")),
        ("videos:batchGetStats", {"part": "status", "id": "x"}, (400, "unknownPart")),
        ("channels", {"part": "id", "mine": "true"}, (403, "forbidden")),
        ("channels", {"part": "id", "id": "x", "maxResults": "51"}, (400, "invalidParameter")),
        ("channels", {"part": "id", "id": "x", "maxResults": "-1"}, (400, "invalidParameter")),
        ("channels", {"part": "id", "id": "x", "maxResults": "²"}, (400, "invalidParameter")),
        ("channels", {"part": "id", "id": "x", "pageToken": "CAUQAA"}, (400, "invalidPageToken")),
        ("channels", {"part": "id", "id": "x", "pageToken": "é"}, (400, "invalidPageToken")),
        ("playlistItems", {"part": "id", "playlistId": "UU"}, (404, "playlistNotFound")),
        ("playlistItems", {"part": "id", "playlistId": "PL" + "x" * 22}, (404, "playlistNotFound")),
        ("playlistItems", {"part": "id", "id": "x"}, (400, "invalidFilters")),
        ("search", {"part": "snippet", "order": "best"}, (400, "invalidParameter")),
        ("search", {"part": "snippet", "publishedAfter": "now"}, (400, "invalidParameter")),
        ("playlists", {"part": "id"}, (404, "notFound")),
    ],
)
def test_a_bad_request_is_refused_with_its_reason(url, method, params, expected):
    assert reason(get(url, method, **params)) == expected


def test_uploads_of_closed_suspended_and_empty_channels_answer_differently(url, world):
    answers = {}
    for channel in world.channels.values():
        answer = get(url, "playlistItems", part="id", playlistId=f"UU{channel.channel_id[2:]}")
        if answer.status != 200:
            kind = channel.standing if channel.standing != "open" else "empty"
            answers[kind] = reason(answer)
    assert answers == {
        "closed": (403, "channelClosed"),
        "suspended": (403, "channelSuspended"),
        "empty": (404, "playlistNotFound"),
    }


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(METHODS)),
    st.dictionaries(
        st.sampled_from(
            [
                "part",
                "id",
                "forHandle",
                "playlistId",
                "videoId",
                "maxResults",
                "pageToken",
                "fields",
                "q",
                "order",
                "type",
                "channelId",
                "publishedAfter",
            ]
        ),
        st.sampled_from(["", "snippet", "id,statistics", "0", "date", "video", "items/id"])
        | st.text(max_size=20),
    ),
)
def test_no_request_breaks_it(url, method, params):
    answer = get(url, method, **params)
    if answer.status != 200:
        assert reason(answer)[0] in {400, 403, 404}


def test_a_page_token_is_good_for_its_own_list_only(url, world, largest):
    token = json.loads(get(url, "playlistItems", part="id", playlistId=f"UU{largest[2:]}").body)
    other = next(c for c in world.channels if c != largest and len(world.uploads(c, EPOCH)) > 5)
    answer = get(
        url,
        "playlistItems",
        part="id",
        playlistId=f"UU{other[2:]}",
        pageToken=token["nextPageToken"],
    )
    assert reason(answer) == (400, "invalidPageToken")


def test_a_post_that_is_no_read_is_refused(url):
    with api_client(url) as api, pytest.raises(HttpError) as refusal:
        api.videos().rate(id="x" * 11, rating="like").execute()
    assert refusal.value.status_code == 404


def test_the_truth_is_exact_and_complete(url, world):
    truth = json.loads(fetch(f"{url}/emulator/truth").body)
    assert {c["channel_id"]: c["subscribers"] for c in truth["channels"]} == {
        name: channel.subscribers for name, channel in world.channels.items()
    }
    assert {v["video_id"]: v["views"] for v in truth["videos"]} == {
        name: world.views(video, EPOCH)
        for name, video in world.videos.items()
        if world.visible(video, EPOCH)
    }


def test_the_front_page_says_how_to_use_it(url):
    page = fetch(url).body.decode()
    for name in ("YOUTUBE_ENDPOINT", "THUMBNAIL_URL", "FEED_URL", "YOUTUBE_API_KEY"):
        assert f"export TUBEGRADER_{name}=" in page
    assert url in page
