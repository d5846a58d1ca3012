"""The rungs with pictures on frozen looks alone, fitted anew on other rows."""

from ml.thumbnails.data.rows import Features, Predictions, Targets
from ml.thumbnails.models.measured import FeaturesRung, MeasuredRegression
from ml.thumbnails.models.reference import FrozenRidge, FrozenRidgeRung
from ml.thumbnails.models.thumbnail import (
    HistoryThumbnailRung,
    SubscribersAgeThumbnailRung,
    SubscribersThumbnailRung,
    ThumbnailRung,
)
from ml.thumbnails.stacking.design import Design
from ml.thumbnails.stacking.head import ThumbnailHead
from ml.thumbnails.stacking.heads import columns_of
from ml.thumbnails.stacking.regression import fit_linear, fit_logistic, linear_predictor, sigmoid
from ml.thumbnails.stacking.residual import beyond_the_rest

_WITH_THUMBNAIL = (
    ThumbnailRung,
    SubscribersThumbnailRung,
    SubscribersAgeThumbnailRung,
    HistoryThumbnailRung,
)


def refit_on_image_features(
    learning: Features, targets: Targets, asked: Features, seed: int
) -> dict[str, Predictions]:
    """Fit the rungs that see, without networks of their own, and score other rows.

    Args:
        learning: Rows to learn from, with looks.
        targets: Of these rows.
        asked: Rows to score, of channels that are not among the first, with looks.
        seed: Decides the inner folds.

    Returns:
        Predictions by rung; ``+features`` only where thumbnails were measured.

    Raises:
        LearningError: Too few rows or channels to choose by.
    """
    assert learning.image_features is not None
    assert asked.image_features is not None
    last = learning.image_features.last_layer()
    reference = FrozenRidge.fit(last, targets, learning.split_groups, seed=seed)
    result = {FrozenRidgeRung.name: reference.predict(asked.image_features.last_layer())}
    if learning.image_features.measurements is not None:
        measured = MeasuredRegression.fit(
            FeaturesRung.columns, learning, learning.measurements(), targets, seed=seed
        )
        result[FeaturesRung.name] = measured.predict(asked, asked.measurements())
    head = ThumbnailHead.fit(
        learning.image_features,
        targets.log10_views_per_day,
        targets.is_over,
        beyond_the_rest(learning, targets.log10_views_per_day),
        learning.split_groups,
        seed=seed,
    )
    # What the head said of rows whose channel it had not seen: the regressions on top believe it
    # as much as it deserves.
    nested, said = columns_of(head.inner), columns_of(head.predict(asked.image_features))
    for kind in _WITH_THUMBNAIL:
        design = Design.fit(kind.columns, learning)
        known = kind.matrices(design.matrix(learning), nested)
        unknown = kind.matrices(design.matrix(asked), said)
        linear = fit_linear(known[0], targets.log10_views_per_day)
        logistic = fit_logistic(known[1], targets.is_over)
        result[kind.name] = Predictions(
            sigmoid(linear_predictor(logistic, unknown[1])), linear_predictor(linear, unknown[0])
        )
    return result
