"""``--faults odd``: five things in a hundred are bent, the same each time; the others are exact."""

import json

import pytest

from services.emulator.catalog import Catalog
from services.emulator.faults import FaultPlan
from services.emulator.odd import CHANNEL_BENDS, VIDEO_BENDS, Oddities
from services.emulator.synthetic import synthetic_catalog
from tests.support.crawl import NOW
from tests.support.emulator import fetch, get, running_emulator

PARTS = "snippet,contentDetails,status,statistics"


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return synthetic_catalog(seed=5, epoch=NOW, channels=40, videos=400)


def test_five_in_a_hundred_are_bent_by_their_ids_and_the_truth_knows_which(catalog: Catalog):
    bent = Oddities.of(catalog, 0.05).report()
    assert len(bent) == 2 + 20
    assert bent == Oddities.of(catalog, 0.05).report()
    assert bent.keys() != Oddities.of(catalog, 0.05, seed=1).report().keys()
    with running_emulator(catalog, clock=lambda: NOW) as youtube:
        truth = f"{youtube.url}/emulator/truth"
        assert json.loads(fetch(truth).body)["bent"] == {}
        fetch(f"{youtube.url}/emulator/faults", data=b"odd")
        assert json.loads(fetch(truth).body)["bent"] == bent
    assert FaultPlan.read("odd") == FaultPlan(odd=0.05)


def test_what_is_not_bent_is_answered_as_ever(catalog: Catalog):
    def items(url: str, ids: list[str]) -> dict[str, object]:
        body = json.loads(get(url, "videos", part=PARTS, id=",".join(ids)).body)
        return {item["id"]: item for item in body["items"]}

    with running_emulator(catalog, clock=lambda: NOW) as youtube:
        bends = Oddities.of(catalog, 0.2).bends
        ids = [v for v in catalog.videos if v not in bends][:40]
        beside = next(v for v, b in bends.items() if b.name == "viewsAreNegative")
        exact = items(youtube.url, [*ids, beside])
        fetch(f"{youtube.url}/emulator/faults", data=b'{"odd": 0.2}')
        seen = items(youtube.url, [*ids, beside])
    assert {i: seen[i] for i in ids} == {i: exact[i] for i in ids}
    assert seen[beside]["statistics"]["viewCount"] == "-17"


def test_each_bend_of_an_answer_can_be_asked_for(catalog: Catalog):
    world = synthetic_catalog(
        seed=5, epoch=NOW, channels=len(CHANNEL_BENDS), videos=len(VIDEO_BENDS)
    )
    bends = Oddities.of(world, 1).bends
    assert {b.name for b in bends.values()} == {b.name for b in (*VIDEO_BENDS, *CHANNEL_BENDS)}
    statuses = {}
    with running_emulator(world, clock=lambda: NOW) as youtube:
        exact = {v: get(youtube.url, "videos", part=PARTS, id=v).body for v in world.videos}
        fetch(f"{youtube.url}/emulator/faults", data=b'{"odd": 1}')
        for video_id in world.videos:
            bend = bends[video_id]
            if bend.calls == "cut":
                continue
            answer = get(youtube.url, "videos", part=PARTS, id=video_id)
            statuses[bend.name] = answer.status
            if bend.place == "video" and bend.name not in ("backwards", "noThumbnails"):
                assert json.loads(exact[video_id])["items"], bend.name
                assert answer.body != exact[video_id], bend.name
    assert {name: s for name, s in statuses.items() if s != 200} == {"calls500": 500,
                                                                     "calls400": 400}  # fmt: skip
