"""The models in use, judged by videos that none of them was trained on."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from db.models.learning import THUMBNAILS
from ml.thumbnails.data.dataset import Dataset
from ml.thumbnails.data.rows import Predictions
from ml.thumbnails.evaluation.held_out import evaluate_held_out, shares_a_picture
from ml.thumbnails.models.thumbnail import predict_all
from services.context import Context
from services.errors import PermanentError
from services.learning.artifacts import workspace
from services.learning.errors import translate_errors
from services.learning.results import models_in_use, need_models
from services.learning.thumbnails import datasets, predicting
from services.learning.thumbnails.labels import LABELS
from services.learning.thumbnails.selection import Request, select_labelled

FEWEST_CHANNELS = 2
_DIFFERS = ("otherChannel", "tooEarly")
"""Reasons of those that nobody asked for: not counted."""


@dataclass(frozen=True)
class Asked:
    """Which videos.

    Attributes:
        channel_ids: Those of these channels; None: of any.
        since: Those published from then on; None: whenever.
    """

    channel_ids: Collection[str] | None = None
    since: datetime | None = None

    def why_not(self, video: Mapping[str, Any]) -> str | None:
        """Return why a video is not asked about."""
        if self.channel_ids is not None and video["channel_id"] not in self.channel_ids:
            return _DIFFERS[0]
        if self.since is not None and video["began_at"] < self.since:
            return _DIFFERS[1]
        return None


def judge(context: Context, asked: Asked) -> dict[str, Any]:
    """Let the models in use predict videos that they did not learn from, and compare.

    A video counts that was not trained on, nor its channel where channels are named; of a channel
    that was trained on, asked about by date, the models that never saw it predict. A picture that
    was trained on is left out. What is known of each video is what was known at the moment of its
    prediction, as in a dataset.

    Returns:
        JSON values: those of :class:`~ml.thumbnails.evaluation.held_out.HeldOut`, the models, the
        label, the threshold, and how many videos are left out, by reason.

    Raises:
        PermanentError: There is no model, or there are no such videos (``noData``).
    """
    models = models_in_use(context, THUMBNAILS)
    need_models(models, THUMBNAILS, "to judge")
    with workspace(context, "judging") as folder:
        learned = datasets.fetch_without_pictures(context, models[0].dataset_id, folder / "dataset")
        rungs = predicting.load_rungs(context, models, folder / "models")
        rows, excluded = _rows(context, asked, learned)
        groups = learned.split_group_by_channel()
        found = [Predictions.empty(rows.num_rows) for _ in rungs]
        for places, features in predicting.pages(context, rungs, rows):
            own = replace(
                features,
                split_groups=[groups.get(rows["channel_id"][int(at)].as_py()) for at in places],
            )
            with translate_errors(context.settings.home):
                predictions = predict_all(rungs, own)
            for whole, part in zip(found, predictions, strict=True):
                whole.put(places, part)
    threshold = learned.description.threshold
    with translate_errors(context.settings.home):
        held_out = evaluate_held_out(
            rows,
            {rung.spec.name: said for rung, said in zip(rungs, found, strict=True)},
            threshold=threshold,
            seed=models[0].seed,
        )
    return {
        **held_out.as_json(),
        "threshold": threshold,
        "label": _label_of(learned),
        "models": {model.rung: model.version for model in models},
        "excluded": excluded,
    }


def _rows(context: Context, asked: Asked, learned: Dataset) -> tuple[pa.Table, dict[str, int]]:
    """Return the rows to predict, in a dataset's columns, and how many are left out of each."""
    kind = LABELS[_label_of(learned)]
    request = Request(threshold=learned.description.threshold, label=kind.name)
    selected = select_labelled(context, kind, request, context.clock(), why_not=asked.why_not)
    excluded = {k: n for k, n in selected.excluded.items() if k not in _DIFFERS}
    rows = selected.rows.append_column("split_group", selected.rows["channel_id"])
    trained = pc.is_in(rows["video_id"], value_set=learned.table["video_id"].combine_chunks())
    if asked.channel_ids is not None:
        channels = learned.table["channel_id"].combine_chunks()
        trained = pc.or_(trained, pc.is_in(rows["channel_id"], value_set=channels))
    excluded["trainedOn"] = pc.sum(trained).as_py() or 0
    rows = rows.filter(pc.invert(trained))
    if rows.num_rows:
        shared = shares_a_picture(rows, learned.table)
        excluded["pictureTrainedOn"] = int(shared.sum())
        rows = rows.filter(pa.array(~shared))
    if len(set(rows["channel_id"].to_pylist())) < FEWEST_CHANNELS:
        reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(excluded.items()) if n)
        raise PermanentError(
            f"of these {rows.num_rows} videos can be judged by, of fewer than {FEWEST_CHANNELS}"
            f" channels ({reasons or 'none is known'})",
            reason="noData",
            hint="name channels that were not trained on, or a later date",
        )
    return rows, {k: n for k, n in excluded.items() if n}


def _label_of(learned: Dataset) -> str:
    return str(learned.table["label_kind"][0].as_py())
