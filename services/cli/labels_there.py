"""``tubegrader audio label`` for a home on another machine."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from services.cli import remote

if TYPE_CHECKING:
    from services.media.audio.labels import Labelled, NamedLabel

MOST = 1_000
"""Labels that are checked before any of them is written."""


def label(home: remote.Remote, named: "Sequence[NamedLabel]", *, by: str) -> "Labelled":
    """Label videos by hand."""
    from services.media.audio.labels import Labelled

    if len(named) > MOST:
        remote.refuse(f"more than {MOST:,} labels at a time")
    labels = [{"video": each.video, "language": each.language} for each in named]
    found: Labelled = home.post("/language-labels", {"labels": labels, "by": by}, Labelled)
    return found


def show(home: remote.Remote, typed: Sequence[str]) -> list[dict[str, Any]]:
    """Return the claims on the language of videos, and their history.

    Raises:
        UsageError: Something is no video, or not known.
    """
    from services.media.audio.labels import NamedLabel, video_id

    ids = dict.fromkeys(video_id(NamedLabel(text, "")) for text in typed)
    found = [home.get(f"/languages/{remote.segment(each)}") for each in ids]
    return [
        video | {part: [_timed(row) for row in video[part]] for part in ("claims", "by_hand")}
        for video in found
    ]


def conflicts(home: remote.Remote) -> list[dict[str, Any]]:
    """Return videos whose claims contradict each other; decided by hand come last."""
    found = home.items("/languages/conflicts", dict[str, Any])
    shown = [{name: row[name] for name in row if name != "clip_id"} for row in found]
    return sorted(
        shown,
        key=lambda row: (row["source"] == "hand", row["channel_title"] or "", row["video_id"]),
    )


def _timed(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: datetime.fromisoformat(value) if value and name.endswith("_at") else value
        for name, value in row.items()
    }
