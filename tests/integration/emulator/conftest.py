"""An invented world with channels and videos in every state."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from services.emulator.catalog import Catalog
from services.emulator.synthetic import synthetic_catalog
from services.emulator.videos import Stream

EPOCH = datetime(2026, 11, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def world() -> Catalog:
    made = synthetic_catalog(seed=4, epoch=EPOCH, channels=7, videos=160, hidden_share=0.3)
    channels, videos = dict(made.channels), dict(made.videos)
    # A second life for some: one closed, one suspended, one empty, one short, one yet to stream.
    names = sorted(channels, key=lambda name: len(made.uploads(name, EPOCH)))
    closed, suspended, empty = names[:3]
    channels[closed] = replace(channels[closed], standing="closed")
    channels[suspended] = replace(channels[suspended], standing="suspended")
    for video in made.uploads(empty, EPOCH):
        del videos[video.video_id]
    first, second, third, *_ = made.uploads(names[-1], EPOCH)
    videos[first.video_id] = replace(first, stream=Stream(EPOCH + DAY))
    videos[second.video_id] = replace(second, short=True)
    videos[third.video_id] = replace(third, deleted_at=EPOCH + DAY)
    return Catalog.of(channels.values(), videos.values(), epoch=EPOCH, picture=made.picture)
