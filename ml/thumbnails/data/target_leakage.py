"""Are the views hidden inside a feature, as in a like ratio or in views per subscriber?

Two tests for each feature. By arithmetic: a ratio to the view count gives whole numbers again when
it is multiplied by it. By statistics: an honest feature explains, on channels not learned from,
at most a part of what the channel's size, its history, the video's age and its format leave
unexplained (:data:`EXPLAINED`); those four in their turn never explain nearly everything alone
(:data:`ALONE`). What permuted values explain as well is no finding: it is chance.
"""

from collections.abc import Mapping

import numpy as np

from ml.arrays import FloatArray, IntArray
from ml.evaluation.splits import folds_of
from ml.thumbnails.data.dataset import Dataset
from ml.thumbnails.data.schema import FEATURE_GROUPS

EXPLAINED = 0.5
"""Most that a feature may explain of the variance that the base features leave. On real videos
duration, hour, title and channel's age each explain under 0.05."""
ALONE = 0.97
"""Most of the variance of log views per day that one base feature may explain. On real videos
subscribers explain 0.66; views of the same video's first day would explain about 0.9."""
WHOLE = 0.99
"""Share of whole numbers from which on a feature is a ratio to the view count."""

_FEWEST = 40
_MOST = 20_000
_FOLDS = 5
_PERMUTATIONS = 19
_RIDGE = 1e-6
_BASE = ("subscriber_count", "subscriber_count_high", "earlier_log_views_per_day", "age_days")


def target_leakage(dataset: Dataset, features: Mapping[str, FloatArray]) -> dict[str, str]:
    """Return the features that hold the views, each with how that shows.

    Args:
        dataset: The rows; their own features are checked too.
        features: More of them by name, each (N,), NaN where missing.
    """
    own = {name: dataset.numbers(name) for name in _numeric_columns()}
    found = {
        name: how
        for name, values in (own | dict(features)).items()
        if (how := _ratio(values, dataset.numbers("view_count"))) is not None
    }
    sample = _sample(dataset)
    if len(sample) < _FEWEST:
        return found
    target = dataset.log10_views_per_day[sample]
    if target.std() == 0:
        return found
    folds = folds_of(dataset.strings("split_group"), seed=0, folds=_FOLDS)[sample]
    if len(set(folds.tolist())) < _FOLDS:
        return found
    base = _base(dataset, sample)
    rng = np.random.default_rng(0)
    for name in _BASE:
        left = _unexplained(_basis(own[name][sample]), target, folds)
        if left < 1 - ALONE:
            found[name] = f"alone it explains {1 - left:.1%} of the label's variance"
    left_by_base = _unexplained(base, target, folds)
    others = {name: values for name, values in own.items() if name not in _BASE} | dict(features)
    for name, values in others.items():
        column = values[sample]
        gain = 1 - _unexplained(np.column_stack([base, _basis(column)]), target, folds) / (
            left_by_base
        )
        if gain <= EXPLAINED or name in found:
            continue
        chance = max(
            1
            - _unexplained(np.column_stack([base, _basis(rng.permutation(column))]), target, folds)
            / left_by_base
            for _ in range(_PERMUTATIONS)
        )
        if gain > chance:
            found[name] = (
                f"it explains {gain:.0%} of what subscribers, history, age and format leave"
            )
    return found


def _numeric_columns() -> list[str]:
    texts = {"format", "category_id", "thumbnail_sha256"}
    columns = [name for group in FEATURE_GROUPS.values() for name in group.columns]
    return [*(name for name in columns if name not in texts), "age_days"]


def _sample(dataset: Dataset) -> IntArray:
    rows = np.arange(len(dataset))
    if len(rows) <= _MOST:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, _MOST, replace=False))


def _ratio(values: FloatArray, views: FloatArray) -> str | None:
    """Tell whether values are some whole number over the views, or the views over one."""
    # Of a whole number the product is one too, and says nothing.
    usable = np.isfinite(values) & (values != np.round(values)) & (views > 0)
    x, v = values[usable], views[usable]
    if len(x) < _FEWEST:
        return None
    for product, shape in ((x * v, "a whole number over the views"), (v / x, "views over one")):
        # What single precision can tell apart, and never so wide that chance gets there.
        tolerance = np.clip(4e-7 * np.abs(product), 1e-6, 0.05)
        if (np.abs(product - np.round(product)) <= tolerance).mean() >= WHOLE:
            return f"it is {shape}"
    return None


def _base(dataset: Dataset, rows: IntArray) -> FloatArray:
    formats = np.array(dataset.table["format"].fill_null("").to_pylist())[rows]
    kinds = sorted(set(formats.tolist()))[1:]
    columns = [_basis(dataset.numbers(name)[rows]) for name in _BASE if not name.endswith("_high")]
    columns += [(formats == kind).astype(np.float64)[:, None] for kind in kinds]
    return np.column_stack(columns)


def _basis(values: FloatArray) -> FloatArray:
    """Return (N, 4): two logarithms of the value, its rank, and whether it is missing."""
    missing = ~np.isfinite(values)
    filled = np.where(missing, np.median(values[~missing]) if (~missing).any() else 0.0, values)
    sizes = np.abs(filled)
    logarithm = np.sign(filled) * np.log10(1 + sizes)
    # For ratios, which live below 1, where the one before is a straight line.
    small = np.log10(np.maximum(sizes, sizes[sizes > 0].min(initial=1.0)))
    ranks = np.argsort(np.argsort(filled, kind="stable"), kind="stable") / len(filled)
    columns = np.column_stack([logarithm, small, ranks, missing])
    scale = columns.std(axis=0)
    # A few far-off values must not decide what is predicted for another channel.
    standard: FloatArray = np.clip(
        (columns - columns.mean(axis=0)) / np.where(scale > 0, scale, 1.0), -5.0, 5.0
    )
    return standard


def _unexplained(columns: FloatArray, target: FloatArray, folds: IntArray) -> float:
    """Return the out-of-fold squared error of a ridge regression, as a share of the variance."""
    error = 0.0
    for fold in range(_FOLDS):
        train, test = folds != fold, folds == fold
        mean = target[train].mean()
        gram = columns[train].T @ columns[train] + _RIDGE * train.sum() * np.eye(columns.shape[1])
        centre = columns[train].mean(axis=0)
        slopes = np.linalg.solve(
            gram - train.sum() * np.outer(centre, centre),
            columns[train].T @ (target[train] - mean),
        )
        fitted = mean + (columns[test] - centre) @ slopes
        error += float(((target[test] - fitted) ** 2).sum())
    return error / float(((target - target.mean()) ** 2).sum())
