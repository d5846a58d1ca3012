"""A live state in a word that is new to us: neither what it was, nor that it is over, is known."""

from dataclasses import replace
from datetime import timedelta

import pytest

from services.context import Context
from services.emulator.catalog import Catalog
from services.emulator.synthetic import synthetic_catalog
from services.emulator.videos import Stream
from tests.support.crawl import NOW, offline_crawl, rows


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return synthetic_catalog(seed=3, epoch=NOW, channels=1, videos=3)


def test_a_stream_whose_state_is_a_new_word_is_neither_live_nor_over_until_it_is_known(
    context: Context, catalog: Catalog
):
    model = next(iter(catalog.videos.values()))
    start = NOW - timedelta(hours=1)
    stream = replace(
        model,
        video_id="streamstrea",
        published_at=start,
        duration=None,
        stream=Stream(start, start),
    )
    world = replace(catalog, videos={**catalog.videos, stream.video_id: stream})
    shown = (
        "SELECT live_broadcast_content, format, "
        "(SELECT count(*) FROM video_snapshots s WHERE s.video_id = v.video_id) "
        "FROM videos v WHERE video_id = :v"
    )
    with offline_crawl(context, world) as crawl:
        transport, said = crawl.context.youtube._transport, ["live"]
        execute = transport.execute

        def answer(request, before):
            body = execute(request, before)
            for item in body["items"]:
                if item.get("id") == stream.video_id and "snippet" in item:
                    item["snippet"]["liveBroadcastContent"] = said[-1]
            return body

        transport.execute = answer
        crawl.run()
        assert rows(context, shown, v=stream.video_id) == [("live", "live", 1)]
        for word, known, form, hours in (
            ("rehearsal", None, "live", 7),
            ("none", None, "live", 7),  # asked for in full once a day
            ("rehearsal", None, "live", 25),
            ("none", "none", "premiere", 25),
        ):
            said.append(word)
            [(_, _, before)] = rows(context, shown, v=stream.video_id)
            crawl.turn(hours=hours)
            crawl.settle()
            assert rows(context, shown, v=stream.video_id) == [(known, form, before + 1)]
