"""What a model expects of the rest of a slate, under a target that goes on from what was logged above.

Slot k and all below it are expected to earn Q_k: what the model expects of the logged item there, and of what the
target shows below in the mean. Cascade-DR also asks for the expectation of Q_k over the target's item at k given the
logged items above. Where that is not certain, it is a sum over candidates: some with certainty (what the target's
redraws show, the logged item), the others drawn uniformly and weighted by how many they stand for. Errors of such draws
are independent between rows and have mean 0, so that the spread of the rows contains them.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int

from recsim_lab.evaluation.off_policy.logged import Predictions
from recsim_lab.evaluation.off_policy.own_slates import OwnSlates
from recsim_lab.policy import Observation, Policy
from recsim_lab.probabilities import Probabilities

A = np.ndarray

Expected = Callable[[Observation, Int[A, "some slots"], Int[A, " some"]], Float[A, "some slots"]]
"""The rewards a model expects of some slates; the integers say which row of the batch each belongs to."""

_NUM_SHOWN, _NUM_DRAWN = 3, 8
"""Redraws whose items are candidates with certainty, and candidates drawn from the others."""


def cascade_remainder(
    target: Policy,
    observation: Observation,
    slates: Int[A, "rows slots"],
    told: Probabilities,
    own: OwnSlates,
    model: Predictions,
    expected: Expected,
    rng: np.random.Generator,
) -> Predictions | str:
    """The predictions of Cascade-DR for slates whose probabilities under the target are `told`, or why there are none.

    What the target's next item is matters only where it may have shown the logged items above; elsewhere it is 0.
    """
    below = np.zeros_like(model.target)
    below[:, :-1] = np.cumsum(model.target[:, :0:-1], axis=1)[:, ::-1]
    below_error = np.zeros_like(below)
    below_error[:, :-1] = np.cumsum(model.target_error[:, :0:-1], axis=1)[:, ::-1]
    next_item, error = model.target.copy(), model.target_error.copy()
    for slot in range(1, slates.shape[1]):
        reached = told.prefix[:, slot - 1]
        if np.isnan(reached).any() or told.prefix_error[:, slot - 1].any():
            return "the target's probabilities of slates are not exact"
        sure = own.sure & (reached > 0)
        next_item[:, slot] = np.where(sure, model.target[:, slot], 0.0)
        error[:, slot] = 0.0
        rows = np.flatnonzero(~own.sure & (reached > 0))
        if rows.size:
            of_rows = _next_item(target, observation, slates, reached, own, model, expected, rng, slot, rows)
            if of_rows is None:
                return "the target's probabilities of slates are not exact"
            next_item[rows, slot] = of_rows
    live = np.ones_like(below, bool)
    live[:, 1:] = told.prefix[:, :-1] > 0
    return Predictions(model.logged + below, np.where(live, next_item + below, 0.0), np.where(live, error, 0.0))


def _next_item(
    target: Policy,
    observation: Observation,
    slates: Int[A, "rows slots"],
    reached: Float[A, " rows"],
    own: OwnSlates,
    model: Predictions,
    expected: Expected,
    rng: np.random.Generator,
    slot: int,
    rows: Int[A, " some"],
) -> Float[A, " some"] | None:
    """What the model expects of the target's item at `slot` in some rows, given the logged items above."""
    requests, logged = observation.take(rows), slates[rows]
    candidates, weight = _candidates(requests.eligible(), logged, own.items[:_NUM_SHOWN, rows], slot, rng)
    row, place = np.nonzero(weight)
    item = candidates[row, place]
    asked = logged[row].copy()
    # A candidate that was logged further down changes places with the item of this slot.
    twice = asked == item[:, None]
    asked = np.where(twice, asked[:, slot, None], asked)
    asked[:, slot] = item
    some = requests.take(row)
    told = target.probabilities(some, asked)
    if np.isnan(told.prefix[:, slot]).any() or told.prefix_error[:, slot].any():
        return None
    chance = told.prefix[:, slot] / reached[rows[row]]
    # Chances sum to 1, so that a constant can be left out of the sum; what is left of it varies less.
    constant = model.target[rows, slot]
    above_constant = expected(some, asked, rows[row])[:, slot] - constant[row]
    return constant + np.bincount(row, weight[row, place] * chance * above_constant, len(rows))


def _candidates(
    eligible: Bool[A, "some items"],
    logged: Int[A, "some slots"],
    shown: Int[A, "redraws some slots"],
    slot: int,
    rng: np.random.Generator,
) -> tuple[Int[A, "some candidates"], Float[A, "some candidates"]]:
    """Items that may follow the logged ones above `slot`, and how many items each stands for; 0 for what may not."""
    num_rows = len(logged)
    at = np.arange(num_rows)[:, None]
    possible = eligible.copy()
    possible[at, logged[:, :slot]] = False
    certainly = np.zeros_like(possible)
    certainly[at, logged[:, slot, None]] = True
    certainly[at[None], shown] = True
    certainly &= possible
    others = possible & ~certainly
    num_others = others.sum(axis=1)
    # The largest keys: 2 for what is taken with certainty, a uniform draw for the others.
    keys = np.where(certainly, 2.0, np.where(others, rng.random(possible.shape), -1.0))
    num_certain = certainly.sum(axis=1)
    width = min(int(num_certain.max()) + _NUM_DRAWN, possible.shape[1])
    candidates = np.argpartition(-keys, width - 1, axis=1)[:, :width]
    key = np.take_along_axis(keys, candidates, axis=1)
    order = np.argsort(-key, axis=1)
    candidates, key = (np.take_along_axis(array, order, axis=1) for array in (candidates, key))
    num_drawn = np.minimum(width - num_certain, num_others)
    per_drawn = np.divide(num_others, num_drawn, out=np.zeros(num_rows), where=num_drawn > 0)
    weight = np.where(key == 2.0, 1.0, np.where(key >= 0, per_drawn[:, None], 0.0))
    return candidates, weight
