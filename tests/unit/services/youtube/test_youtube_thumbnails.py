import asyncio
import hashlib
import threading

import pytest

from services.errors import BlockedError, PermanentError, TransientError, UsageError
from services.youtube.perceptual import perceptual_hash
from services.youtube.thumbnails import (
    FailedThumbnail,
    FetchedThumbnail,
    ThumbnailRequest,
    UnchangedThumbnail,
    fetch_all_thumbnails,
    fetch_thumbnails,
)
from tests.support.youtube import HANG_UP, RESET, Reply, scripted_server, silent_server
from tests.unit.services.youtube.test_youtube_images import picture

IMAGE = picture()


def video_ids(n):
    return [f"video{i:06d}" for i in range(n)]


def fetch_one(reply, request=None, **options):
    request = request or ThumbnailRequest("D-lhorsDlUQ")
    with scripted_server(lambda asked: reply) as server:
        [result] = fetch_all_thumbnails([request], base_url=server.url, **options)
    return result, server


def test_a_thumbnail_comes_byte_for_byte_with_hash_and_size():
    result, server = fetch_one(Reply(body=IMAGE, headers={"ETag": '"v1"'}))
    assert result == FetchedThumbnail(
        video_id="D-lhorsDlUQ",
        content=IMAGE,
        sha256=hashlib.sha256(IMAGE).hexdigest(),
        perceptual_hash=perceptual_hash(IMAGE),
        width=320,
        height=180,
        format="jpeg",
        variant="mqdefault",
        etag='"v1"',
    )
    assert server.requests[0].path == "/vi/D-lhorsDlUQ/mqdefault.jpg"


def test_a_large_picture_is_checked_as_well():
    large = picture(1280, 720, quality=95)
    assert len(large) > 100_000
    result, _ = fetch_one(Reply(body=large), variant="maxresdefault")
    assert isinstance(result, FetchedThumbnail)
    assert result.content == large
    result, _ = fetch_one(Reply(body=large[:-50_000]), variant="maxresdefault")
    assert isinstance(result, FailedThumbnail)


def test_an_unchanged_thumbnail_is_not_sent_again():
    result, server = fetch_one(Reply(304, b""), ThumbnailRequest("D-lhorsDlUQ", '"v1"'))
    assert result == UnchangedThumbnail("D-lhorsDlUQ", '"v1"')
    assert server.requests[0].headers["If-None-Match"] == '"v1"'


def test_an_etag_that_is_none_is_neither_sent_nor_kept():
    result, server = fetch_one(
        Reply(body=IMAGE, headers={"ETag": "no quotes"}),
        ThumbnailRequest("D-lhorsDlUQ", '"v1"\r\nX-Evil: 1'),
    )
    assert isinstance(result, FetchedThumbnail)
    assert result.etag is None
    assert "If-None-Match" not in server.requests[0].headers


@pytest.mark.parametrize(
    ("reply", "kind", "reason"),
    [
        (Reply(404, picture(120, 90)), PermanentError, "thumbnailMissing"),
        (Reply(200, picture(120, 90)), PermanentError, "thumbnailMissing"),
        (Reply(404, b""), PermanentError, "thumbnailMissing"),
        (Reply(410, b""), PermanentError, "thumbnailMissing"),
        (Reply(400, b""), PermanentError, "http400"),
        (Reply(403, b""), BlockedError, "http403"),
        (Reply(429, b""), TransientError, "http429"),
        (Reply(500, IMAGE), TransientError, "http500"),
        (Reply(503, b""), TransientError, "http503"),
        (Reply(304, b""), TransientError, "redirectRefused"),
        (Reply(200, b"\n<html>Log in</html>"), TransientError, "malformedAnswer"),
        (Reply(200, b""), PermanentError, "notAnImage"),
        (Reply(200, IMAGE[:-500]), PermanentError, "brokenImage"),
        (Reply(200, IMAGE, cut=1000), TransientError, "connectionLost"),
        (Reply(200, bytes(100_001)), PermanentError, "imageTooLarge"),
        (Reply(200, bytes(100_001), {"Content-Length": ""}), PermanentError, "imageTooLarge"),
        (HANG_UP, TransientError, "connectionLost"),
        (RESET, TransientError, "connectionLost"),
    ],
)
def test_each_failure_has_its_kind_and_reason(reply, kind, reason):
    result, _ = fetch_one(reply, max_bytes=100_000)
    assert isinstance(result, FailedThumbnail)
    assert type(result.error) is kind
    assert result.error.reason == reason


