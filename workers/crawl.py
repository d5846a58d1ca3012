"""Tasks of the crawl queue. Each takes the token of a lease and calls one service."""

import uuid

from services.crawl import channels, discovery, statistics
from workers.app import context
from workers.base import task


@task("crawl.discover_channels")
def discover_channels(token: str) -> int:
    """List the uploads of a batch of channels."""
    return discovery.discover_channels(context, uuid.UUID(token))


@task("crawl.snapshot_channels")
def snapshot_channels(token: str) -> int:
    """Read the counters of a batch of channels."""
    return channels.snapshot_channels(context, uuid.UUID(token))


@task("crawl.snapshot_videos")
def snapshot_videos(token: str) -> int:
    """Read the counters of a batch of videos."""
    return statistics.snapshot_videos(context, uuid.UUID(token))
