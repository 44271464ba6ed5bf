"""How likely each user is to rate each item, learned from who rated what: logistic regression on pairs of features.

Schnabel et al., "Recommendations as Treatments" (ICML 2016), section 6.1, on all pairs of user and item covariates.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import minimize
from scipy.special import expit

A = np.ndarray


def fit_propensities(
    observed: Bool[A, "users items"],
    user_features: Bool[A, "users user_features"],
    item_features: Bool[A, "items item_features"],
    penalties: Sequence[float] = (3.0, 10.0, 30.0, 100.0),
    num_folds: int = 4,
    seed: int = 0,
) -> Float[A, "users items"]:
    """The chance of each pair to be observed; of the L2 penalties, that of the best likelihood on held-out pairs.

    The log-odds are a constant, a weight for each feature and one for each pair of a user's with an item's feature.
    """
    users, items = _with_constant(user_features), _with_constant(item_features)
    fold = np.random.default_rng(seed).integers(num_folds, size=observed.shape)
    likelihood = [
        sum(
            _log_likelihood(observed, users @ _fitted(observed, users, items, fold != k, penalty) @ items.T, fold == k)
            for k in range(num_folds)
        )
        for penalty in penalties
    ]
    best = penalties[int(np.argmax(likelihood))]
    weights = _fitted(observed, users, items, np.ones(observed.shape, np.bool_), best)
    return expit(users @ weights @ items.T)


def _fitted(
    observed: Bool[A, "users items"],
    users: Float[A, "users user_columns"],
    items: Float[A, "items item_columns"],
    counted: Bool[A, "users items"],
    penalty: float,
) -> Float[A, "user_columns item_columns"]:
    shape = (users.shape[1], items.shape[1])
    shrunk = np.full(shape, penalty)
    shrunk[0, 0] = 0.0  # the constant

    def loss(flat: Float[A, " columns"]) -> tuple[float, Float[A, " columns"]]:
        weights = flat.reshape(shape)
        odds = users @ weights @ items.T
        slope = users.T @ ((expit(odds) - observed) * counted) @ items + shrunk * weights
        return (shrunk * weights**2).sum() / 2 - _log_likelihood(observed, odds, counted), slope.ravel()

    return minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 200}).x.reshape(
        shape
    )


def _log_likelihood(
    observed: Bool[A, "users items"], odds: Float[A, "users items"], counted: Bool[A, "users items"]
) -> float:
    return float(((observed * odds - np.logaddexp(0, odds)) * counted).sum())


def _with_constant(features: Bool[A, "rows columns"]) -> Float[A, "rows columns_and_constant"]:
    return np.column_stack([np.ones(len(features)), features]).astype(np.float64)
