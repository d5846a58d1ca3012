"""The emulator's answers beside recorded ones of YouTube: same keys, same types, same errors."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import pytest
from defusedxml import ElementTree

from services.emulator.quota import Quotas
from services.emulator.synthetic import synthetic_catalog
from tests.support.emulator import api_client, fetch, running_emulator

RECORDED = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "youtube"
EPOCH = datetime(2026, 11, 1, tzinfo=UTC)

pytestmark = [
    pytest.mark.shared_data,
    pytest.mark.skipif(not RECORDED.exists(), reason=f"no recorded data: {RECORDED}"),
]

# What every recorded answer has and YouTube has since dropped, or only some owners set.
GONE = {"statistics/dislikeCount"}
OWNERS_CHOICE = {
    "brandingSettings/channel/trackingAnalyticsAccountId",
    "brandingSettings/channel/unsubscribedTrailer",
}
# Sizes that a video may lack; the recorded channels' videos happen to have them.
OPTIONAL_SIZES = ("snippet/thumbnails/standard", "snippet/thumbnails/maxres")
SCHEMAS = {
    "channels": "ChannelListResponse",
    "playlistItems": "PlaylistItemListResponse",
    "videos": "VideoListResponse",
    "search": "SearchListResponse",
}
METHODS = sorted(SCHEMAS)

Shape = dict[str, str]
"""JSON type by path; list elements share their list's path plus ``[]``."""


@pytest.fixture(scope="module")
def answers() -> dict[str, dict[str, Any]]:
    """One rich answer a method."""
    world = synthetic_catalog(seed=9, epoch=EPOCH, channels=5, videos=80, hidden_share=0)
    with running_emulator(world, clock=lambda: EPOCH) as emulator, api_client(emulator.url) as api:
        some = list(world.videos)[:50]
        channel = max(world.channels, key=lambda name: len(world.uploads(name, EPOCH)))
        requests = {
            "channels": api.channels().list(
                part="snippet,contentDetails,statistics,brandingSettings,status",
                id=list(world.channels),
            ),
            "playlistItems": api.playlistItems().list(
                part="snippet,contentDetails,status", playlistId=f"UU{channel[2:]}"
            ),
            "videos": api.videos().list(
                part="snippet,contentDetails,statistics,status,player", id=some
            ),
            "search": api.search().list(part="snippet", maxResults=50),
            "batchGetStats": api.videos().batchGetStats(
                part="id,snippet,contentDetails,statistics", id=some
            ),
        }
        return {name: request.execute() for name, request in requests.items()}


def recorded(method: str) -> list[dict[str, Any]]:
    return [json.loads(file.read_bytes()) for file in sorted((RECORDED / "api" / method).iterdir())]


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, below in value.items():
            yield f"{path}/{key}".lstrip("/"), type(below).__name__
            yield from leaves(below, f"{path}/{key}")
    elif isinstance(value, list):
        for below in value:
            yield from leaves(below, f"{path}[]")