def test_redirects_are_not_followed():
    with scripted_server(lambda asked: Reply(body=IMAGE)) as elsewhere:
        result, _ = fetch_one(Reply(302, b"", {"Location": elsewhere.url}))
    assert isinstance(result, FailedThumbnail)
    assert result.error.reason == "redirectRefused"
    assert not elsewhere.requests


@pytest.mark.parametrize("video_id", ["", "../../x/..", "D-lhorsDlUQ?", "http://a.b/", "é" * 11])
def test_only_valid_ids_become_addresses(video_id):
    result, server = fetch_one(Reply(body=IMAGE), ThumbnailRequest(video_id))
    assert isinstance(result, FailedThumbnail)
    assert result.error.reason == "malformedId"
    assert not server.requests


def test_one_bad_picture_does_not_disturb_the_others():
    ids = video_ids(300)
    bad = {
        ids[3]: Reply(404, picture(120, 90)),
        ids[77]: Reply(200, b"<html>"),
        ids[150]: HANG_UP,
        ids[299]: Reply(500, b""),
    }
    with scripted_server(
        lambda asked: bad.get(asked.path.split("/")[2], Reply(body=IMAGE))
    ) as server:
        results = fetch_all_thumbnails(
            [ThumbnailRequest(i) for i in ids], base_url=server.url, concurrency=16
        )
    assert sorted(result.video_id for result in results) == ids
    assert {r.video_id for r in results if isinstance(r, FailedThumbnail)} == set(bad)


def test_no_more_are_in_flight_than_allowed():
    lock = threading.Lock()
    now_and_most = [0, 0]
    full = threading.Barrier(4)

    def respond(asked):
        with lock:
            now_and_most[0] += 1
            now_and_most[1] = max(now_and_most)
        full.wait(10)
        with lock:
            now_and_most[0] -= 1
        return Reply(body=IMAGE)

    with scripted_server(respond) as server:
        fetch_all_thumbnails(
            [ThumbnailRequest(i) for i in video_ids(20)], base_url=server.url, concurrency=4
        )
    assert now_and_most == [0, 4]


def test_a_consumer_that_stops_early_leaves_nothing_running():
    async def take_three(url):
        arriving = fetch_thumbnails(
            [ThumbnailRequest(i) for i in video_ids(50)], base_url=url, concurrency=4
        )
        taken = [await anext(arriving) for _ in range(3)]
        await arriving.aclose()
        return taken, asyncio.all_tasks() - {asyncio.current_task()}

    with scripted_server(lambda asked: Reply(body=IMAGE)) as server:
        taken, left = asyncio.run(take_three(server.url))
    assert len(taken) == 3
    assert not left
    assert len(server.requests) < 50


def test_a_server_that_never_answers_is_given_up():
    with silent_server() as server:
        [result] = fetch_all_thumbnails(
            [ThumbnailRequest("D-lhorsDlUQ")], base_url=server.url, timeout_s=0.05
        )
    assert isinstance(result, FailedThumbnail)
    assert (result.error.kind, result.error.reason) == ("transient", "timeout")


@pytest.mark.parametrize(
    ("base_url", "reason"),
    [("http://127.0.0.1:9", "connectionRefused"), ("http://nowhere.invalid", "noNetwork")],
)
def test_without_network_every_request_fails_for_the_moment(base_url, reason):
    results = fetch_all_thumbnails([ThumbnailRequest(i) for i in video_ids(3)], base_url=base_url)
    assert [result.error.reason for result in results] == [reason] * 3
    assert {result.error.kind for result in results} == {"transient"}


def test_nothing_asked_for_is_nothing_done():
    assert fetch_all_thumbnails([], base_url="http://127.0.0.1:9") == []


@pytest.mark.parametrize(
    "options",
    [
        {"base_url": "i.ytimg.com"},
        {"base_url": "file:///etc"},
        {"base_url": "https://user:pass@i.ytimg.com"},
        {"base_url": "https://i.ytimg.com?x"},
        {"base_url": "http://127.0.0.1:99999"},
        {"variant": "../mqdefault"},
        {"variant": ""},
    ],
)
def test_a_malformed_base_or_variant_is_a_usage_error(options):
    with pytest.raises(UsageError) as caught:
        fetch_all_thumbnails([ThumbnailRequest("D-lhorsDlUQ")], **options)
    assert caught.value.hint
