"""A contextual bandit's log: one action a row, and both policies' probabilities of all actions."""

import numpy as np
from jaxtyping import Float, Int

from recsim_lab.evaluation.off_policy.logged import Groups, LoggedSlates, Predictions, Support
from recsim_lab.evaluation.statistics import Interval
from recsim_lab.probabilities import Probabilities

A = np.ndarray


def logged_actions(
    action: Int[A, " rows"],
    reward: Float[A, " rows"],
    logging: Float[A, "rows actions"],
    target: Float[A, "rows actions"],
    predicted: Float[A, "rows actions"] | None = None,
    group: Int[A, " actions"] | None = None,
    cluster: Int[A, " rows"] | None = None,
) -> LoggedSlates:
    """Slates of one slot, with exact support; `predicted` rewards serve models, `group` of each action serves MIPS.

    Raises:
        ValueError: if shapes differ, or a policy's probabilities do not sum to 1.
    """
    shape = (len(action), logging.shape[1])
    for name, table in (("logging", logging), ("target", target), ("predicted", predicted)):
        if table is not None and table.shape != shape:
            raise ValueError(
                f"{name} must have a row for each action logged and a column for each that could have "
                f"been, {shape}, got {table.shape}"
            )
    for name, table in (("logging", logging), ("target", target)):
        if len(table) and (off := np.abs(table.sum(axis=1) - 1).max()) > 1e-5:
            raise ValueError(f"{name} must sum to 1 in every row, got {off:.2g} more or less")
    model = None
    if predicted is not None:
        expected = np.einsum("ra,ra->r", target, predicted)[:, None]
        model = Predictions(_of(predicted, action), expected, np.zeros_like(expected))
    groups = None
    if group is not None:
        member = (group[:, None] == np.arange(int(group.max()) + 1)).astype(np.float64)
        of_group = (logging @ member, target @ member)
        of_logging, of_target = (_told(table, group[action]) for table in of_group)
        groups = Groups(of_logging, of_target, _support(*of_group))
    return LoggedSlates(
        reward[:, None].astype(np.float64),
        _told(logging, action),
        _told(target, action),
        cluster,
        _support(logging, target),
        model,
        model,
        groups,
    )


def _of(table: Float[A, "rows actions"], action: Int[A, " rows"]) -> Float[A, "rows 1"]:
    return np.take_along_axis(table, action[:, None].astype(np.int64), axis=1).astype(np.float64)


def _told(table: Float[A, "rows actions"], action: Int[A, " rows"]) -> Probabilities:
    probability, nothing = _of(table, action), np.zeros((len(action), 1))
    return Probabilities(probability, probability, nothing, nothing)


def _support(logging: Float[A, "rows actions"], target: Float[A, "rows actions"]) -> Support:
    missing = float(np.where(logging > 0, 0.0, target).sum(axis=1).mean()) if len(logging) else 0.0
    share = Interval(missing, missing, missing)
    return Support(share, share)
