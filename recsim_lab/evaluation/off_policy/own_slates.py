"""What the target itself would show: certain, or drawn again under other luck; and how likely cells and groups are."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from recsim_lab.evaluation.off_policy.logged import Predictions
from recsim_lab.policy import Observation, Policy
from recsim_lab.probabilities import Probabilities, certain, exactly, given_answers, is_certain, redraw

A = np.ndarray

MOST_ENUMERATED = 200
"""Items of a catalogue all of whose marginals a policy is asked for."""


@dataclass(frozen=True)
class OwnSlates:
    """Equally likely answers of a policy to the same requests; where a request's is `sure`, they are all the same."""

    items: Int[A, "redraws rows slots"]
    sure: Bool[A, " rows"]

    @staticmethod
    def of(policy: Policy, observation: Observation, num_slots: int, num_redraws: int) -> "OwnSlates":
        """One answer where the policy is sure of all of them, else `num_redraws`."""
        first = policy.recommend(observation, num_slots, redraw(observation, 0))
        sure = is_certain(first)
        more = range(1, 1 if sure.all() else num_redraws)
        others = [policy.recommend(observation, num_slots, redraw(observation, number)).items for number in more]
        return OwnSlates(np.stack([first.items, *others]), sure)

    def expected(self, values: Float[A, "redraws rows slots"]) -> tuple[Float[A, "rows slots"], Float[A, "rows slots"]]:
        """The mean of what each answer has, and its standard error."""
        mean, num = values.mean(axis=0), len(values)
        if num == 1:
            return mean, np.zeros_like(mean)
        return mean, np.where(self.sure[:, None], 0.0, values.std(axis=0, ddof=1) / np.sqrt(num))


def expected_predictions(
    logged: Float[A, "rows slots"], own: OwnSlates, of_own: Float[A, "redraws rows slots"]
) -> Predictions:
    """What a model expects of logged items, and in the mean of the target's own slates."""
    return Predictions(logged, *own.expected(of_own))


def cell_probabilities(
    policy: Policy, observation: Observation, items: Int[A, "rows items"], own: OwnSlates, num_redraws: int
) -> tuple[Float[A, "rows slots items"], Float[A, "rows slots items"]]:
    """How likely each slot holds each of some distinct items, at least as many as slots, and its standard error.

    Exact where the policy is sure of its `own` slates or tells exact marginals, else as often as redraws show them.
    """
    num_slots = own.items.shape[2]
    if own.sure.all():
        exact: A | None = (own.items[0][:, :, None] == items[:, None, :]).astype(np.float64)
    else:
        exact = exact_cells(policy, observation, items, num_slots)
    if exact is not None:
        return exact, np.zeros_like(exact)
    value = np.zeros((len(items), num_slots, items.shape[1]))
    for number in range(num_redraws):
        shown = policy.recommend(observation, num_slots, redraw(observation, number)).items
        value += shown[:, :, None] == items[:, None, :]
    value /= num_redraws
    least = np.clip(value, 1 / num_redraws, 1 - 1 / num_redraws)
    return value, np.sqrt(least * (1 - least) / (num_redraws - 1))


def exact_cells(
    policy: Policy, observation: Observation, items: Int[A, "rows items"], num_slots: int
) -> Float[A, "rows slots items"] | None:
    """The same from the marginals that the policy tells, or None where these are not exact.

    It is asked for all cells in as many slates as there are items: each is the items from another one on.
    """
    num_items = items.shape[1]
    value = np.empty((len(items), num_slots, num_items))
    for first in range(num_items):
        turn = (first + np.arange(num_slots)) % num_items
        told = policy.probabilities(observation, items[:, turn])
        if np.isnan(told.marginal).any() or told.error.any():
            return None
        value[:, np.arange(num_slots), turn] = told.marginal
    return value


def group_probabilities(
    policy: Policy,
    observation: Observation,
    slates: Int[A, "rows slots"],
    group: Int[A, " items"],
    num_redraws: int,
) -> Probabilities:
    """How likely each slot holds an item of the same group as that of `slates`, and the slots above do too.

    Exact where the policy is certain of its slate. In catalogues of up to `MOST_ENUMERATED` items, whose exact
    marginals can be summed, the marginals are exact and the prefixes are left unknown. Else the mean over redraws.
    """
    num_slots, num_items = slates.shape[1], len(group)
    if num_slots <= num_items <= MOST_ENUMERATED:
        sure = is_certain(policy.recommend(observation, num_slots, redraw(observation, 0)))
        every = np.broadcast_to(np.arange(num_items), (len(slates), num_items))
        cells = None if sure.all() else exact_cells(policy, observation, every, num_slots)
        if cells is not None:
            same = group[slates][:, :, None] == group
            marginal = np.einsum("rsi,rsi->rs", cells, same)
            return exactly(np.minimum(marginal, 1.0), np.full_like(marginal, np.nan))
    return given_answers(
        lambda draws: policy.recommend(observation, num_slots, draws),
        lambda answer: certain(group[answer.items], group[slates]),
        observation,
        num_redraws,
    )


def uniform_group_probabilities(
    observation: Observation, slates: Int[A, "rows slots"], group: Int[A, " items"]
) -> Probabilities:
    """The same of uniform logging: how many of the eligible items left are of the group."""
    eligible = observation.eligible()
    codes, group = np.unique(group, return_inverse=True)
    size = eligible.astype(np.float32) @ (group[:, None] == np.arange(len(codes))).astype(np.float32)
    wanted, num = group[slates], eligible.sum(axis=1).astype(np.float64)
    mine = np.take_along_axis(size, wanted, axis=1).astype(np.float64)
    same = wanted[:, :, None] == wanted[:, None, :]
    before = np.tril(same, -1).sum(axis=2)
    prefix = np.cumprod((mine - before) / (num[:, None] - np.arange(slates.shape[1])), axis=1)
    nothing = np.zeros(slates.shape, np.float32)
    return Probabilities(mine / num[:, None], prefix, nothing, nothing)