def documented(schema: str, path: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Paths and types of a schema of the discovery document."""
    types = {"string": "str", "boolean": "bool", "integer": "int", "object": "dict"}
    for key, kind in schemas()[schema].get("properties", {}).items():
        here, repeated = f"{path}/{key}".lstrip("/"), kind.get("type") == "array"
        inner = kind["items"] if repeated else kind
        yield here, "list" if repeated else types.get(inner.get("type", "object"), "dict")
        if "$ref" in inner and depth < 6:
            below = f"{here}[]" if repeated else here
            yield from documented(inner["$ref"], below, depth + 1)


def schemas() -> dict[str, Any]:
    folder = resources.files("googleapiclient") / "discovery_cache" / "documents"
    return json.loads((folder / "youtube.v3.json").read_text(encoding="utf-8"))["schemas"]


@pytest.mark.parametrize("method", METHODS)
def test_every_key_is_one_that_youtube_shows_or_documents(answers, method):
    known = set(documented(SCHEMAS[method]))
    for answer in recorded(method):
        known |= set(leaves(answer))
    assert set(leaves(answers[method])) <= known


def test_batch_stats_have_the_documented_keys(answers):
    ours = dict(leaves(answers["batchGetStats"]))
    assert ours == dict(documented("BatchGetStatsResponse"))


@pytest.mark.parametrize("method", METHODS)
def test_types_are_the_recorded_ones(answers, method):
    for answer in recorded(method):
        theirs = dict(leaves(answer))
        for path, kind in leaves(answers[method]):
            assert theirs.get(path, kind) == kind, path


@pytest.mark.parametrize("method", METHODS)
def test_what_every_recorded_resource_has_ours_have_too(answers, method):
    items = [item for answer in recorded(method) for item in answer["items"]]
    for part in ("id", "snippet", "contentDetails", "statistics", "brandingSettings", "player"):
        those = [{path for path, _ in leaves({part: i[part]})} for i in items if part in i]
        if not those:
            continue
        always = set.intersection(*those) - GONE - OWNERS_CHOICE
        always = {path for path in always if not path.startswith(OPTIONAL_SIZES)}
        if part == "statistics":
            always.discard("statistics/likeCount")  # the owner may hide it
        for ours in answers[method]["items"]:
            assert always <= {path for path, _ in leaves(ours)}


@pytest.mark.parametrize("method", METHODS)
def test_values_are_written_as_in_the_newest_recording(answers, method):
    kinds = {item["kind"] for answer in recorded(method) for item in answer["items"]}
    assert {item["kind"] for item in answers[method]["items"]} == kinds
    assert answers[method]["kind"] == recorded(method)[0]["kind"]
    for ours in answers[method]["items"]:
        # 2023 and later: whole seconds and no quotes in the tag. Older ones had both.
        datetime.strptime(ours["snippet"]["publishedAt"], "%Y-%m-%dT%H:%M:%S%z")
        assert ours["snippet"]["publishedAt"].endswith("Z")
        assert len(ours["etag"]) == len("CG3vwkqpnD2Bj_MaPXmy9puO4Kc")


def test_errors_have_the_recorded_shape():
    files = [
        "quotaExceeded_403_plain.json",
        "pyyoutube__error_response.json",
        "pyyoutube__error_permission_resp.json",
    ]
    theirs = [json.loads((RECORDED / "api" / "errors" / name).read_bytes()) for name in files]
    world = synthetic_catalog(seed=9, epoch=EPOCH, channels=1, videos=1)
    with running_emulator(world, keys=frozenset({"k"}), quotas=Quotas(units=0)) as emulator:
        address = f"{emulator.url}/youtube/v3/videos?part=id&id=x"
        no_quota, wrong_key, no_key = (
            json.loads(fetch(address + key).body) for key in ("&key=k", "&key=wrong", "")
        )
    assert set(leaves(no_quota)) == set(leaves(theirs[0]))
    assert no_quota["error"]["errors"][0] | {"message": ""} == theirs[0]["error"]["errors"][0] | {
        "message": ""
    }
    assert set(leaves(wrong_key)) >= set(leaves(theirs[1]))
    assert wrong_key["error"]["code"] == theirs[1]["error"]["code"]
    assert set(leaves(no_key)) == set(leaves(theirs[2]))
    assert no_key["error"]["status"] == theirs[2]["error"]["status"]


def test_the_feed_has_the_elements_and_attributes_of_the_recorded_one():
    file = RECORDED / "feeds" / "classicalmusicchannel_2026_first2of9.xml"
    theirs = ElementTree.fromstring(file.read_bytes())
    world = synthetic_catalog(seed=9, epoch=EPOCH, channels=1, videos=20)
    channel = next(iter(world.channels))
    with running_emulator(world, clock=lambda: EPOCH) as emulator:
        ours = ElementTree.fromstring(
            fetch(f"{emulator.url}/feeds/videos.xml?channel_id={channel}").body
        )
    assert set(elements(ours)) == set(elements(theirs))


def elements(element: Element, path: str = "") -> Iterator[tuple[str, tuple[str, ...]]]:
    here = f"{path}/{element.tag}"
    yield here, tuple(sorted(element.attrib))
    for below in element:
        yield from elements(below, here)
