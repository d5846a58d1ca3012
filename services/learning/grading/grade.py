"""Grading pictures: what a model expects of each, beside what other videos show."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
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
class Graded:
    """One picture's grade.

    Attributes:
        candidate: The picture.
        percentiles: By the reference's kind, from 0 to 100; None where there is no grade.
        over_median: Views a day with it over those with the median like-sized thumbnail in the
            same video, as a factor; None without any.
        measured: What was measured on it.
        edits: What was tried on it, the greatest gain first.
        heat: How much of log10 views a day each part brings, (rows, columns).
    """

    candidate: Candidate
    percentiles: dict[str, Interval | None]
    over_median: Interval | None
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
class Grading:
    """All that is said of the pictures.

    Attributes:
        rung: Which model graded.
        version: Its version.
        dataset: The id of the dataset it learned from.
        evidence: Whether thumbnails were shown to do anything.
        who: Whose video it would be for.
        references: What was graded against.
        graded: The pictures in the order given.
        pairs: Each two of them.
        gradients: Grad-CAM's maps of the pictures, if they may be shown.
        unusable: Files that could not be graded.
    """

    rung: str
    version: int
    dataset: str
    evidence: Evidence
    who: Whose
    references: list[Reference]
    graded: list[Graded]
    pairs: list[Pair]
    gradients: GradientMaps
    unusable: list[UnusablePicture] = field(default_factory=list)

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
) -> Grading:
    """Grade pictures as thumbnails of a channel's next video.

    Args:
        context: What to work with.
        paths: Files with a picture each.
        channel: Id, @handle or address of a channel that was crawled.
        subscribers: The channel's size, if it is not known or hidden.
        progress: Told how far it is.

    Raises:
        UsageError: No file holds a picture that can be graded, or the channel is not known or
            hides its subscribers.
        PermanentError: There is no model yet, or it is damaged.
    """
    candidates, unusable = read_candidates(paths)
    who = whose(context, channel, subscribers)
    with workspace(context, "grading") as folder:
        grader = load_grader(context, folder, subscribers=who.subscribers)
        return replace(_grade(context, grader, candidates, who, progress), unusable=unusable)


def _grade(
    context: Context,
    grader: Grader,
    candidates: Sequence[Candidate],
    who: Whose,
    progress: Progress,
) -> Grading:
    progress(0, 0, "reading comparable thumbnails")
    own = own_thumbnails(context, who)
    alike = like_sized_thumbnails(context, who, grader.comparable_channels(who.channel_id))
    mine = grader.answers([as_shown(candidate.frame) for candidate in candidates])
    theirs = {
        "own": grader.answers(own.contents, progress, collected=True),
        "likeSized": grader.answers(alike.contents, progress, collected=True),
    }
    references = [_reference("own", own, who), _reference("likeSized", alike, who)]
    # Measuring asks no model, so every channel will do, and more of them say more.
    similar = like_sized_thumbnails(context, who, None)
    measured = _measured(context, similar, progress)
    linked = associations(grader.dataset, similar.videos, measured, seed=grader.rung.card.seed)
    graded = []
    for number, candidate in enumerate(candidates):
        progress(number, len(candidates), "hiding parts and trying edits")
        answers = mine[:, number]
        graded.append(
            Graded(
                candidate,
                {
                    "own": _percentile(grader, who, answers, references[0], own, theirs["own"]),
                    "likeSized": _percentile(
                        grader, who, answers, references[1], alike, theirs["likeSized"]
                    ),
                },
                _over_median(grader, who, answers, references[1], theirs["likeSized"]),
                measurements(as_kept(measure(candidate.frame).values), measured, linked),
                try_edits(grader, candidate, answers, who.channel_id),
                _occluded(grader, candidate, who),
            )
        )
    progress(len(candidates), len(candidates), "done")
    return Grading(
        grader.rung.spec.name,
        grader.version,
        grader.rung.card.dataset,
        grader.evidence,
        who,
        references,
        graded,
        _pairs(grader, who, candidates, mine),
        gradient_maps(grader, who.channel_id, [c.frame for c in candidates], alike.contents),
    )


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
