"""The models in use, judged by videos that none of them was trained on."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from db.partitions import ensure_partitions
from services.embedded import Endpoints
from services.errors import PermanentError
from services.learning.thumbnails.held_out import Asked, judge
from tests.support.cli import settings_of, tubegrader
from tests.support.promotion import World, channel_id, store_channels, world

NEW = range(200, 212)


@pytest.fixture(scope="module")
def judged(endpoints: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Models of 40 channels, and twelve channels that they never saw."""
    with world(endpoints, tmp_path_factory.mktemp("held_out"), "test_held_out") as made:
        store_channels(made.context, range(40))
        night = made.night(seed=1)
        assert night.state == "succeeded", night.error_message
        made.now += timedelta(days=1)
        with made.context.transaction() as session:
            ensure_partitions(session.connection(), start=made.now)
        store_channels(made.context, NEW)
        yield made


def test_channels_that_no_model_saw_are_predicted_and_compared(judged: World):
    found = judge(judged.context, Asked(channel_ids={channel_id(n) for n in NEW}))
    assert (found["n_videos"], found["n_channels"]) == (36, 12)
    assert found["models"].keys() == found["rungs"].keys() >= {"constant", "subscribers"}
    r2 = found["rungs"]["subscribers"]["r2"]
    assert r2["low"] < r2["value"] < r2["high"]
    assert found["rungs"]["constant"]["r2"]["value"] < r2["value"]
    assert {each["rung"] for each in found["differences"]} >= {"subscribers"}


def test_what_was_trained_on_is_left_out_and_counted(judged: World):
    channels = {channel_id(n) for n in (*NEW, *range(5))}
    found = judge(judged.context, Asked(channel_ids=channels))
    assert found["n_videos"] == 36
    assert found["excluded"]["trainedOn"] == 15
    with pytest.raises(PermanentError, match="15 trainedOn") as refused:
        judge(judged.context, Asked(channel_ids={channel_id(n) for n in range(5)}))
    assert refused.value.reason == "noData"


def test_the_command_takes_a_list_a_tag_and_a_date(judged: World, tmp_path: Path):
    env = settings_of(judged.context)
    listed = tmp_path / "channels.txt"
    listed.write_text("\n".join(channel_id(n) for n in NEW) + "\n")
    judged.sql(
        "INSERT INTO channel_tags (channel_id, tag) SELECT unnest(CAST(:ids AS text[])), 'new' "
        "RETURNING 1",
        ids=[channel_id(n) for n in NEW],
    )
    wanted = judge(judged.context, Asked(channel_ids={channel_id(n) for n in NEW}))
    for on in (f"channels:{listed}", "tag:new"):
        ran = tubegrader("models", "compare", "--on", on, "--json", env=env)
        assert ran.code == 0, ran.err
        assert json.loads(ran.out) == wanted
    ran = tubegrader("models", "compare", "--on", "since:2000-01-01", env=env)
    assert ran.code == 0, ran.err
    assert "none of these models" in ran.out
    for on in ("since:yesterday", "tag:nobody", f"channels:{tmp_path / 'none'}", "videos:x", "tag"):
        refused = tubegrader("models", "compare", "--on", on, env=env)
        assert refused.code == 2, refused.err
