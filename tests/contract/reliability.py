"""Calibration of probabilities against results."""

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit


def slope(p, y):
    """Return the slope of the results on the model's log-odds, by maximum likelihood."""
    inner = (p > 1e-4) & (p < 1 - 1e-4)
    odds, y = logit(p[inner]), y[inner]

    def loss(b):
        q = expit(b[0] + b[1] * odds)
        return -(y * np.log(q) + (1 - y) * np.log(1 - q)).mean()

    return minimize(loss, [0, 1]).x[1]
