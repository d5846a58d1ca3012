"""Tasks of the media queue."""

import uuid

from services.media import audio, thumbnails
from workers.app import context
from workers.base import task


@task("media.fetch_thumbnails")
def fetch_thumbnails(token: str) -> int:
    """Fetch the thumbnails of a batch of videos."""
    return thumbnails.fetch_batch(context, uuid.UUID(token))


@task("media.fetch_audio")
def fetch_audio(token: str) -> int:
    """Fetch and cut the audio of a batch of videos."""
    return audio.fetch_batch(context, uuid.UUID(token))
