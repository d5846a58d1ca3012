"""Changes that the program tries on a picture itself, and what the models say of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ml.arrays import FloatArray
from ml.evaluation.bootstrap import Interval
from ml.thumbnails.features.edits import edit, variants
from services.learning.grading.grader import Grader
from services.learning.grading.pictures import Candidate, as_shown
from services.learning.grading.uncertainty import jackknife


@dataclass(frozen=True)
class Tried:
    """An edit.

    Attributes:
        name: Of the edit.
        title: For people.
        change: Views a day with it over those without, as a factor; with its interval.
        shown: The interval leaves 1, and thumbnails were shown to do anything at all.
        content: The changed picture as JPEG.
    """

    name: str
    title: str
    change: Interval
    shown: bool
    content: bytes

    def as_json(self) -> dict[str, Any]:
        """Return JSON values, without the picture."""
        return {
            "name": self.name,
            "title": self.title,
            "change": self.change.as_json(),
            "shown": self.shown,
        }


def try_edits(
    grader: Grader, candidate: Candidate, unchanged: FloatArray, channel_id: str | None
) -> list[Tried]:
    """Apply every edit and ask the models again; the greatest gain first.

    Args:
        grader: The models.
        candidate: The picture.
        unchanged: What each model says of it as it is, (K,).
        channel_id: Whose it is.
    """
    made = variants(candidate.frame)
    contents = [as_shown(frame) for frame in made.values()]
    answers = grader.answers(contents)
    held_out = grader.never_saw(channel_id)
    tried = []
    for position, (name, content) in enumerate(zip(made, contents, strict=True)):
        change = factor(jackknife(answers[:, position] - unchanged, held_out))
        leaves = change.low > 1 or change.high < 1
        shown = leaves and grader.evidence.state == "shown"
        tried.append(Tried(name, edit(name).title, change, shown, content))
    return sorted(tried, key=lambda each: -each.change.value)


def shown_edits(tried: Sequence[Tried]) -> list[Tried]:
    """Return those that may be shown as changing anything."""
    return [each for each in tried if each.shown]


def factor(log10: Interval) -> Interval:
    """Turn a difference of log10 views a day into a factor."""
    return Interval(10**log10.value, 10**log10.low, 10**log10.high)
