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
    rows = np.arange(len(action))

    def of(table: Float[A, "rows actions"]) -> Float[A, "rows 1"]:
        return table[rows, action][:, None].astype(np.float64)

    def told(table: Float[A, "rows actions"]) -> Probabilities:
        nothing = np.zeros((len(action), 1))
        return Probabilities(of(table), of(table), nothing, nothing)

    model = None
    if predicted is not None:
        expected = np.einsum("ra,ra->r", target, predicted)[:, None]
        model = Predictions(of(predicted), expected, np.zeros_like(expected))
    groups = None
    if group is not None:
        num_groups = int(group.max()) + 1
        member = (group[:, None] == np.arange(num_groups)).astype(np.float64)
        by_group = [(table @ member)[:, group] for table in (logging, target)]
        support = _support(logging @ member, target @ member)
        groups = Groups(told(by_group[0]), told(by_group[1]), support)
    return LoggedSlates(
        reward[:, None].astype(np.float64),
        told(logging),
        told(target),
        cluster,
        _support(logging, target),
        model,
        model,
        groups,
        additive=None,
    )


def _support(logging: Float[A, "rows actions"], target: Float[A, "rows actions"]) -> Support:
    missing = float(np.where(logging > 0, 0.0, target).sum(axis=1).mean()) if len(logging) else 0.0
    share = Interval(missing, missing, missing)
    return Support(share, share)
