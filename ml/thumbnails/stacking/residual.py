"""What a thumbnail is to explain: views beyond what is known without it."""

import numpy as np

from ml.arrays import FloatArray
from ml.thumbnails.data.rows import Features
from ml.thumbnails.stacking.design import SUBSCRIBERS_AGE, Design
from ml.thumbnails.stacking.regression import fit_linear, linear_predictor


def beyond_the_rest(features: Features, log_views: FloatArray) -> FloatArray:
    """Return what the strong baseline, fitted on these very rows, leaves of log views, shape (R,).

    NaN where subscribers are hidden: there the residual holds the channel's whole size, and a few
    such channels would drown what the thumbnail does. If all are hidden, all are kept.
    """
    matrix = Design.fit(SUBSCRIBERS_AGE, features).matrix(features)
    residual = log_views - linear_predictor(fit_linear(matrix, log_views), matrix)
    hidden = np.isnan(features.subscriber_count)
    return residual if hidden.all() else np.where(hidden, np.nan, residual)
