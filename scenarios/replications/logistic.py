"""Ridge logistic regression by Newton's method: the reward model and the learned policy of off-policy comparisons."""

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit, logit

A = np.ndarray

NUM_STEPS = 8
"""Of Newton's method, which doubles the digits at each once it is near."""


def fit(design: Float[A, "rows features"], label: Float[A, " rows"], ridge: float = 1.0) -> Float[A, " features_and_1"]:
    """The weights, and last the offset, which is not penalised: minimise log loss + `ridge`/2 |weights|^2.

    `ridge` is in units of rows. The offset begins at the log-odds of the mean label, so that steps need no damping.
    """
    if not 0 < ridge < np.inf:
        raise ValueError(f"ridge must be above 0 and finite, got {ridge}")
    inputs = np.concatenate([design, np.ones((len(design), 1))], axis=1)
    weights = np.zeros(inputs.shape[1])
    weights[-1] = logit(np.clip(label.mean(), 0.5 / len(label), 1 - 0.5 / len(label)))
    penalty = np.full(len(weights), ridge)
    penalty[-1] = 1e-9  # keeps the equations solvable where all labels are the same
    for _ in range(NUM_STEPS):
        chance = expit(inputs @ weights)
        curvature = inputs.T @ (inputs * (chance * (1 - chance))[:, None])
        curvature[np.diag_indices_from(curvature)] += penalty
        weights = weights - cho_solve(cho_factor(curvature), inputs.T @ (chance - label) + penalty * weights)
    return weights


def one_hot(code: Int[A, " rows"], cardinality: int) -> Float[A, "rows codes"]:
    """1 at each row's code."""
    return (code[:, None] == np.arange(cardinality)).astype(np.float64)


def rewards_by_action(
    context: Float[A, "rows dims"],
    action: Int[A, " rows"],
    reward: Float[A, " rows"],
    num_actions: int,
    num_folds: int = 3,
    seed: int = 0,
) -> Float[A, "rows actions"]:
    """The expected reward of each action in each context: log-odds that are a part of the context plus one of the
    action, for each row learned from the folds that it is not in.

    Raises:
        ValueError: if there are fewer than two folds, or fewer rows than folds.
    """
    if not 2 <= num_folds <= len(action):
        raise ValueError(f"num_folds must be in [2, number of rows], which is {len(action)}, got {num_folds}")
    design = np.concatenate([context, one_hot(action, num_actions)], axis=1)
    fold = np.random.default_rng(seed).permutation(len(action)) % num_folds
    expected = np.empty((len(action), num_actions))
    for number in range(num_folds):
        mine = fold == number
        weights = fit(design[~mine], reward[~mine])
        of_context = context[mine] @ weights[: context.shape[1]] + weights[-1]
        expected[mine] = expit(of_context[:, None] + weights[context.shape[1] : -1])
    return expected


def crossed(context: Float[A, "rows dims"], action: Int[A, " rows"], num_actions: int) -> Float[A, "rows crossed"]:
    """The context, the action, and their products."""
    acted = one_hot(action, num_actions)
    products = np.einsum("rd,ra->rda", context, acted).reshape(len(context), -1)
    return np.concatenate([context, acted, products], axis=1)


def log_odds(weights: Float[A, " features_and_1"], context: Float[A, "rows dims"]) -> Float[A, "rows actions"]:
    """Those that weights learned from `crossed` give each action."""
    num_dims = context.shape[1]
    num_actions = (len(weights) - 1 - num_dims) // (1 + num_dims)
    of_action = weights[num_dims : num_dims + num_actions]
    of_both = weights[num_dims + num_actions : -1].reshape(num_dims, num_actions)
    return (context @ weights[:num_dims] + weights[-1])[:, None] + of_action + context @ of_both
