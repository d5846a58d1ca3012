"""The step of a night that decides which models of a task are in use, the same for every task.

The best of the newest models is the challenger. Champion and challenger predict the same rows, each
by trainings that never saw where these are from; the challenger is promoted when it is shown to be
no worse. Whatever goes wrong on the way, the champion stays, unless it can no longer be used at
all.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from db.models import Evaluation, ModelVersion
from db.queries.learning import promotions
from services.context import Context
from services.errors import PermanentError
from services.learning.artifacts import workspace
from services.learning.promotion import decisions
from services.learning.promotion.decisions import Decision
from services.learning.results import covers, newest_models_and_evaluation
from services.work.jobs import JobHandle

Loaded = TypeVar("Loaded")


@dataclass(frozen=True)
class Chosen:
    """Which of the newest models is the challenger.

    Attributes:
        rung: Its rung; None: none is fit.
        sentence: By what it was chosen, or why there is none.
        candidates: What it was chosen by, as JSON values.
    """

    rung: str | None
    sentence: str
    candidates: Any


@dataclass(frozen=True)
class Outcome:
    """What an evaluation of champion and challenger found.

    Attributes:
        passes: Whether the challenger may take the champion's place.
        ground: Why, as a stable word.
        reason: Why, in plain words.
        figures: What was measured, as JSON values.
    """

    passes: bool
    ground: str
    reason: str
    figures: dict[str, Any] = field(default_factory=dict)


class Challenge(ABC, Generic[Loaded]):
    """What a task supplies to have its challenger evaluated; made anew for each job.

    Args:
        context: What to work with.
        job: The retraining.
        folder: An empty one, kept until the evaluation is done.
    """

    task: ClassVar[str]

    def __init__(self, context: Context, job: JobHandle, folder: Path) -> None:
        self.context = context
        self.job = job
        self.folder = folder

    @abstractmethod
    def choose(self, ladder: Sequence[ModelVersion], evaluation: Evaluation) -> Chosen:
        """Choose the challenger among the newest models by how they compare."""

    @abstractmethod
    def load(self, version: ModelVersion, ladder: Sequence[ModelVersion]) -> Loaded:
        """Load a model.

        Args:
            version: Which.
            ladder: It and what was trained together with it.

        Raises:
            PermanentError: A file is missing or damaged.
        """

    @abstractmethod
    def load_champion(self, version: ModelVersion, ladder: Sequence[ModelVersion]) -> Loaded:
        """Load the champion and see that all of its ladder can still be used: it is of use whole.

        Args:
            version: The champion.
            ladder: It and what was trained together with it.

        Raises:
            PermanentError: It can no longer be used.
        """

    @abstractmethod
    def evaluate(self, champion: Loaded, challenger: Loaded, chosen: Chosen) -> Outcome:
        """Let both predict the same rows and say whether the challenger is no worse."""


def promote(context: Context, job: JobHandle, kind: type[Challenge[Any]]) -> dict[str, Any]:
    """Do the step of a retraining that decides which models are in use; once for each job.

    Args:
        context: What to work with.
        job: The retraining.
        kind: Of the job's task.

    Returns:
        The decision with its reason; who is champion and who challenged it.

    Raises:
        PermanentError: The newest models were not compared yet, or are damaged.
        TransientError: Somebody changed the champion meanwhile.
    """
    made = decisions.made_by(context, job.job_id)
    if made is None:
        with workspace(context, "promotion") as folder:
            made = _decide(kind(context, job, folder))
        job.check()
        made = decisions.carry_out(context, kind.task, made, job_id=job.job_id)
    return made.as_json()


def _decide(challenge: Challenge[Any]) -> Decision:
    context, job, task = challenge.context, challenge.job, challenge.task
    ladder, evaluation = newest_models_and_evaluation(context, task)
    if not ladder or evaluation is None or not covers(evaluation, ladder):
        raise PermanentError(
            f"the newest models of {task} were not compared, so none can challenge the champion",
            reason="notCompared",
            hint=f"`tubegrader models score {task}`, then `tubegrader models compare {task}`",
        )
    job.progress(0, 3, "choosing the challenger")
    chosen = challenge.choose(ladder, evaluation)
    with context.transaction() as session:
        champion = promotions.model_of(session, task=task)
        champions = promotions.champion_ladder(session, task=task)
    challenger = next((model for model in ladder if model.rung == chosen.rung), None)
    figures = {"choice": chosen.candidates}

    made = decisions.settled(
        champion,
        challenger,
        ladder,
        deposed=decisions.deposed_by(decisions.history(context, task)),
        chosen_by=chosen.sentence,
        figures=figures,
    )
    if made is not None:
        return made
    assert champion is not None, "else it is settled"
    assert challenger is not None, "else it is settled"
    job.progress(1, 3, "loading champion and challenger")
    new = challenge.load(challenger, ladder)
    try:
        old = challenge.load_champion(champion, champions)
    except PermanentError as error:
        return decisions.unusable(
            champion,
            challenger,
            error,
            champions=champions,
            ladder=ladder,
            chosen_by=chosen.sentence,
            figures=figures,
        )
    job.progress(2, 3, "evaluating both on the same rows")
    outcome = challenge.evaluate(old, new, chosen)
    return Decision(
        "promoted" if outcome.passes else "kept",
        outcome.ground,
        outcome.reason,
        champion,
        challenger,
        figures | outcome.figures,
    )
