"""What is said of a grade, in the terminal and on the page alike."""

from ml.evaluation.bootstrap import Interval
from services.learning.grading.edits import shown_edits
from services.learning.grading.grade import Grade, Graded, Grades, Grading, Pair, Reference
from services.learning.grading.measures import Measurement

__all__ = ["shown_edits"]

TEST_IT = (
    "Test it. A grade is a forecast, not proof: publish with one picture, keep it until views a day"
    " are steady, then swap it for the other. Go on crawling the channel meanwhile: TubeGrader"
    " notes each swap with its time (`tubegrader sql -c 'SELECT * FROM thumbnail_changes'`), and"
    " views before and after it, against videos left alone, are a natural experiment. YouTube"
    " Studio's own Test & compare shows pictures at random to viewers, which is better still."
)
_PROBLEMS = {
    "noChannel": "no channel was named",
    "tooFewVideos": "too few of the channel’s own videos have a stored thumbnail",
    "tooFewChannels": "too few comparable channels were crawled",
}


def headline(grading: Grades) -> str:
    """Say in a sentence how the first, or the best, picture does."""
    if grading.evidence.state != "shown":
        return "No effect of thumbnails could be shown: the grade says little."
    best = max(grading.graded, key=_leading)
    kind = "likeSized" if best.percentiles["likeSized"] is not None else "own"
    found = best.percentiles[kind]
    if found is None:
        return f"{best.candidate.name} cannot be graded: there is too little to compare it with."
    whom = "like-sized channels’" if kind == "likeSized" else "the channel’s own"
    if kind == "likeSized" and grading.who.subscribers is None:
        whom = "other channels’"
    among = "" if len(grading.graded) == 1 else f", the most of {len(grading.graded)} pictures"
    return (
        f"{best.candidate.name} is expected to do better than {found.value:.0f} % of {whom}"
        f" thumbnails [{found.low:.0f}, {found.high:.0f}]{among}."
    )


def cautions(grading: Grades) -> list[str]:
    """Return what has to be known to read the grades rightly."""
    lines = [_evidence(grading)]
    lines += [_reference(reference, grading) for reference in grading.references]
    return lines


def edits_line(grading: Grades, graded: Graded) -> str:
    """Say how many edits were tried and whether any changes the expected views."""
    tried = len(graded.edits)
    if grading.evidence.state != "shown":
        return f"{tried} edits were tried; none is shown, since no effect of thumbnails was shown."
    shown = len(shown_edits(graded.edits))
    if not shown:
        return f"Of {tried} edits tried none changes the expected views beyond doubt."
    return (
        f"Of {tried} edits tried {shown} would change the expected views (95 % interval of each"
        " leaves zero):"
    )


def grade_cell(found: Interval | None) -> str:
    """Return a percentile with its interval."""
    return "–" if found is None else f"{found.value:.0f} [{found.low:.0f}, {found.high:.0f}]"


def factor_cell(found: Interval | None) -> str:
    """Return a factor with its interval."""
    return "–" if found is None else f"{found.value:.2f} [{found.low:.2f}, {found.high:.2f}]"


def change(found: Interval) -> str:
    """Return a factor as a change in percent."""
    value, low, high = (_percent(n) for n in (found.value, found.low, found.high))
    return f"{value} views a day [{low}, {high}]"


def pair_verdict(pair: Pair) -> str:
    """Say which of two pictures is ahead, if either is."""
    if not pair.shown:
        return "no difference shown"
    return f"{pair.first if pair.ratio.value > 1 else pair.second} is ahead"


def which_to_test(grading: Grades) -> str | None:
    """Say which two of several pictures are worth a test; None where there is nothing to choose."""
    if grading.evidence.state != "shown" or len(grading.graded) < 2:  # noqa: PLR2004
        return None
    first, second = sorted(grading.graded, key=_leading, reverse=True)[:2]
    names = (first.candidate.name, second.candidate.name)
    pair = next((p for p in grading.pairs if {p.first, p.second} == {*names}), None)
    if pair is None:
        return None
    if pair.shown:
        ahead = pair.first if pair.ratio.value > 1 else pair.second
        behind = pair.second if ahead == pair.first else pair.first
        return f"Test {ahead}: it is ahead of {behind}, the next best, beyond doubt."
    return (
        f"Test {names[0]} against {names[1]}: they lead, and no difference is shown between them."
    )


def value_cell(measurement: Measurement) -> str:
    """Return a measurement with its unit."""
    return f"{measurement.value:.3g} {measurement.feature.unit}"


def place_cell(measurement: Measurement) -> str:
    """Return where it is among comparable thumbnails."""
    return "–" if measurement.percentile is None else f"{measurement.percentile:.0f}"


def strongest(graded: Graded) -> str:
    """Say how much the part that matters most is worth."""
    most = float(graded.heat.flat[abs(graded.heat).argmax()])
    return f"{_percent(10**most)} views a day for showing rather than hiding it"


def grad_cam(grading: Grading) -> str:
    """Say whether Grad-CAM's map may be trusted."""
    found = grading.gradients
    if found.similarity is None:
        return ""
    alike = f"{found.similarity:.2f} is their rank correlation with maps of random networks"
    if found.state == "passed":
        return f"Grad-CAM’s map passed the randomisation check ({alike})."
    return (
        "Grad-CAM’s map is not shown: it did not pass the randomisation check, so it tells of the"
        f" picture’s edges rather than of what was learned ({alike})."
    )


def association(measurement: Measurement) -> str:
    """Say what more of it goes with; nothing where that is not shown."""
    found = measurement.association
    if found is None:
        return ""
    return (
        f"{'more' if found.value > 0 else 'fewer'} views"
        f" (ρ = {found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}])"
    )


def _evidence(grading: Grades) -> str:
    evidence = grading.evidence
    if evidence.state == "notCompared":
        return (
            "These models were not compared yet, so nobody knows whether thumbnails do anything"
            " here: `tubegrader models score`, then `tubegrader models compare`."
        )
    return f"The newest comparison: {evidence.sentence}"


def _reference(reference: Reference, grading: Grades) -> str:
    whom = {
        "own": "the channel’s own videos",
        "likeSized": "like-sized channels’ videos"
        if grading.who.subscribers is not None
        else "channels of all sizes (name a channel or its number of subscribers)",
    }[reference.kind]
    one = reference.channels == 1
    counts = f"{reference.videos} videos of {reference.channels} channel{'' if one else 's'}"
    if reference.problem is not None:
        why = _PROBLEMS[reference.problem]
        return f"Against {whom}: no grade, {why}{f' ({counts})' if reference.videos else ''}."
    return f"Against {whom}: {counts}, each evaluated by models that never saw its channel."


def _leading(graded: Grade) -> float:
    found = [graded.percentiles["likeSized"], graded.percentiles["own"]]
    return next((each.value for each in found if each is not None), -1.0)


def _percent(factor: float) -> str:
    return f"{100 * (factor - 1):+.0f} %".replace("-", "−")
