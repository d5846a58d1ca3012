"""Speech audio: which videos, fetched where it is allowed, cut into segments, labelled."""

from services.media.audio.collecting import fetch_batch

__all__ = ["fetch_batch"]
