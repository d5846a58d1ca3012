"""Grading pictures: what a model expects of each, beside what other videos show."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ml.arrays import FloatArray
from ml.evaluation.bootstrap import Interval
from ml.thumbnails.evaluation.explanation import GRID, occlusion_map
from ml.thumbnails.features.catalogue import measure
from ml.thumbnails.features.kept import Measurements, as_kept
from ml.training.callbacks import Progress
from services.context import Context
from services.learning.artifacts import image_features_folder, workspace
from services.learning.grading.comparables import (
    Pictures,
    Whose,
    like_sized_thumbnails,
    own_thumbnails,
    whose,
)
from services.learning.grading.edits import Tried, factor, try_edits
from services.learning.grading.grader import Evidence, Grader, load_grader
from services.learning.grading.gradients import GradientMaps, gradient_maps
from services.learning.grading.measures import Measurement, associations, measurements
from services.learning.grading.pictures import (
    Candidate,
    UnusablePicture,
    as_shown,
    read_candidates,
)
from services.learning.grading.uncertainty import jackknife, percentile

MIN_OWN = 5
"""Own videos below which a percentile among them says nothing."""
MIN_CHANNELS = 5
COARSE_GRID = (6, 10)


@dataclass(frozen=True)
class Reference:
    """What a picture was graded against.

    Attributes:
        kind: ``own`` or ``likeSized``.
        videos: How many videos' thumbnails.
        channels: Of how many channels.
        problem: Why there is no grade against them (``noChannel``, ``tooFewVideos``,
            ``tooFewChannels``), or None.
    """

    kind: str
    videos: int
    channels: int
    problem: str | None


@dataclass(frozen=True)
class Grade:
    """One picture's grade.

    Attributes:
        candidate: The picture.
        percentiles: By the reference's kind, from 0 to 100; None where there is no grade.
        over_median: Views a day with it over those with the median like-sized thumbnail in the
            same video, as a factor; None without any.
    """

    candidate: Candidate
    percentiles: dict[str, Interval | None]
    over_median: Interval | None


@dataclass(frozen=True)
class Graded(Grade):
    """One picture's grade, and what there is to say of the picture itself.

    Attributes:
        measured: What was measured on it.
        edits: What was tried on it, the greatest gain first.
        heat: How much of log10 views a day each part brings, (rows, columns).
    """

    measured: list[Measurement]
    edits: list[Tried]
    heat: FloatArray


@dataclass(frozen=True)
class Pair:
    """Two pictures in the same video: views a day with the first over those with the second."""

    first: str
    second: str
    ratio: Interval
    shown: bool


@dataclass(frozen=True)
class Grades:
    """What is known first: how each picture does.

    Attributes:
        rung: Which model graded.
        version: Its version.
        dataset: The id of the dataset it learned from.
        evidence: Whether thumbnails were shown to do anything.
        who: Whose video it would be for.
        references: What was graded against.
        graded: The pictures in the order given.
        pairs: Each two of them.
        unusable: Files that could not be graded.
    """

    rung: str
    version: int
    dataset: str
    evidence: Evidence
    who: Whose
    references: list[Reference]
    graded: Sequence[Grade]
    pairs: list[Pair]
    unusable: list[UnusablePicture]


@dataclass(frozen=True)
class Grading(Grades):
    """All that is said of the pictures.

    Attributes:
        gradients: Grad-CAM's maps of the pictures, if they may be shown.
    """

    graded: Sequence[Graded]
    gradients: GradientMaps

    def as_json(self) -> dict[str, Any]:
        """Return JSON values; undefined numbers are None."""
        return {
            "model": {"rung": self.rung, "version": self.version, "dataset": self.dataset},
            "evidence": vars(self.evidence),
            "channel_id": self.who.channel_id,
            "subscribers": self.who.subscribers,
            "references": [vars(reference) for reference in self.references],
            "pictures": [_graded_json(each) for each in self.graded],
            "grad_cam": {
                "state": self.gradients.state,
                "similarity": self.gradients.similarity,
                "maps": [each.tolist() for each in self.gradients.maps],
            },
            "pairs": [vars(p) | {"ratio": p.ratio.as_json()} for p in self.pairs],
            "unusable": [each.as_json() for each in self.unusable],
        }


def grade(
    context: Context,
    paths: Sequence[Path],
    *,
    channel: str | None = None,
    subscribers: int | None = None,
    progress: Progress = lambda _done, _total, _what: None,
    first: Callable[[Grades], None] = lambda _grades: None,
) -> Grading:
    """Grade pictures as thumbnails of a channel's next video.

    Args:
        context: What to work with.
        paths: Files with a picture each.
        channel: Id, @handle or address of a channel that was crawled.
        subscribers: The channel's size, if it is not known or hidden.
        progress: Told how far it is.
        first: Told the grades as soon as they are known; the rest takes longer than they do.

    Raises:
        UsageError: No file holds a picture that can be graded, or the channel is not known or
            hides its subscribers.
        PermanentError: There is no model yet, or it is damaged.
    """
    candidates, unusable = read_candidates(paths)
    who = whose(context, channel, subscribers)
    with workspace(context, "grading") as folder:
        grader = load_grader(context, folder, subscribers=who.subscribers)
        progress(0, 0, "reading comparable thumbnails")
        own = own_thumbnails(context, who)
        alike = like_sized_thumbnails(context, who, grader.comparable_channels(who.channel_id))
        mine = grader.answers([as_shown(candidate.frame) for candidate in candidates])
        grades = _grades(grader, candidates, who, own, alike, mine, unusable, progress)
        first(grades)
        return Grading(
            **{**vars(grades), "graded": _graded(context, grader, grades, mine, progress)},
            gradients=gradient_maps(
                grader, who.channel_id, [c.frame for c in candidates], alike.contents
            ),
        )


def _grades(
    grader: Grader,
    candidates: Sequence[Candidate],
    who: Whose,
    own: Pictures,
    alike: Pictures,
    mine: FloatArray,
    unusable: list[UnusablePicture],
    progress: Progress,
) -> Grades:
    theirs = [grader.answers(p.contents, progress, collected=True) for p in (own, alike)]
    references = [_reference("own", own, who), _reference("likeSized", alike, who)]
    sides = list(zip(references, (own, alike), theirs, strict=True))
    return Grades(
        grader.rung.spec.name,
        grader.version,
        grader.rung.card.dataset,
        grader.evidence,
        who,
        references,
        [
            Grade(
                candidate,
                {side[0].kind: _percentile(grader, who, mine[:, n], *side) for side in sides},
                _over_median(grader, who, mine[:, n], references[1], theirs[1]),
            )
            for n, candidate in enumerate(candidates)
        ],
        _pairs(grader, who, candidates, mine),
        unusable,
    )


def _graded(
    context: Context, grader: Grader, grades: Grades, mine: FloatArray, progress: Progress
) -> list[Graded]:
    """Say of each picture what it measures, what edits change and where its answer comes from."""
    # Measuring asks no model, so every channel will do, and more of them say more.
    similar = like_sized_thumbnails(context, grades.who, None)
    measured = _measured(context, similar, progress)
    linked = associations(grader.dataset, similar.videos, measured, seed=grader.rung.card.seed)
    graded = []
    for number, grade_ in enumerate(grades.graded):
        progress(number, len(grades.graded), "hiding parts and trying edits")
        candidate, channel_id = grade_.candidate, grades.who.channel_id
        graded.append(
            Graded(
                **vars(grade_),
                measured=measurements(as_kept(measure(candidate.frame).values), measured, linked),
                edits=try_edits(grader, candidate, mine[:, number], channel_id),
                heat=_occluded(grader, candidate, grades.who),
            )
        )
    progress(len(grades.graded), len(grades.graded), "done")
    return graded


def _occluded(grader: Grader, candidate: Candidate, who: Whose) -> FloatArray:
    # A pretrained network takes a while for each picture with a part hidden.
    grid, patch = (GRID, 3) if grader.extractors is None else (COARSE_GRID, 2)
    score = grader.mean_answer(who.channel_id)
    return occlusion_map(candidate.frame, score, grid=grid, patch=patch)


def _reference(kind: str, pictures: Pictures, who: Whose) -> Reference:
    channels = len({video.channel_id for video in pictures.videos})
    problem = None
    if kind == "own":
        if who.channel_id is None:
            problem = "noChannel"
        elif len(pictures.videos) < MIN_OWN:
            problem = "tooFewVideos"
    elif channels < MIN_CHANNELS:
        problem = "tooFewChannels"
    return Reference(kind, len(pictures.videos), channels, problem)


def _percentile(
    grader: Grader,
    who: Whose,
    answers: FloatArray,
    reference: Reference,
    pictures: Pictures,
    theirs: FloatArray,
) -> Interval | None:
    if reference.problem is not None:
        return None
    by_channel = [grader.never_saw(video.channel_id) for video in pictures.videos]
    # One channel cannot be resampled as a whole: of the own one, videos are.
    clusters = [v.video_id if reference.kind == "own" else v.channel_id for v in pictures.videos]
    return percentile(
        answers,
        theirs,
        np.array(by_channel).T,
        grader.never_saw(who.channel_id),
        clusters,
        seed=grader.rung.card.seed,
    )


def _over_median(
    grader: Grader, who: Whose, answers: FloatArray, reference: Reference, theirs: FloatArray
) -> Interval | None:
    if reference.problem is not None:
        return None
    ahead = answers - np.median(theirs, axis=1)
    return factor(jackknife(ahead, grader.never_saw(who.channel_id)))


def _measured(context: Context, pictures: Pictures, progress: Progress) -> FloatArray:
    """Measure comparable thumbnails, (N, F)."""
    names = [video.thumbnail_sha256 for video in pictures.videos]
    contents = dict(zip(names, pictures.contents, strict=True))
    kept = Measurements(image_features_folder(context) / "measured")
    return kept.of(names, contents.__getitem__, progress)


def _pairs(
    grader: Grader, who: Whose, candidates: Sequence[Candidate], mine: FloatArray
) -> list[Pair]:
    held_out = grader.never_saw(who.channel_id)
    pairs = []
    for a, b in combinations(range(len(candidates)), 2):
        ratio = factor(jackknife(mine[:, a] - mine[:, b], held_out))
        leaves = ratio.low > 1 or ratio.high < 1
        shown = leaves and grader.evidence.state == "shown"
        pairs.append(Pair(candidates[a].name, candidates[b].name, ratio, shown))
    return pairs


def _graded_json(each: Graded) -> dict[str, Any]:
    candidate = each.candidate
    return {
        "file": candidate.path,
        "name": candidate.name,
        "width": candidate.width,
        "height": candidate.height,
        "format": candidate.format,
        "percentiles": {
            kind: None if found is None else found.as_json()
            for kind, found in each.percentiles.items()
        },
        "over_median": None if each.over_median is None else each.over_median.as_json(),
        "features": [measurement.as_json() for measurement in each.measured],
        "edits": [tried.as_json() for tried in each.edits],
        "occlusion": each.heat.tolist(),
    }
